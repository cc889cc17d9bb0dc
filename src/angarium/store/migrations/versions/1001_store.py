"""The schema of the first release."""

from __future__ import annotations

from pathlib import Path

revision = "1001_store"
down_revision = None


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "1001_store.sql").read_text()
