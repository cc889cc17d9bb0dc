"""An application with so many endpoints that they are made by one statement."""

from __future__ import annotations

import os
from typing import Final
from uuid import UUID

from angarium.core import ids
from angarium.core.keyring import Keyring
from angarium.core.nouns import Application, SigningKey
from angarium.core.signature import new_secret
from angarium.store.connection import Connection
from angarium.store.sealed import seal_keys
from angarium.store.shard import shard_of

_INSERT: Final = """
insert into endpoint (
    app_id, id, org_id, url, keys, fifo, shard, event_types, disabled_at, deleted_at, created_at, updated_at
)
select $1, id, $2, $3 || place, keys, $4, shard, $5, case when $6 then $8::timestamptz end,
       case when $7 then $8::timestamptz end, $8, $8
from unnest($9::uuid[], $10::bytea[], $11::smallint[]) with ordinality as made (id, keys, shard, place)
"""


async def endpoints(
    connection: Connection,
    app: Application,
    count: int,
    url: str = "http://127.0.0.1:9/",
    *,
    fifo: bool = False,
    event_types: list[str] | None = None,
    disabled: bool = False,
    deleted: bool = False,
    keyring: Keyring | None = None,
) -> list[UUID]:
    """So many endpoints in the order of their ids, their URLs numbered from 1. With the keyring they can be
    sent to."""
    at = app.created_at.timestamp()
    made = [ids.at(int(at * 1_000_000) + n, os.urandom(8)) for n in range(count)]
    key = SigningKey(new_secret(os.urandom(24)))
    keys = [b"" if keyring is None else seal_keys(keyring, one, [key], os.urandom(12)) for one in made]
    shards = [shard_of(one) for one in made]
    await connection.execute(
        _INSERT, app.id, app.org_id, url, fifo, event_types, disabled, deleted, app.created_at, made, keys,
        shards,
    )  # fmt: skip
    return made
