"""The portal: pages for a product's customers, reached by a link and without an account, and for operators.

Server-rendered, over the same services as the API. A page is a function of a `Visit` (kit/visit.py), declared
in the module of its noun by `page` or `action` (kit/route.py), and rendered from a template in the folder of
the same name.
"""
