"""Deliveries that wait for their endpoint to be enabled."""

from __future__ import annotations

from pathlib import Path

revision = "0009_waiting"
down_revision = "0008_content_type"


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "0009_waiting.sql").read_text()
