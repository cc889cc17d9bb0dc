"""Reads and cancels background tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import AuditEvent
from angarium.core.errors import NotFound
from angarium.service import audit
from angarium.store import background_task as store
from angarium.store.background_task import BackgroundTask
from angarium.store.database import Database
from angarium.store.message import IdRange


class BackgroundTasks:
    """Reads and cancels background tasks."""

    def __init__(self, database: Database, clock: Clock, entropy: Callable[[int], bytes]) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    async def get(self, org_id: str, ref: str) -> BackgroundTask:
        """Raises NotFound."""
        task_id = ids.parse(ids.TASK, ref)
        async with self._database.connection() as conn:
            found = task_id and await store.get(conn, org_id, task_id)
        if not found:
            raise NotFound()
        return found

    async def of_application(self, app_id: UUID, limit: int = 20) -> Sequence[BackgroundTask]:
        """The newest tasks of an application, including those started in the portal."""
        async with self._database.connection() as conn:
            return await store.of_application(conn, app_id, limit)

    async def one(self, app_id: UUID, ref: str) -> BackgroundTask:
        """One task of an application. Raises NotFound."""
        task_id = ids.parse(ids.TASK, ref)
        async with self._database.connection() as conn:
            found = task_id and await store.find(conn, app_id, task_id)
        if not found:
            raise NotFound()
        return found

    async def cancel(self, app_id: UUID, ref: str) -> BackgroundTask:
        """Stop the task; work that is done stays done. A finished task is unchanged. Raises NotFound."""
        before = await self.one(app_id, ref)
        now = self._clock.now()
        async with self._database.transaction() as conn:
            canceled = await store.cancel(conn, app_id, before.id, datetime_at(now))
            if canceled is not None:
                target = ids.text(ids.TASK, canceled.id)
                audit_event = AuditEvent(
                    canceled.org_id, app_id, "task.canceled", target, None, canceled.data
                )
                await audit.record(conn, now, self._entropy, audit_event)
        return canceled or await self.one(app_id, ref)

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
                conn, org_id, IdRange(low, high, limit, upwards=ascending), kind=kind, status=status
            )
