"""Adds up and reads what applications used by month, and stores their limits.

The statements that accept messages, record attempts and cancel deliveries count them in `usage_entry`, in
their own commit. So the counts are exact, whatever crashes, and no row is updated by two of them. `fold` adds
the entries to `usage`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from angarium.clock import datetime_at
from angarium.core.quota import Own, Reached
from angarium.store.connection import Connection, Row
from angarium.store.sql import queries
from angarium.store.stretch import HIGHEST, LOWEST

ERASED: Final = UUID(int=0)
"""The application that has the sums of applications that were erased."""


class Used(msgspec.Struct, frozen=True, gc=False):
    """What was used in a month."""

    messages: int = 0  # accepted
    attempts: int = 0
    failed: int = 0  # of the attempts
    delivered: int = 0  # deliveries that ended
    exhausted: int = 0
    canceled: int = 0


class MonthUse(msgspec.Struct, frozen=True, gc=False):
    """A month of an application. Its uid and name are None if it has none, or is gone."""

    app_id: UUID
    month: datetime
    uid: str | None
    name: str | None
    used: Used


class Folded(msgspec.Struct, frozen=True, gc=False):
    """A month that changed. `endpoints`: of the application, if one was created."""

    org_id: str
    app_id: UUID
    month: datetime
    uid: str | None
    name: str
    own: Own
    messages: int
    endpoints: int | None
    reached: frozenset[str]
    deleted: bool


class MonthStanding(msgspec.Struct, frozen=True, gc=False):
    """What an application used in a month so far, and the limits of its own."""

    org_id: str
    own: Own
    used: Used


async def fold(connection: Connection, limit: int) -> tuple[int, list[Folded]]:
    """Add at most `limit` entries to their months. Returns how many, and the months."""
    rows = [row async for row in queries.usage_fold(connection, limit=limit)]
    return sum(row["entries"] for row in rows), [
        Folded(
            org_id=row["org_id"],
            app_id=row["app_id"],
            month=row["month"],
            uid=row["uid"],
            name=row["name"],
            own=row["quota"],
            messages=row["messages"],
            endpoints=row["endpoints"],
            reached=frozenset(row["reached"]),
            deleted=row["deleted_at"] is not None,
        )
        for row in rows
        if row["org_id"] is not None  # the application is gone
    ]


async def reach(connection: Connection, found: Sequence[tuple[Folded, Sequence[Reached]]]) -> None:
    """Note limits that were reached, so that each is reported once."""
    await queries.usage_reach(
        connection,
        org_ids=[one.org_id for one, _ in found],
        months=[one.month for one, _ in found],
        app_ids=[one.app_id for one, _ in found],
        reached=[" ".join(limits) for _, limits in found],
    )


async def refuse(connection: Connection, found: Sequence[tuple[Folded, datetime]]) -> None:
    """Refuse messages of applications until a time, unless their limits were changed meanwhile."""
    await queries.usage_refuse(
        connection,
        app_ids=[one.app_id for one, _ in found],
        quotas=[msgspec.json.encode(one.own).decode() for one, _ in found],
        until=[until for _, until in found],
    )


async def allow(connection: Connection, app_ids: Sequence[UUID]) -> None:
    """Accept messages of applications again."""
    await queries.usage_allow(connection, app_ids=app_ids)


async def standing(
    connection: Connection, app_ids: Sequence[UUID], month: datetime
) -> dict[UUID, MonthStanding]:
    """What applications used in a month so far, also what is not added up yet."""
    rows = queries.usage_now(connection, app_ids=app_ids, month=month)
    return {row["app_id"]: MonthStanding(row["org_id"], row["quota"], _used(row)) async for row in rows}


async def count_endpoints(connection: Connection, app_id: UUID, endpoints: int, now: float) -> None:
    """Note how many endpoints an application has, after one was created."""
    await queries.usage_endpoint(connection, app_id=app_id, endpoints=endpoints, now=datetime_at(now))


async def limit(
    connection: Connection, app_id: UUID, own: Own, refused_until: datetime | None, now: datetime
) -> None:
    """Replace the limits of an application, and until when its messages are refused."""
    await queries.quota_update(
        connection, app_id=app_id, quota=dict(own), refused_until=refused_until, now=now
    )


async def page(
    connection: Connection,
    org_id: str,
    after: tuple[datetime, UUID] | None,
    *,
    since: datetime,
    until: datetime,
    app_id: UUID | None,
    upwards: bool,
    limit: int,
) -> list[MonthUse]:
    """Months of an organization from `since` to before `until`, in the direction of reading: `upwards` the
    oldest first."""
    start = (since, LOWEST) if upwards else (until, HIGHEST)
    month, place = after or start
    query = queries.usage_list if upwards else queries.usage_list_back
    rows = query(
        connection,
        org_id=org_id,
        after_month=month,
        after_id=place,
        since=since,
        until=until,
        app_id=app_id,
        limit=limit,
    )
    return [MonthUse(row["app_id"], row["month"], row["uid"], row["name"], _used(row)) async for row in rows]


async def history(connection: Connection, app_id: UUID, before: datetime, limit: int) -> list[MonthUse]:
    """The newest months of an application before a month."""
    rows = queries.usage_history(connection, app_id=app_id, before=before, limit=limit)
    return [MonthUse(row["app_id"], row["month"], row["uid"], None, _used(row)) async for row in rows]


def _used(row: Row | Mapping[str, int]) -> Used:
    return Used(*(row[name] for name in Used.__struct_fields__))
