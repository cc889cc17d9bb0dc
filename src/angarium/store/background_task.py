"""Work that outlives its request: a row says what is to be done, a cursor how far it has come.

A task is a series of steps, each one transaction that does a bounded amount and moves the cursor, so
that a process may die at any point and another goes on (`replay.step` has the steps).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.store import delivery
from angarium.store.message import Page
from angarium.store.sql import queries

RECOVER: Final = "endpoint.recover"
REPLAY: Final = "endpoint.replay"
CANCEL: Final = "endpoint.cancel"  # ours: clients' SDKs do not know it, so it is not listed
PUBLIC: Final = (RECOVER, REPLAY)
CANCEL_AT_ONCE: Final = 5000  # deliveries canceled in the transaction that wants it


class TaskStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class BackgroundTask:
    id: UUID
    org_id: str
    app_id: UUID | None
    kind: str
    status: TaskStatus
    arguments: dict[str, Any]
    cursor: dict[str, Any] | None
    data: dict[str, Any]  # what the client sees: `{"messagesSent": 3}`
    created_at: datetime
    updated_at: datetime


def cancel_arguments(endpoint_id: UUID, before: UUID) -> dict[str, Any]:
    """Arguments of a CANCEL task: go on cancelling what the endpoint is owed of messages before `before`."""
    return {"endpoint": str(endpoint_id), "before": str(before)}


def window_arguments(endpoint_id: UUID, after: UUID, until: UUID) -> dict[str, Any]:
    """Arguments of a RECOVER or REPLAY task: messages with after < id <= until."""
    return {"endpoint": str(endpoint_id), "after": str(after), "until": str(until)}


def _task(row: Any) -> BackgroundTask:
    return BackgroundTask(
        row["id"], row["org_id"], row["app_id"], row["kind"], TaskStatus(row["status"]), row["arguments"],
        row["cursor"], row["data"], row["created_at"], row["updated_at"],
    )  # fmt: skip


async def create(
    conn: Any,
    task_id: UUID,
    org_id: str,
    app_id: UUID | None,
    kind: str,
    arguments: dict[str, Any],
    now: datetime,
) -> BackgroundTask:
    """Store a task and tell upkeep of it; whoever calls `replay.step` next goes on with it."""
    await queries.background_task_hint(conn)
    data = {"messagesSent": 0} if kind in PUBLIC else {}
    return _task(
        await queries.background_task_create(
            conn, id=task_id, org_id=org_id, app_id=app_id, kind=kind, arguments=arguments, data=data, now=now
        )
    )


async def get(conn: Any, org_id: str, task_id: UUID) -> BackgroundTask | None:
    row = await queries.background_task_get(conn, id=task_id, org_id=org_id, kinds=PUBLIC)
    return None if row is None else _task(row)


async def page(
    conn: Any, org_id: str, page: Page, *, kind: str | None = None, status: str | None = None
) -> list[BackgroundTask]:
    """The tasks of an organization that clients may see, in the order of the walk."""
    kinds = PUBLIC if kind is None else tuple(k for k in PUBLIC if k == kind)
    walk = queries.background_task_page_up if page.upwards else queries.background_task_page_down
    rows = walk(
        conn, org_id=org_id, kinds=kinds, status=status, low=page.low, high=page.high, limit=page.limit
    )
    return [_task(row) async for row in rows]


async def claim(conn: Any) -> BackgroundTask | None:
    """The running task that has waited longest, held until the transaction ends."""
    row = await queries.background_task_claim(conn)
    return None if row is None else _task(row)


async def advance(
    conn: Any,
    task_id: UUID,
    status: TaskStatus,
    cursor: dict[str, Any] | None,
    data: dict[str, Any],
    now: datetime,
) -> None:
    """Note how far a task has come."""
    await queries.background_task_advance(conn, id=task_id, status=status, cursor=cursor, data=data, now=now)


async def cancel_owed(
    conn: Any, task_id: UUID, org_id: str, app_id: UUID, endpoint_id: UUID, now: float
) -> None:
    """Cancel all that an endpoint is owed now: a bounded part at once, the rest by a task."""
    if await delivery.cancel_pending(conn, app_id, endpoint_id, None, CANCEL_AT_ONCE) < CANCEL_AT_ONCE:
        return
    arguments = cancel_arguments(endpoint_id, ids.highest(now))
    await create(conn, task_id, org_id, app_id, CANCEL, arguments, datetime_at(now))
