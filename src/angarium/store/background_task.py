"""Work that outlives its request: a row says what is to be done, a cursor how far it has come.

A task is a series of steps, each one transaction that does a bounded amount and moves the cursor, so
that a process may die at any point and another goes on (`replay.step` has the steps). A task may keep a
rate: then its next step is due only a while after the last. Canceling one keeps what it has done.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.log_filter import LogFilter
from angarium.store import requeue
from angarium.store.cancel import cancel_pending, forget_waiting
from angarium.store.connection import Connection, Row
from angarium.store.message import IdRange
from angarium.store.sql import queries, walk

RECOVER: Final = "endpoint.recover"
REPLAY: Final = "endpoint.replay"
CANCEL: Final = "endpoint.cancel"  # ours: clients' SDKs do not know it, so it is not listed
RELEASE: Final = "endpoint.release"  # the same
RESEND: Final = "delivery.resend"  # the same, of the portal
PUBLIC: Final = (RECOVER, REPLAY)
SHOWN: Final = (*PUBLIC, RESEND)
AT_ONCE: Final = 5000  # deliveries canceled or released in the transaction that wants it


class TaskStatus(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELED = "canceled"


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

    @property
    def progress(self) -> float | None:
        """The part that is done, 0 to 1; None when nobody counted before."""
        expected = self.data.get("expected")
        if self.status is TaskStatus.FINISHED:
            return 1.0
        return None if not expected else min(1.0, self.data.get("messagesSent", 0) / expected)


def cancel_arguments(endpoint_id: UUID, before: UUID, *, wait: bool = False) -> dict[str, Any]:
    """Arguments of a CANCEL task: go on canceling what the endpoint is owed of messages before `before`.
    Manual attempts `wait` until it is enabled, or are canceled too with all that waits already."""
    return {"endpoint": str(endpoint_id), "before": str(before), "wait": wait}


def window_arguments(
    endpoint_id: UUID, after: UUID, until: UUID, rate: float | None = None
) -> dict[str, Any]:
    """Arguments of a RECOVER or REPLAY task: messages with after < id <= until, so many a second."""
    return {"endpoint": str(endpoint_id), "after": str(after), "until": str(until), "rate": rate}


def resend_arguments(wanted: LogFilter, until: UUID, rate: float) -> dict[str, Any]:
    """Arguments of a RESEND task: what matches of messages with id <= until, so many a second."""
    return {"filter": wanted.document(), "until": str(until), "rate": rate}


def _task(row: Row) -> BackgroundTask:
    return BackgroundTask(
        row["id"], row["org_id"], row["app_id"], row["kind"], TaskStatus(row["status"]), row["arguments"],
        row["cursor"], row["data"], row["created_at"], row["updated_at"],
    )  # fmt: skip


async def create(
    conn: Connection,
    task_id: UUID,
    org_id: str,
    app_id: UUID | None,
    kind: str,
    arguments: dict[str, Any],
    now: datetime,
    *,
    expected: int | None = None,
) -> BackgroundTask:
    """Store a task and notify maintenance. The next call of `replay.step` continues it.

    `expected`: how many deliveries it will requeue, if they were counted.
    """
    await queries.background_task_hint(conn)
    data = {"messagesSent": 0} if kind in SHOWN else {}
    if expected is not None:
        data["expected"] = expected
    return _task(
        await queries.background_task_create(
            conn, id=task_id, org_id=org_id, app_id=app_id, kind=kind, arguments=arguments, data=data, now=now
        )
    )


async def get(conn: Connection, org_id: str, task_id: UUID) -> BackgroundTask | None:
    row = await queries.background_task_get(conn, id=task_id, org_id=org_id, kinds=PUBLIC)
    return None if row is None else _task(row)


async def page(
    conn: Connection, org_id: str, page: IdRange, *, kind: str | None = None, status: str | None = None
) -> list[BackgroundTask]:
    """The tasks of an organization that clients may see, in the order of the walk."""
    kinds = PUBLIC if kind is None else tuple(k for k in PUBLIC if k == kind)
    # clients know no canceled tasks: to them one has failed
    statuses = [TaskStatus.FAILED, TaskStatus.CANCELED] if status == TaskStatus.FAILED else [status]
    query = walk("background_task_page", upwards=page.upwards)
    rows = query(
        conn, org_id=org_id, kinds=kinds, statuses=None if status is None else statuses,
        low=page.low, high=page.high, limit=page.limit,
    )  # fmt: skip
    return [_task(row) async for row in rows]


async def of_application(conn: Connection, app_id: UUID, limit: int) -> list[BackgroundTask]:
    """The newest tasks of an application that its people may see."""
    rows = queries.background_task_of_application(conn, app_id=app_id, kinds=SHOWN, limit=limit)
    return [_task(row) async for row in rows]


async def find(conn: Connection, app_id: UUID, task_id: UUID) -> BackgroundTask | None:
    row = await queries.background_task_find(conn, id=task_id, app_id=app_id, kinds=SHOWN)
    return None if row is None else _task(row)


async def cancel(conn: Connection, app_id: UUID, task_id: UUID, now: datetime) -> BackgroundTask | None:
    """Take no further step of a task; None when there is none that is under way."""
    row = await queries.background_task_cancel(conn, id=task_id, app_id=app_id, kinds=SHOWN, now=now)
    return None if row is None else _task(row)


async def claim(conn: Connection, now: datetime) -> BackgroundTask | None:
    """The task that has waited longest for a step that is due, held until the transaction ends."""
    row = await queries.background_task_claim(conn, now=now)
    return None if row is None else _task(row)


async def next_due(conn: Connection) -> datetime | None:
    """When the next step of a task that keeps a rate is due."""
    found: datetime | None = await queries.background_task_next_due(conn)
    return found


async def advance(
    conn: Connection,
    task_id: UUID,
    status: TaskStatus,
    cursor: dict[str, Any] | None,
    data: dict[str, Any],
    now: datetime,
    due_at: datetime | None = None,
) -> None:
    """Note how far a task has come, and when its next step is due if not at once."""
    await queries.background_task_advance(
        conn, id=task_id, status=status, cursor=cursor, data=data, now=now, due_at=due_at
    )


async def cancel_owed(
    conn: Connection,
    task_id: UUID,
    org_id: str,
    app_id: UUID,
    endpoint_id: UUID,
    now: float,
    *,
    wait: bool = False,
) -> None:
    """Cancel all that an endpoint is owed now: a bounded part at once, the rest by a task. Manual attempts
    `wait` until it is enabled, or are canceled too with all that waits already."""
    at = datetime_at(now)
    canceled = [await cancel_pending(conn, app_id, endpoint_id, None, AT_ONCE, at, wait=wait)]
    if not wait:
        canceled.append(await forget_waiting(conn, app_id, endpoint_id, AT_ONCE, at))
    if max(canceled) >= AT_ONCE:
        arguments = cancel_arguments(endpoint_id, ids.made_by(now), wait=wait)
        await create(conn, task_id, org_id, app_id, CANCEL, arguments, at)


async def release_waiting(
    conn: Connection, task_id: UUID, org_id: str, app_id: UUID, endpoint_id: UUID, now: float, *, fifo: bool
) -> None:
    """Send what waited for an endpoint to be enabled: a bounded part at once, the rest by a task."""
    at = datetime_at(now)
    if await requeue.release(conn, app_id, endpoint_id, at, AT_ONCE, fifo=fifo) >= AT_ONCE:
        await create(conn, task_id, org_id, app_id, RELEASE, {"endpoint": str(endpoint_id)}, at)
