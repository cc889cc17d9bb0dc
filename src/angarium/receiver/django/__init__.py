"""Receives webhooks in Django: a view, and a store in the project's database.

Add `"angarium.receiver.django"` to INSTALLED_APPS and run `manage.py migrate`:

    from angarium.receiver.django.store import DjangoStore
    from angarium.receiver.django.view import view

    receiver = Receiver("standard", SECRET, store=DjangoStore())
    urlpatterns = [path("webhooks", view(receiver))]
"""
