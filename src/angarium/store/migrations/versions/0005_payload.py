"""Payloads are stored without the slow compression."""

from __future__ import annotations

from pathlib import Path

revision = "0005_payload"
down_revision = "0004_token"


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "0005_payload.sql").read_text()
