"""Messages, deliveries and attempts written row by row, as accepting and completing leave them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from angarium.core.nouns import State
from angarium.store import partition
from angarium.store.connection import Connection
from angarium.store.shard import shard_of

LATER: Final = datetime(2040, 1, 1, tzinfo=UTC)

_PENDING: Final = """
insert into pending (shard, endpoint_id, message_id, app_id, due_at, seq)
values ($1, $2, $3, $4, $5, case when $6 then nextval('acceptance') end)
"""
_RETRY: Final = """
insert into retry (
    shard, endpoint_id, message_id, app_id, due_at, manual_at, state, failures, attempts, status_code,
    error_code, scheduled, seq
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, case when $13 then nextval('acceptance') end)
"""
_OVER: Final = """
insert into attempt (
    message_id, id, endpoint_id, app_id, number, failures, state, status_code, manual, final, error_code
)
values ($1, new_id($2), $3, $4, $5, $6, $7, $8, false, true, $9)
"""
_ATTEMPT: Final = """
insert into attempt (
    message_id, id, endpoint_id, app_id, number, failures, duration_ms, state, status, status_code, manual,
    final, next_at, revision, error_code, error, response, exchange
)
values ($1, $2, $3, $4, $5, 0, $6, 1, $7, $8, $9, false, $10, $11, $12, $13, $14, $15)
"""


async def add_endpoint(connection: Connection, app_id: UUID, endpoint_id: UUID) -> None:
    """An endpoint that nothing is sent to."""
    await connection.execute(
        "insert into endpoint (app_id, id, org_id, url, keys, shard, created_at, updated_at)"
        " values ($1, $2, 'org_1', 'http://127.0.0.1:9/', '', $3, $4, $4)",
        app_id, endpoint_id, shard_of(endpoint_id), LATER,
    )  # fmt: skip


async def add_message(
    connection: Connection,
    app_id: UUID,
    message_id: UUID,
    event_type: str = "a",
    payload: bytes | None = b"{}",
    *,
    event_id: str | None = None,
    channels: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
    endpoint_id: UUID | None = None,
    expires_at: datetime = LATER,
) -> None:
    """A message that nothing was sent of. Without a payload: it was forgotten."""
    await partition.cover(connection, [message_id], [expires_at])
    await connection.execute(
        "insert into message (app_id, id, event_id, event_type, channels, tags, endpoint_id, expires_at)"
        " values ($1, $2, $3, $4, $5, $6, $7, $8)",
        app_id, message_id, event_id, event_type, channels, tags, endpoint_id, expires_at,
    )  # fmt: skip
    if payload is not None:
        await connection.execute("insert into payload values ($1, $2, $3)", message_id, expires_at, payload)
    if event_id is not None:
        await connection.execute("insert into event_id values ($1, $2, $3)", app_id, event_id, message_id)


async def add_delivery(
    connection: Connection,
    app_id: UUID,
    endpoint_id: UUID,
    message_id: UUID,
    *,
    state: State = State.PENDING,
    failures: int = 0,
    attempts: int = 0,
    status_code: int | None = None,
    error_code: str | None = None,
    due_at: datetime | None = None,
    manual_at: datetime | None = None,
    scheduled: bool = False,
    fifo: bool = False,
) -> None:
    """A delivery where such a one is recorded: in the queue, or over, then without its attempts."""
    lane = (shard_of(endpoint_id), endpoint_id, message_id, app_id)
    if state is State.PENDING and due_at is not None and not (failures or attempts or manual_at or scheduled):
        await connection.execute(_PENDING, *lane, due_at, fifo)
    elif state is State.PENDING or manual_at is not None:
        await connection.execute(
            _RETRY,
            *lane,
            due_at,
            manual_at,
            state,
            failures,
            attempts,
            status_code,
            error_code,
            scheduled,
            fifo,
        )
    else:
        await connection.execute(
            _OVER, message_id, LATER, endpoint_id, app_id, attempts, failures, state, status_code, error_code
        )


async def move_delivery(
    connection: Connection, app_id: UUID, endpoint_id: UUID, message_id: UUID, **state: Any
) -> None:
    """The delivery there is, as `add_delivery` makes it."""
    queued = [
        await connection.fetchval(
            f"delete from {table} where endpoint_id = $1 and message_id = $2 returning true",
            endpoint_id, message_id,
        )
        for table in ("pending", "retry")
    ]  # fmt: skip
    over = await connection.fetchval(
        "update attempt set final = false"
        " where endpoint_id = $1 and message_id = $2 and final returning true",
        endpoint_id, message_id,
    )  # fmt: skip
    assert any((*queued, over)), "there is none"
    await add_delivery(connection, app_id, endpoint_id, message_id, **state)


async def end_pending(connection: Connection, state: State) -> None:
    """Everything that was never attempted is over."""
    await connection.execute(
        "with gone as (delete from pending returning *)"
        " insert into attempt (message_id, id, endpoint_id, app_id, number, failures, state, manual, final)"
        " select message_id, new_id($2), endpoint_id, app_id, 0, 0, $1, false, true from gone",
        state, LATER,
    )  # fmt: skip


async def add_attempt(
    connection: Connection,
    app_id: UUID,
    message_id: UUID,
    attempt_id: UUID,
    endpoint_id: UUID,
    *,
    number: int = 1,
    manual: bool = False,
    status: int = 0,
    status_code: int = 200,
    error_code: str | None = None,
    error: str | None = None,
    response: bytes | None = None,
    duration_ms: int = 10,
    next_at: datetime | None = None,
    revision: int = 1,
    exchange: bytes | None = None,
) -> None:
    """An attempt that is not the record of its delivery."""
    await partition.cover(connection, [message_id])
    await connection.execute(
        _ATTEMPT, message_id, attempt_id, endpoint_id, app_id, number, duration_ms, status, status_code,
        manual, next_at, revision, error_code, error, response, exchange,
    )  # fmt: skip
