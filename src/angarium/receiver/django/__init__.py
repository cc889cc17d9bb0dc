"""Django: a view, and a store in the project's own database.

Put `"angarium.receiver.django"` into INSTALLED_APPS and run `manage.py migrate`; then

    from angarium.receiver.django.store import DjangoStore
    from angarium.receiver.django.view import view

    receiver = Receiver("standard", SECRET, store=DjangoStore())
    urlpatterns = [path("webhooks", view(receiver))]
"""
