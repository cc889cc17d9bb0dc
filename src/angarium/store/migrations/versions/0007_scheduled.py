"""Scheduled deliveries hold nothing back in first-in-first-out lanes."""

from __future__ import annotations

from pathlib import Path

revision = "0007_scheduled"
down_revision = "0006_health"


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "0007_scheduled.sql").read_text()
