"""Loads the deliveries and the configuration of lanes from the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from angarium.clock import datetime_at
from angarium.core.health import Health
from angarium.core.nouns import State
from angarium.core.read_position import FIRST, START
from angarium.store import organization
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries


class LaneRef(msgspec.Struct, frozen=True, gc=False):
    """A lane that has queued deliveries, and when the next is due. `unplaced`: its first delivery has no
    place in the order of acceptance, which is always so in a free lane. `first`: the message of the first
    delivery that was never attempted, if any."""

    app_id: UUID
    endpoint_id: UUID
    due_at: float
    unplaced: bool
    first: UUID | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request for the next deliveries of a lane, at most `room`."""

    endpoint_id: UUID
    shard: int
    fifo: bool
    room: int
    after: int = START  # load deliveries that were never attempted only if their place is after this one


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """A queued delivery. `manual_at` identifies the request for a manual attempt, if there is one."""

    endpoint_id: UUID
    message_id: UUID
    state: State
    failures: int
    attempts: int
    due_at: float
    manual_at: datetime | None
    event_type: str
    payload: bytes | None
    expires_at: float  # of the payload
    test: bool  # sent to this endpoint only
    content_type: str | None
    pending: bool  # in `pending`: never attempted
    seq: int = FIRST  # its place in the order of acceptance, if it has one
    trace: bytes | None = None  # the span of the message's acceptance, if it is sampled


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration of an endpoint for sending; `headers` and `keys` are sealed."""

    app_id: UUID
    endpoint_id: UUID
    org_id: str
    profile: str | None  # None: the standard one
    url: str
    headers: bytes | None
    keys: bytes
    fifo: bool
    shard: int
    revision: int
    rate_limit: int | None
    active: bool
    generation: int  # health of an older generation is ignored
    health: Health


async def lanes_of(connection: Connection, shards: Sequence[int]) -> list[LaneRef]:
    """The lanes of these shards that have queued deliveries."""
    rows = queries.lanes_of(connection, shards=shards)
    return [
        LaneRef(app_id, endpoint_id, due_at.timestamp(), unplaced, first)
        async for app_id, endpoint_id, due_at, unplaced, first in rows
    ]


async def load(
    connection: Connection, wanted: Sequence[Wanted], now: datetime
) -> tuple[list[Loaded], dict[UUID, float]]:
    """The next deliveries of some lanes, and when the next one of each lane is due after `now`. For a
    first-in-first-out lane that is only for messages that were accepted for a later time."""
    loaded: list[Loaded] = []
    next_due: dict[UUID, float] = {}
    queried = []
    free = [want for want in wanted if not want.fifo]
    if free:
        queried.append(
            queries.load_free(
                connection,
                endpoint_ids=[want.endpoint_id for want in free],
                shards=[want.shard for want in free],
                afters=[UUID(int=max(want.after, FIRST)) for want in free],
                rooms=[want.room for want in free],
                now=now,
            )
        )
    fifo = [want for want in wanted if want.fifo]
    if fifo:
        queried.append(
            queries.load_fifo(
                connection,
                endpoint_ids=[want.endpoint_id for want in fifo],
                afters=[want.after for want in fifo],
                rooms=[want.room for want in fifo],
                now=now,
            )
        )
    for rows in queried:
        async for row in rows:
            if row["message_id"] is not None:
                loaded.append(_loaded(row))
            elif row["next_due"] is not None:
                next_due[row["endpoint_id"]] = row["next_due"].timestamp()
    return loaded, next_due


async def set_back(connection: Connection, shards: Sequence[int], before: float, now: float) -> None:
    """The clock was set back from `before` to `now`, epoch seconds: move due times back with it, except those
    that a sender chose."""
    await queries.due_set_back(
        connection, shards=list(shards), before=datetime_at(before), now=datetime_at(now)
    )


def _loaded(row: Row) -> Loaded:
    return Loaded(
        endpoint_id=row["endpoint_id"],
        message_id=row["message_id"],
        state=State(row["state"]),
        failures=row["failures"],
        attempts=row["attempts"],
        due_at=row["due_at"].timestamp(),
        manual_at=row["manual_at"],
        event_type=row["event_type"] or "",
        payload=row["payload"],
        expires_at=0.0 if row["expires_at"] is None else row["expires_at"].timestamp(),
        test=row["test"],
        content_type=row["content_type"],
        pending=row["pending"],
        seq=row["seq"] or FIRST,
        trace=row["trace"],
    )


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


async def configs(connection: Connection, lanes: Sequence[tuple[UUID, UUID]]) -> list[Config]:
    """The configuration of lanes, which are given as pairs of application id and endpoint id."""
    found = queries.lane_configs(
        connection,
        app_ids=[app_id for app_id, _ in lanes],
        endpoint_ids=[endpoint_id for _, endpoint_id in lanes],
    )
    rows = [row async for row in found]
    profiles = await organization.profiles(connection, {row["org_id"] for row in rows})
    return [
        Config(
            app_id=row["app_id"],
            endpoint_id=row["id"],
            org_id=row["org_id"],
            profile=profiles.get(row["org_id"]),
            url=row["url"],
            headers=row["headers"],
            keys=row["keys"],
            fifo=row["fifo"],
            shard=row["shard"],
            revision=row["revision"],
            rate_limit=row["rate_limit"],
            active=row["active"],
            generation=row["generation"],
            health=Health(
                failing_since=_seconds(row["failing_since"]),
                failures=row["failures"] or 0,
                run_since=_seconds(row["run_since"]),
                run_until=_seconds(row["run_until"]),
                clock_since=_seconds(row["clock_since"]),
            ),
        )
        for row in rows
    ]
