"""Background tasks as people look at them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from angarium.core import ids
from angarium.core.errors import NotFound
from angarium.store import background_task as store
from angarium.store.background_task import BackgroundTask
from angarium.store.database import Database
from angarium.store.message import Page


class BackgroundTasks:
    """Look at background tasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, org_id: str, ref: str) -> BackgroundTask:
        """Raises NotFound."""
        task_id = ids.parse(ids.TASK, ref)
        async with self._database.connection() as conn:
            found = task_id and await store.get(conn, org_id, task_id)
        if not found:
            raise NotFound()
        return found

    async def page(
        self,
        org_id: str,
        cursor: UUID | None,
        *,
        ascending: bool,
        limit: int,
        kind: str | None = None,
        status: str | None = None,
    ) -> Sequence[BackgroundTask]:
        """The organization's tasks on the far side of the cursor."""
        low, high = UUID(int=0), UUID(int=(1 << 128) - 1)
        if cursor is not None:
            low, high = (cursor, high) if ascending else (low, cursor)
        async with self._database.connection() as conn:
            return await store.page(
                conn, org_id, Page(low, high, limit, upwards=ascending), kind=kind, status=status
            )
