"""A Django site with nothing but the outbox."""

from __future__ import annotations

import django
from django.conf import settings


def configure(path: str) -> None:
    """Make this process the site, over an SQLite file."""
    if not settings.configured:
        settings.configure(
            SECRET_KEY="for tests",
            INSTALLED_APPS=["angarium.outbox.django"],
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": path}},
            USE_TZ=True,
        )
        django.setup()
