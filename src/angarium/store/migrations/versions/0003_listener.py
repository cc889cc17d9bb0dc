"""Listeners: endpoints that fetch what they are owed."""

from __future__ import annotations

from pathlib import Path

revision = "0003_listener"
down_revision = "0002_portal"


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "0003_listener.sql").read_text()
