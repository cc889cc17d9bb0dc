"""Tables without the names of their schemas, for statements of tests and benchmarks.

Those of the product name them: tests/store/test_section.py.
"""

from __future__ import annotations

from typing import Final

from angarium.store.connection import Connection
from angarium.store.section import CONTROL, FIRST

SCHEMAS: Final = (FIRST.schema, CONTROL)
_PATH: Final = f"{', '.join(SCHEMAS)}, public"
FOUND: Final = {"search_path": _PATH}
"""Settings of one connection that finds the tables."""


async def find_tables(connection: Connection) -> None:
    """Have every later connection to the server find the tables; `connection` is its owner's."""
    await connection.execute(f"alter role all set search_path = {_PATH}")
