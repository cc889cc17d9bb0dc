"""A Django project of one module: the receiver's app, and a SQLite database wherever a test wants it."""

from __future__ import annotations

import contextlib

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

if not settings.configured:
    settings.configure(
        SECRET_KEY="for tests only",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.receiver.django_urls",
        INSTALLED_APPS=["angarium.receiver.django"],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": "",
                "ATOMIC_REQUESTS": True,
                "OPTIONS": {"timeout": 10, "transaction_mode": "IMMEDIATE"},
            }
        },
        USE_TZ=True,
    )
    django.setup()


def use(path: str, stack: contextlib.ExitStack) -> None:
    """From now on the database is that file, in new connections."""
    connections.close_all()
    connections["default"].settings_dict["NAME"] = path
    connections.databases["default"]["NAME"] = path
    stack.callback(connections.close_all)


def migrate(path: str) -> None:
    with contextlib.ExitStack() as stack:
        use(path, stack)
        call_command("migrate", verbosity=0)
