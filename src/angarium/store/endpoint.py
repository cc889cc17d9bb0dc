"""Finds, lists, creates, updates and deletes endpoints, and counts their attempts.

Every change that affects sending increments the revision and notifies the channel `angarium`, in the same
transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from angarium.core import ids
from angarium.core.errors import UidTaken
from angarium.core.keyring import NONCE_BYTES, Keyring
from angarium.core.nouns import Endpoint
from angarium.core.patterns import is_uid
from angarium.core.url import hide_login
from angarium.store.connection import Connection, Row
from angarium.store.message import IdRange
from angarium.store.sealed import LOGIN, open_headers, open_keys, seal_headers, seal_keys
from angarium.store.shard import shard_of
from angarium.store.sql import as_tuple, queries, walk


@dataclass(frozen=True, slots=True)
class Stats:
    """An endpoint's attempts and deliveries in a period, by result."""

    success: int
    pending: int
    sending: int
    fail: int
    canceled: int


def endpoint_of(row: Row, keyring: Keyring) -> Endpoint:
    """The endpoint of a full row."""
    endpoint_id = row["id"]
    headers = open_headers(keyring, endpoint_id, row["headers"])
    login = headers.pop(LOGIN, None)
    url, in_the_clear = hide_login(row["url"])  # as it was stored before logins were sealed
    return Endpoint(
        id=endpoint_id,
        app_id=row["app_id"],
        org_id=row["org_id"],
        uid=row["uid"],
        url=url,
        description=row["description"],
        version=row["version"],
        rate_limit=row["rate_limit"],
        event_types=as_tuple(row["event_types"]),
        channels=as_tuple(row["channels"]),
        metadata=row["metadata"],
        headers=headers,
        keys=open_keys(keyring, endpoint_id, row["keys"]),
        fifo=row["fifo"],
        shard=row["shard"],
        disabled_at=row["disabled_at"],
        disabled_reason=row["disabled_reason"],
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        deleted=row["deleted_at"] is not None,
        name=row["name"],
        login=in_the_clear if login is None else login,
    )


def _values(endpoint: Endpoint, keyring: Keyring, entropy: Callable[[int], bytes]) -> dict[str, Any]:
    sealed = endpoint.headers if endpoint.login is None else {**endpoint.headers, LOGIN: endpoint.login}
    return {
        "app_id": endpoint.app_id,
        "id": endpoint.id,
        "uid": endpoint.uid,
        "url": endpoint.url,
        "name": endpoint.name,
        "description": endpoint.description,
        "version": endpoint.version,
        "rate_limit": endpoint.rate_limit,
        "event_types": endpoint.event_types,
        "channels": endpoint.channels,
        "metadata": endpoint.metadata,
        "headers": seal_headers(keyring, endpoint.id, sealed, entropy(NONCE_BYTES)),
        "keys": seal_keys(keyring, endpoint.id, endpoint.keys, entropy(NONCE_BYTES)),
        "fifo": endpoint.fifo,
        "disabled_at": endpoint.disabled_at,
        "disabled_reason": endpoint.disabled_reason,
        "updated_at": endpoint.updated_at,
    }


async def find(
    connection: Connection, app_id: UUID, ref: str, keyring: Keyring, *, lock: bool = False
) -> Endpoint | None:
    """The endpoint with this id or uid, or None; `ref` may be any text. `lock` the row for an update."""
    endpoint_id = ids.parse(ids.ENDPOINT, ref)
    if endpoint_id is None and not is_uid(ref, ids.ENDPOINT):
        return None
    uid = ref if endpoint_id is None else None
    query = queries.endpoint_lock if lock else queries.endpoint_find
    row = await query(connection, app_id=app_id, id=endpoint_id, uid=uid)
    return None if row is None else endpoint_of(row, keyring)


async def create(
    connection: Connection, endpoint: Endpoint, keyring: Keyring, entropy: Callable[[int], bytes]
) -> Endpoint:
    """Store a new endpoint. Raises UidTaken if the uid is taken."""
    row = await queries.endpoint_insert(
        connection,
        **_values(endpoint, keyring, entropy),
        org_id=endpoint.org_id,
        shard=endpoint.shard,
        created_at=endpoint.created_at,
    )
    if row is None:
        raise UidTaken("an endpoint")
    await queries.endpoint_notify(connection, id=endpoint.id)
    return endpoint_of(row, keyring)


async def count(connection: Connection, app_id: UUID, limit: int) -> int:
    """How many endpoints an application has, counted up to `limit`."""
    found: int = await queries.endpoint_count(connection, app_id=app_id, limit=limit)
    return found


async def update(
    connection: Connection, endpoint: Endpoint, keyring: Keyring, entropy: Callable[[int], bytes]
) -> Endpoint | None:
    """Store what can change. Returns None if it is deleted. Raises UidTaken if the uid is taken."""
    try:
        row = await queries.endpoint_update(connection, **_values(endpoint, keyring, entropy))
    except asyncpg.UniqueViolationError as error:
        raise UidTaken("an endpoint") from error
    await queries.endpoint_notify(connection, id=endpoint.id)
    return None if row is None else endpoint_of(row, keyring)


async def delete(connection: Connection, endpoint: Endpoint, now: datetime) -> None:
    await queries.endpoint_delete(connection, app_id=endpoint.app_id, id=endpoint.id, now=now)
    await queries.endpoint_notify(connection, id=endpoint.id)


async def reset_health(connection: Connection, endpoint: Endpoint) -> None:
    """Reset the endpoint's health."""
    await queries.endpoint_reset_health(connection, app_id=endpoint.app_id, id=endpoint.id)
    await queries.endpoint_notify_health_reset(connection, id=endpoint.id)


async def touch_all(connection: Connection, app_id: UUID, *, only_inheriting: bool) -> list[UUID]:
    """Make dispatchers reload the endpoints of an application. `only_inheriting`: only those that use its
    rate limit. Returns their ids."""
    rows = queries.endpoint_touch_all(connection, app_id=app_id, only_inheriting=only_inheriting)
    touched: list[UUID] = [row["id"] async for row in rows]
    await queries.endpoint_notify_many(connection, ids=touched)
    return touched


async def notify_changed(connection: Connection, endpoint_ids: Sequence[UUID]) -> None:
    """Make dispatchers reload these endpoints."""
    await queries.endpoint_notify_many(connection, ids=endpoint_ids)


async def page(
    connection: Connection,
    app_id: UUID,
    cursor: UUID | None,
    keyring: Keyring,
    *,
    ascending: bool,
    limit: int,
) -> list[Endpoint]:
    """Up to `limit` endpoints after the cursor, in the requested order."""
    query = walk("endpoint_list", upwards=ascending)
    bounds = IdRange.beyond(cursor, limit, upwards=ascending)
    rows = query(connection, app_id=app_id, low=bounds.low, high=bounds.high, limit=limit)
    return [endpoint_of(row, keyring) async for row in rows]


async def stats(connection: Connection, endpoint: Endpoint, lowest: UUID, highest: UUID) -> Stats:
    """Count attempts and deliveries whose ids are between the bounds."""
    row = await queries.endpoint_stats(
        connection, app_id=endpoint.app_id, id=endpoint.id, shard=shard_of(endpoint.id), lowest=lowest,
        highest=highest,
    )  # fmt: skip
    return Stats(row["success"], row["pending"], row["sending"], row["fail"], row["canceled"])


class Uids(msgspec.Struct, frozen=True, gc=False):
    """The operator's own ids of an endpoint and its application."""

    application: str | None
    endpoint: str | None


async def uids(connection: Connection, named: Sequence[tuple[UUID, UUID]]) -> dict[UUID, Uids]:
    """The uids by endpoint id. `named`: pairs of application id and endpoint id."""
    rows = queries.endpoint_uids(
        connection,
        app_ids=[app_id for app_id, _ in named],
        endpoint_ids=[endpoint_id for _, endpoint_id in named],
    )
    return {row["id"]: Uids(row["app_uid"], row["uid"]) async for row in rows}
