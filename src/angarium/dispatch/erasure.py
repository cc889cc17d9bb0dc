"""Takes the steps of erasures, which are background tasks (store/erase.py).

The request marked the application, so that no later statement writes anything of it. The steps are:

1. `wait`: until the transactions have ended that were writing when the task began. One of them may have found
   the application before it was marked.
2. `tables`: delete table by table, in slices.
3. `attempts`, `keys`: walk over the rows that no index finds, and delete what is left.
4. `verify`: count what is left in every table. If there is anything, start again.
5. `end`: delete the endpoints in slices; then, in one transaction, the application, and write
   `application.erased` to the audit log.

A step commits together with the cursor, so any process can continue after any stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog

from angarium.core import ids
from angarium.core.audit import Actor, AuditEvent
from angarium.store import audit, background_task, erase
from angarium.store.background_task import BackgroundTask, TaskStatus
from angarium.store.connection import Connection
from angarium.store.erase import TABLES, ErasedApplication
from angarium.store.stretch import LOWEST

log = structlog.get_logger(__name__)

PAUSE: Final = 0.1  # seconds between looks at transactions, and before everything starts again
BREATH: Final = 0.02  # seconds between slices of a walk, which reads rows of all applications


@dataclass(frozen=True, slots=True)
class ErasureStep:
    """What follows after a step. `rest`: seconds before the next one."""

    cursor: dict[str, Any] | None
    data: dict[str, Any]
    rest: float = 0.0

    @property
    def status(self) -> TaskStatus:
        return TaskStatus.FINISHED if self.cursor is None else TaskStatus.RUNNING


async def step(conn: Connection, task: BackgroundTask, record_id: UUID) -> ErasureStep:
    """Take the next step. `record_id`: of the record of the audit log, if this is the last one."""
    if task.kind == background_task.ERASE_MESSAGE:
        return await _message(conn, task, record_id)
    asked = task.arguments
    subject = ErasedApplication(
        task.org_id, UUID(asked["target"]), [bytes.fromhex(one) for one in asked["subjects"]]
    )
    cursor = task.cursor or {}
    match cursor.get("phase", "begin"):  # a first step that failed has left a count of failures only
        case "begin":
            return ErasureStep({"phase": "wait", "writers": await erase.writers(conn)}, task.data)
        case "wait":
            if await erase.writing(conn, cursor["writers"]):
                return ErasureStep({"phase": "wait", "writers": cursor["writers"]}, task.data, PAUSE)
            return ErasureStep({"phase": "tables", "place": 0}, task.data)
        case "tables":
            return await _tables(conn, task, subject, cursor["place"])
        case "attempts":
            gone, after = await erase.walk_attempts(
                conn, subject.app_id, (UUID(cursor["message"]), UUID(cursor["id"]))
            )
            data = _counted(task, {"attempt": gone})
            if after is None:
                return ErasureStep({"phase": "keys", "after": ""}, data)
            return ErasureStep(
                {"phase": "attempts", "message": str(after[0]), "id": str(after[1])}, data, BREATH
            )
        case "keys":
            gone, key = await erase.walk_idempotency(conn, subject.app_id, bytes.fromhex(cursor["after"]))
            data = _counted(task, {"idempotency": gone})
            if key is None:
                return ErasureStep({"phase": "verify"}, data)
            return ErasureStep({"phase": "keys", "after": key.hex()}, data, BREATH)
        case "verify":
            if left := await erase.left(conn, subject):
                log.warning("erasure.again", application=_named(subject.app_id), left=left)
                return ErasureStep({"phase": "tables", "place": 0}, task.data, PAUSE)
            return ErasureStep({"phase": "end"}, task.data)
        case "end":
            return await _end(conn, task, subject, record_id)
    raise ValueError(f"unknown phase {cursor.get('phase')}")


async def _tables(
    conn: Connection, task: BackgroundTask, subject: ErasedApplication, place: int
) -> ErasureStep:
    table = TABLES[place]
    gone, more = await erase.erase(conn, table, subject)
    data = _counted(task, gone)
    if more:
        return ErasureStep({"phase": "tables", "place": place}, data)
    if place + 1 < len(TABLES):
        return ErasureStep({"phase": "tables", "place": place + 1}, data)
    return ErasureStep({"phase": "attempts", "message": str(LOWEST), "id": str(LOWEST)}, data)


async def _end(
    conn: Connection, task: BackgroundTask, subject: ErasedApplication, record_id: UUID
) -> ErasureStep:
    gone, more = await erase.erase(conn, erase.LAST, subject)
    data = _counted(task, gone)
    if more:
        return ErasureStep({"phase": "end"}, data)
    await erase.end(conn, subject)
    await _record(conn, task, subject.app_id, "application.erased", _named(subject.app_id), data, record_id)
    await background_task.clear(conn, task.id)
    return ErasureStep(None, data)


async def _message(conn: Connection, task: BackgroundTask, record_id: UUID) -> ErasureStep:
    """Clear what receivers said about a message. The request did the rest."""
    message_id, app_id = UUID(task.arguments["target"]), task.app_id
    assert app_id is not None
    data = _counted(task, {"attempt": await erase.responses(conn, app_id, message_id)})
    if await erase.left_responses(conn, app_id, message_id):
        return ErasureStep({"phase": "responses"}, data)
    named = ids.text(ids.MESSAGE, message_id)
    await _record(conn, task, app_id, "message.erased", named, data, record_id)
    await background_task.clear(conn, task.id)
    return ErasureStep(None, data)


async def _record(
    conn: Connection,
    task: BackgroundTask,
    app_id: UUID,
    action: str,
    target: str,
    data: dict[str, Any],
    record_id: UUID,
) -> None:
    """Record what was erased, for whom it was asked, and what identifies it: no names and no content."""
    asked = task.arguments
    said = {**asked["said"], "rows": data.get("rows", {}), "left": 0}
    event = AuditEvent(task.org_id, app_id, action, target, None, said)
    await audit.record(conn, record_id, Actor.of(asked["actor"], None), event)


def _counted(task: BackgroundTask, gone: dict[str, int]) -> dict[str, Any]:
    """The data of the task with these rows, by table, added."""
    rows = dict(task.data.get("rows", {}))
    for table, count in gone.items():
        if count:
            rows[table] = rows.get(table, 0) + count
    return {**task.data, "rows": rows}


def _named(app_id: UUID) -> str:
    return ids.text(ids.APPLICATION, app_id)
