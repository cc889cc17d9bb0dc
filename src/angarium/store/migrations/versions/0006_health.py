"""Evidence for disabling, and generations of health."""

from __future__ import annotations

from pathlib import Path

revision = "0006_health"
down_revision = "0005_payload"


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "0006_health.sql").read_text()
