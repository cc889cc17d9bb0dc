"""Stores background tasks: work that continues after its request.

A row says what to do, and its cursor how much is done. A task is a series of steps
(dispatch/background_task.py). Each is one transaction that does a bounded amount of work and moves the
cursor, so any process can continue after a crash. A task with a rate pauses between its steps. Canceling a
task does not undo finished steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import NotFound
from angarium.core.log_filter import LogFilter
from angarium.core.nouns import TaskError
from angarium.store import requeue
from angarium.store.cancel import cancel_pending, cancel_waiting
from angarium.store.connection import Connection, Row
from angarium.store.message import IdRange
from angarium.store.sql import queries, walk

RECOVER: Final = "endpoint.recover"
REPLAY: Final = "endpoint.replay"
CANCEL: Final = "endpoint.cancel"  # internal: Svix's SDKs do not know it, so the API does not list it
RELEASE: Final = "endpoint.release"  # internal
RESEND: Final = "delivery.resend"  # created by the portal; the API does not list it
ERASE_APPLICATION: Final = "application.erase"  # the API shows it to who has its id, but does not list it
ERASE_MESSAGE: Final = "message.erase"
ERASURES: Final = (ERASE_APPLICATION, ERASE_MESSAGE)
PUBLIC: Final = (RECOVER, REPLAY)
SHOWN: Final = (*PUBLIC, RESEND)
AT_ONCE: Final = 5000  # deliveries canceled or released in the transaction of the request


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
    data: dict[str, Any]  # its progress: `{"messagesSent": 3, "expected": 12}`
    error: TaskError | None  # of a failed task
    created_at: datetime
    updated_at: datetime

    @property
    def progress(self) -> float | None:
        """The fraction that is done, 0 to 1; None if the deliveries were not counted."""
        expected = self.data.get("expected")
        if self.status is TaskStatus.FINISHED:
            return 1.0
        return None if not expected else min(1.0, self.data.get("messagesSent", 0) / expected)


def cancel_arguments(endpoint_id: UUID, before: UUID, *, wait: bool = False) -> dict[str, Any]:
    """Arguments of a CANCEL task: cancel the endpoint's queued deliveries of messages before `before`.
    `wait`: keep manual attempts until the endpoint is enabled; otherwise cancel them and all that wait."""
    return {"endpoint": str(endpoint_id), "before": str(before), "wait": wait}


def window_arguments(
    endpoint_id: UUID, after: UUID, until: UUID, rate: float | None = None
) -> dict[str, Any]:
    """Arguments of a RECOVER or REPLAY task: messages with after < id <= until, at most `rate` a second."""
    return {"endpoint": str(endpoint_id), "after": str(after), "until": str(until), "rate": rate}


def resend_arguments(wanted: LogFilter, until: UUID, rate: float) -> dict[str, Any]:
    """Arguments of a RESEND task: matching deliveries of messages with id <= until, at most `rate` a
    second."""
    return {"filter": wanted.document(), "until": str(until), "rate": rate}


def _task(row: Row) -> BackgroundTask:
    return BackgroundTask(
        row["id"], row["org_id"], row["app_id"], row["kind"], TaskStatus(row["status"]), row["arguments"],
        row["cursor"], row["data"], None if row["error"] is None else TaskError(row["error"]),
        row["created_at"], row["updated_at"],
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
    """Store a task and notify maintenance. Maintenance takes its steps.

    `expected`: how many deliveries it will requeue, if they were counted. Raises NotFound if the application
    is being erased.
    """
    await queries.background_task_hint(conn)
    data = {"messagesSent": 0} if kind in SHOWN else {}
    if expected is not None:
        data["expected"] = expected
    row = await queries.background_task_create(
        conn, id=task_id, org_id=org_id, app_id=app_id, kind=kind, arguments=arguments, data=data, now=now
    )
    if row is None:
        raise NotFound()
    return _task(row)


async def get(conn: Connection, org_id: str, task_id: UUID) -> BackgroundTask | None:
    kinds = (*PUBLIC, *ERASURES)
    row = await queries.background_task_get(conn, id=task_id, org_id=org_id, kinds=kinds)
    return None if row is None else _task(row)


async def page(
    conn: Connection, org_id: str, page: IdRange, *, kind: str | None = None, status: str | None = None
) -> list[BackgroundTask]:
    """The tasks of an organization that clients may see, in the order of the range."""
    kinds = PUBLIC if kind is None else tuple(k for k in PUBLIC if k == kind)
    # the API has no canceled tasks: they are shown as failed
    statuses = [TaskStatus.FAILED, TaskStatus.CANCELED] if status == TaskStatus.FAILED else [status]
    query = walk("background_task_page", upwards=page.upwards)
    rows = query(
        conn, org_id=org_id, kinds=kinds, statuses=None if status is None else statuses,
        low=page.low, high=page.high, limit=page.limit,
    )  # fmt: skip
    return [_task(row) async for row in rows]


async def of_application(conn: Connection, app_id: UUID, limit: int) -> list[BackgroundTask]:
    """The newest tasks of an application that the portal shows."""
    rows = queries.background_task_of_application(conn, app_id=app_id, kinds=SHOWN, limit=limit)
    return [_task(row) async for row in rows]


async def find(conn: Connection, app_id: UUID, task_id: UUID) -> BackgroundTask | None:
    row = await queries.background_task_find(conn, id=task_id, app_id=app_id, kinds=SHOWN)
    return None if row is None else _task(row)


async def cancel(conn: Connection, app_id: UUID, task_id: UUID, now: datetime) -> BackgroundTask | None:
    """Stop a running task before its next step. Returns None if there is no such running task."""
    row = await queries.background_task_cancel(conn, id=task_id, app_id=app_id, kinds=SHOWN, now=now)
    return None if row is None else _task(row)


async def erasing(conn: Connection, org_id: str, kind: str, target: UUID) -> BackgroundTask | None:
    """The running erasure of an application or a message."""
    row = await queries.background_task_erasing(conn, org_id=org_id, kind=kind, target=str(target))
    return None if row is None else _task(row)


async def clear(conn: Connection, task_id: UUID) -> None:
    """Forget what a task was to do."""
    await queries.background_task_clear(conn, id=task_id)


async def claim(conn: Connection, now: datetime) -> BackgroundTask | None:
    """The task whose due step has waited longest, locked until the transaction ends."""
    row = await queries.background_task_claim(conn, now=now)
    return None if row is None else _task(row)


async def next_due(conn: Connection) -> datetime | None:
    """When the next step of a task with a rate is due."""
    found: datetime | None = await queries.background_task_next_due(conn)
    return found


async def advance(
    conn: Connection,
    task_id: UUID,
    status: TaskStatus,
    cursor: dict[str, Any] | None,
    data: dict[str, Any],
    error: TaskError | None,
    now: datetime,
    due_at: datetime | None = None,
) -> None:
    """Store the progress of a task. `due_at`: when its next step is due, if not at once."""
    await queries.background_task_advance(
        conn, id=task_id, status=status, cursor=cursor, data=data, error=error, now=now, due_at=due_at
    )


async def cancel_queued(
    conn: Connection,
    task_id: UUID,
    org_id: str,
    app_id: UUID,
    endpoint_id: UUID,
    now: float,
    *,
    wait: bool = False,
) -> None:
    """Cancel all queued deliveries of an endpoint: a bounded number at once, the rest in a task. `wait`: keep
    manual attempts until the endpoint is enabled; otherwise cancel them and all that wait."""
    at = datetime_at(now)
    canceled = [await cancel_pending(conn, app_id, endpoint_id, None, AT_ONCE, at, wait=wait)]
    if not wait:
        canceled.append(await cancel_waiting(conn, app_id, endpoint_id, AT_ONCE, at))
    if max(canceled) >= AT_ONCE:
        arguments = cancel_arguments(endpoint_id, ids.made_by(now), wait=wait)
        await create(conn, task_id, org_id, app_id, CANCEL, arguments, at)


async def release_waiting(
    conn: Connection, task_id: UUID, org_id: str, app_id: UUID, endpoint_id: UUID, now: float, *, fifo: bool
) -> None:
    """Release deliveries that waited for an endpoint to be enabled: a bounded number at once, the rest in a
    task."""
    at = datetime_at(now)
    if await requeue.release(conn, app_id, endpoint_id, at, AT_ONCE, fifo=fifo) >= AT_ONCE:
        await create(conn, task_id, org_id, app_id, RELEASE, {"endpoint": str(endpoint_id)}, at)
