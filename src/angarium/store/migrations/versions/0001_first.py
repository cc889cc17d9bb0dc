"""The schema of the first release.

`upgrade` is for Alembic's own command line; Angarium applies `sql()` through asyncpg.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001_first"
down_revision = None


def sql() -> str:
    return (Path(__file__).parent.parent / "0001_first.sql").read_text()


def upgrade() -> None:
    op.execute(sql())
