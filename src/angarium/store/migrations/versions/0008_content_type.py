"""A message may have a Content-Type of its own."""

from __future__ import annotations

from pathlib import Path

revision = "0008_content_type"
down_revision = "0007_scheduled"


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "0008_content_type.sql").read_text()
