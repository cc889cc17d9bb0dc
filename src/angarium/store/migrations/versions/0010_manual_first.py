"""Manual attempts, which a lane loads before all else."""

from __future__ import annotations

from pathlib import Path

revision = "0010_manual_first"
down_revision = "0009_waiting"


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "0010_manual_first.sql").read_text()
