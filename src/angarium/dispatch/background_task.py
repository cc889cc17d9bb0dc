"""Runs the steps of background tasks: recover, replay, resend, cancel, release, erase.

Maintenance calls `run_due_tasks`; any process may take any step. A step is one transaction: it locks the
task, then the endpoints, does a bounded slice of the work and stores the progress. After a step, a task with
a rate pauses for as long as its deliveries take at that rate.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.errors import Invalid, StoreReason, StoreUnavailable
from angarium.core.nouns import TaskError
from angarium.dispatch import erasure
from angarium.store import background_task, requeue
from angarium.store.background_task import BackgroundTask, TaskStatus
from angarium.store.cancel import cancel_pending, cancel_waiting
from angarium.store.connection import Connection
from angarium.store.database import Database, savepoint
from angarium.store.fault import DatabaseFault
from angarium.store.target import hold_target

log = structlog.get_logger(__name__)

MAX_FAILURES: Final = 10  # steps of one task in a row (a deadlock, a bug) after which it has failed
STEP: Final = 2.0  # seconds of its rate that a task does in one step


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a task after a step. `rest`: seconds before the next step; `error`: why it failed."""

    status: TaskStatus
    cursor: dict[str, Any] | None
    data: dict[str, Any]
    rest: float = 0.0
    error: TaskError | None = None


async def run_due_tasks(database: Database, clock: Clock, *, steps: int = 20) -> int:
    """Take at most `steps` steps of waiting tasks, in turn. Returns how many were taken."""
    for taken in range(steps):
        if not await step(database, clock.now()):
            return taken
    return steps


async def step(database: Database, now: float) -> bool:
    """Take one step of the task that has waited longest. Returns False if none waits."""
    async with database.transaction() as conn:
        task = await background_task.claim(conn, datetime_at(now))
        if task is None:
            return False
        try:
            async with savepoint(conn):
                done = await _work(conn, task, now)
        except (StoreUnavailable, DatabaseFault, KeyError, ValueError, Invalid) as error:
            # a deadlock or a timeout may be due to the task; a lock that another session holds is not
            if isinstance(error, StoreUnavailable) and error.reason is StoreReason.LOCKED:
                raise
            done = _failed(task, error)
        due_at = datetime_at(now + done.rest) if done.rest else None
        await background_task.advance(
            conn, task.id, done.status, done.cursor, done.data, done.error, datetime_at(now), due_at
        )
        return True


def _failed(task: BackgroundTask, error: Exception) -> Progress:
    """Count a failure. A failing task must not block others: it goes to the end of the queue, and fails for
    the last time after MAX_FAILURES."""
    failures = (task.cursor or {}).get("failures", 0) + 1
    cursor = {**(task.cursor or {}), "failures": failures}
    if failures < MAX_FAILURES:
        return Progress(TaskStatus.RUNNING, cursor, task.data)
    log.error("task.failed", task=ids.text(ids.TASK, task.id), kind=task.kind, exc_info=error)
    return Progress(TaskStatus.FAILED, cursor, task.data, error=TaskError.INTERNAL)


async def _work(conn: Connection, task: BackgroundTask, now: float) -> Progress:
    if task.kind in background_task.ERASURES:
        done = await erasure.step(conn, task, ids.new(now, os.urandom(8)))
        return Progress(done.status, done.cursor, done.data, done.rest)
    if task.app_id is None:
        raise ValueError("the task names no application")
    if task.kind == background_task.RESEND:
        return await _resend(conn, task, task.app_id, now)
    endpoint_id = UUID(task.arguments["endpoint"])
    if task.kind == background_task.CANCEL:
        return await _cancel(conn, task, task.app_id, endpoint_id, now)
    if task.kind == background_task.RELEASE:
        return await _release(conn, task, task.app_id, endpoint_id, now)
    if task.kind not in background_task.PUBLIC:
        raise ValueError(f"unknown kind of task {task.kind}")
    target = await hold_target(conn, task.app_id, endpoint_id)
    if target is None:
        return Progress(TaskStatus.FAILED, task.cursor, task.data, error=TaskError.ENDPOINT_DELETED)
    verb = requeue.recover if task.kind == background_task.RECOVER else requeue.replay
    after = UUID((task.cursor or task.arguments).get("after", task.arguments["after"]))
    until = UUID(task.arguments["until"])
    moved = await verb(conn, target, after, until, datetime_at(now), _room(task, requeue.SLICE))
    cursor = {"after": str(moved.after)} if moved.after is not None else task.cursor
    return _progress(task, moved.marked, cursor, finished=moved.after is None)


async def _cancel(
    conn: Connection, task: BackgroundTask, app_id: UUID, endpoint_id: UUID, now: float
) -> Progress:
    at = datetime_at(now)
    before, wait = UUID(task.arguments["before"]), task.arguments.get("wait", False)
    limit = requeue.SLICE
    if wait:
        target = await hold_target(conn, app_id, endpoint_id)
        if target is not None and target.disabled_at is None:
            return Progress(TaskStatus.FINISHED, None, task.data)  # enabled again: its deliveries are wanted
    count = await cancel_pending(conn, app_id, endpoint_id, before, limit, at, wait=wait)
    if not wait and count < limit:
        count = await cancel_waiting(conn, app_id, endpoint_id, limit, at)
    return Progress(_status(count < limit), None, task.data)


async def _release(
    conn: Connection, task: BackgroundTask, app_id: UUID, endpoint_id: UUID, now: float
) -> Progress:
    target = await hold_target(conn, app_id, endpoint_id)
    if target is None or target.disabled_at is not None:
        return Progress(TaskStatus.FINISHED, None, task.data)  # the deliveries wait again, or were canceled
    limit = requeue.SLICE
    count = await requeue.release(conn, app_id, endpoint_id, datetime_at(now), limit, fifo=target.fifo)
    return Progress(_status(count < limit), None, task.data)


async def _resend(conn: Connection, task: BackgroundTask, app_id: UUID, now: float) -> Progress:
    done = await requeue.resend_matching(
        conn,
        app_id,
        requeue.ResendOrder.of(task.arguments, task.cursor),
        datetime_at(now),
        _room(task, requeue.RESEND_SLICE),
    )
    cursor = task.cursor if done.after is None else {"after": done.after.text()}
    return _progress(task, done.marked, cursor, finished=done.after is None)


def _progress(
    task: BackgroundTask, marked: int, cursor: dict[str, Any] | None, *, finished: bool
) -> Progress:
    data = {**task.data, "messagesSent": task.data.get("messagesSent", 0) + marked}
    rate = task.arguments.get("rate")
    rest = marked / rate if rate and not finished else 0.0
    return Progress(_status(finished), cursor, data, rest)


def _room(task: BackgroundTask, most: int) -> int:
    """How many deliveries one step may requeue."""
    rate = task.arguments.get("rate")
    return min(most, max(1, int(rate * STEP))) if rate else most


def _status(finished: bool) -> TaskStatus:
    return TaskStatus.FINISHED if finished else TaskStatus.RUNNING
