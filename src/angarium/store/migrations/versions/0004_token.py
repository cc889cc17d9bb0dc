"""Tokens and keys that can be told apart, and revoked one by one."""

from __future__ import annotations

from pathlib import Path

revision = "0004_token"
down_revision = "0003_listener"


def sql() -> str:
    """Plain SQL, applied by `store/migrate.py` in one transaction."""
    return (Path(__file__).parent.parent / "0004_token.sql").read_text()
