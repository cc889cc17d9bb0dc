"""The steps of background tasks: recover, replay, cancel.

Any process may take any step; `run_due_tasks` is called by upkeep. A step is one transaction: it holds
the task, then the endpoint, does a bounded slice of the work and notes how far it came, or nothing.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import asyncpg

from angarium.clock import Clock, datetime_at
from angarium.store import background_task, delivery
from angarium.store.background_task import BackgroundTask, TaskStatus
from angarium.store.database import Database

MAX_FAILURES: Final = 10  # steps of one task that may fail in a row (a deadlock, a bug) before it is given up


async def run_due_tasks(database: Database, clock: Clock, *, steps: int = 20) -> int:
    """Take at most `steps` steps of whatever tasks wait, in turn; gives how many were taken."""
    for taken in range(steps):
        if not await step(database, clock.now()):
            return taken
    return steps


async def step(database: Database, now: float) -> bool:
    """Take one step of the task that has waited longest; False when none waits."""
    async with database.transaction() as conn:
        task = await background_task.claim(conn)
        if task is None:
            return False
        try:
            async with conn.transaction():
                status, cursor, data = await _work(conn, task, now)
        except (asyncpg.PostgresError, KeyError, ValueError) as error:
            # a broken task must not stop those behind it: it goes to the end of the queue, and is given up
            failures = (task.cursor or {}).get("failures", 0) + 1
            cursor = {**(task.cursor or {}), "failures": failures}
            status = TaskStatus.FAILED if failures >= MAX_FAILURES else TaskStatus.RUNNING
            data = (
                {**task.data, "error": f"{type(error).__name__}: {error}"}
                if failures >= MAX_FAILURES
                else task.data
            )
        await background_task.advance(conn, task.id, status, cursor, data, datetime_at(now))
        return True


async def _work(
    conn: Any, task: BackgroundTask, now: float
) -> tuple[TaskStatus, dict[str, Any] | None, dict[str, Any]]:
    if task.app_id is None:
        raise ValueError("the task names no application")
    endpoint_id = UUID(task.arguments["endpoint"])
    if task.kind == background_task.CANCEL:
        before = UUID(task.arguments["before"])
        count = await delivery.cancel_pending(conn, task.app_id, endpoint_id, before, delivery.SLICE)
        return _status(count < delivery.SLICE), None, task.data
    if task.kind not in background_task.PUBLIC:
        raise ValueError(f"unknown kind of task {task.kind}")
    target = await delivery.hold_target(conn, task.app_id, endpoint_id)
    if target is None or target.disabled_at is not None:
        why = "The endpoint was deleted." if target is None else "The endpoint is disabled."
        return TaskStatus.FAILED, task.cursor, {**task.data, "error": why}
    verb = delivery.recover if task.kind == background_task.RECOVER else delivery.replay
    after = UUID((task.cursor or task.arguments).get("after", task.arguments["after"]))
    done = await verb(conn, target, after, UUID(task.arguments["until"]), datetime_at(now))
    sent = task.data.get("messagesSent", 0) + done.marked
    cursor = {"after": str(done.after)} if done.after is not None else task.cursor
    return _status(done.after is None), cursor, {**task.data, "messagesSent": sent}


def _status(finished: bool) -> TaskStatus:
    return TaskStatus.FINISHED if finished else TaskStatus.RUNNING
