"""The schema of the first release."""

from __future__ import annotations

from pathlib import Path

revision = "0001_first"
down_revision = None


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "0001_first.sql").read_text()
