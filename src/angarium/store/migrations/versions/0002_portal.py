"""What the portal and the audit log need."""

from __future__ import annotations

from pathlib import Path

revision = "0002_portal"
down_revision = "0001_first"


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "0002_portal.sql").read_text()
