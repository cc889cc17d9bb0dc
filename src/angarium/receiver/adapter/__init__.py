"""Web frameworks: one module for each, which hands the raw body to the Receiver and its answer back.

Django is a package of its own, `angarium.receiver.django`, because it is also an app with tables.
"""
