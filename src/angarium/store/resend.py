"""Requests a manual attempt of each delivery in a log that matches a filter, in slices.

It reads the log from the oldest entry, up to the newest message at the time of the request. A delivery is
compared with the filter when its slice is processed. Deliveries that cannot be sent are skipped: the endpoint
is deleted, or is disabled and not named by the filter; the payload was deleted; or a manual attempt is
already requested.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from angarium.core.log_filter import LogFilter, LogKey
from angarium.store import log, requeue
from angarium.store.connection import Connection
from angarium.store.stretch import HIGHEST
from angarium.store.target import hint_target, hold_target

SLICE: Final = 500  # deliveries that one step requeues
LOOKED_AT: Final = 2000  # deliveries that one step reads


@dataclass(frozen=True, slots=True)
class ResendOrder:
    """What to resend: matches of messages up to `until`, after `after`."""

    wanted: LogFilter
    until: UUID
    after: LogKey | None

    @classmethod
    def of(cls, arguments: Mapping[str, Any], cursor: Mapping[str, Any] | None) -> ResendOrder:
        """The order that a background task stores. Raises KeyError or ValueError."""
        after = (cursor or {}).get("after")
        return cls(
            LogFilter.of(arguments["filter"]),
            UUID(arguments["until"]),
            None if after is None else LogKey.parse(after),
        )


@dataclass(frozen=True, slots=True)
class ResendSlice:
    """The result of one step: how many deliveries were requeued, and after which to continue (None: done)."""

    marked: int
    after: LogKey | None


async def resend(
    conn: Connection, app_id: UUID, order: ResendOrder, now: datetime, limit: int
) -> ResendSlice:
    """Request a manual attempt of each of the next matches, at most `limit`. Call it in a transaction."""
    found = await log.look_for(conn, app_id, order.wanted, now, sendable=True)
    if found is None:
        return ResendSlice(0, None)
    search, stretch, _ = found
    stretch = log.Stretch(
        stretch.low if order.after is None else max(stretch.low, order.after),
        min(stretch.high, LogKey(order.until, HIGHEST)),
    )
    end = await log.end(conn, search, stretch, search.rows(LOOKED_AT), upwards=True)
    part = stretch if end is None else stretch.until(end, upwards=True)
    keys = [row.key for row in await log.page(conn, search, part, limit, upwards=True)]
    named = order.wanted.endpoint_id is not None
    marked = await _requeue(conn, app_id, keys, now, named=named)
    if len(keys) == limit:
        return ResendSlice(marked, keys[-1])
    return ResendSlice(marked, None if end is None else stretch.beyond(end, upwards=True).low)


async def _requeue(conn: Connection, app_id: UUID, keys: list[LogKey], now: datetime, *, named: bool) -> int:
    """Request the attempts, unless the endpoint is now disabled or deleted. Returns how many. Attempts for a
    disabled endpoint that the filter `named` wait until it is enabled."""
    requeued = 0
    for endpoint_id in sorted({key.endpoint_id for key in keys}):
        target = await hold_target(conn, app_id, endpoint_id)
        if target is None or (target.disabled_at is not None and not named):
            continue
        wanted = [key.message_id for key in keys if key.endpoint_id == endpoint_id]
        marked = await requeue.resend_queued(conn, target, wanted, now, passing_over=True)
        marked += await requeue.resend_over(conn, target, wanted, now)
        if marked and target.disabled_at is None:
            await hint_target(conn, target)
        requeued += marked
    return requeued
