"""Reads an application's messages, and its log: every delivery, filtered, page by page.

A page of the log scans a bounded number of deliveries. When a filter matches few, the page has those, the
time back to which it searched, and a cursor to continue from: rare matches take several pages, never a slow
one. `intake` sends messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.errors import NotFound
from angarium.core.log_filter import LogFilter, LogKey
from angarium.core.nouns import Attempt, Message, State
from angarium.service.product import Products
from angarium.service.use_case import Subject, UseCase, existing
from angarium.store import attempt, fan_out
from angarium.store import log as store
from angarium.store import message as message_store
from angarium.store.cancel import cancel_message
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.log import LogEndpoint, LogRow, Search, Stretch
from angarium.store.message import Filter, IdRange
from angarium.store.stretch import AHEAD, LOWEST

STRETCHES: Final = (1_000, 9_000)  # deliveries scanned for one page; the first step is usually enough
MAX_DELIVERIES: Final = 1_000  # shown with a message
MAX_ATTEMPTS: Final = 100
MAX_DELETED: Final = 100  # deleted endpoints to choose from
RECENT: Final = 90 * 86400.0  # how far back a list goes by default


@dataclass(frozen=True, slots=True)
class LogLine:
    """A delivery and its endpoint."""

    row: LogRow
    endpoint: LogEndpoint

    @property
    def key(self) -> LogKey:
        return self.row.key

    @property
    def created_at(self) -> datetime:
        """When the message was accepted."""
        return datetime_at(ids.created_at(self.row.message_id))


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines, newest first; `older` and `newer` are cursors, None where the log ends.

    `searched_to`: the search stopped at this time, at its limit; there may be more matches beyond it.
    """

    lines: tuple[LogLine, ...] = ()
    older: LogKey | None = None
    newer: LogKey | None = None
    searched_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class MessageDelivery:
    """The delivery of a message to one endpoint.

    `remaining`: the delays (seconds) of the schedule that follow if the next attempt fails.
    """

    line: LogLine
    remaining: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MessageDetail:
    """A message with its payload, its deliveries, and its newest attempts."""

    message: Message
    deliveries: tuple[MessageDelivery, ...]
    attempts: tuple[Attempt, ...]
    more_attempts: bool


class Log(UseCase):
    """Reads an application's deliveries."""

    def __init__(self, database: Database, clock: Clock, product: Products) -> None:
        super().__init__(database, clock)
        self._product = product

    async def endpoints(self, app_id: UUID, wanted: UUID | None = None) -> tuple[LogEndpoint, ...]:
        """The endpoints to choose from: those in use in order of creation, then `MAX_DELETED` deleted ones,
        the latest first, and the `wanted` one if it is not among these."""
        found = await self._database.read(lambda conn: store.endpoints(conn, app_id))
        deleted = sorted((one for one in found if one.deleted_at), key=_deleted_at, reverse=True)
        chosen = [one for one in deleted[MAX_DELETED:] if one.id == wanted]
        return *(one for one in found if not one.deleted), *deleted[:MAX_DELETED], *chosen

    async def page(
        self,
        app_id: UUID,
        wanted: LogFilter,
        cursor: LogKey | None = None,
        *,
        backwards: bool = False,
        limit: int = 50,
    ) -> LogPage:
        """The lines before the cursor, or backwards those after it. Raises Invalid for an invalid filter."""
        wanted.check()

        async def look(conn: Connection) -> LogPage:
            found = await store.look_for(conn, app_id, wanted, self._now())
            if found is None:
                return LogPage()
            search, stretch, known = found
            if cursor is not None and backwards:
                stretch = Stretch(max(stretch.low, cursor), stretch.high)
            elif cursor is not None:
                stretch = Stretch(stretch.low, min(stretch.high, cursor))
            rows, rest = await _look(conn, search, stretch, limit, upwards=backwards)
            lines = tuple(LogLine(row, known[row.endpoint_id]) for row in rows)
            return _page(lines, rest, cursor, full=len(lines) == limit, backwards=backwards)

        return await self._database.read(look)

    async def message(self, org_id: str, app_id: UUID, ref: str) -> MessageDetail:
        """The message with this id or event id, its deliveries and attempts. Raises NotFound."""
        product = await self._product.of(org_id)
        now = self._now()
        delays = product.schedule.delays

        async def look(conn: Connection) -> MessageDetail:
            message_id = existing(await message_store.find(conn, app_id, ref))
            message = existing(await message_store.get(conn, app_id, message_id, now))
            known = {one.id: one for one in await store.endpoints(conn, app_id, message.id)}
            rows = []
            if known:
                search = Search(app_id, list(known), LogFilter(), now)
                rows = await store.page(
                    conn, search, store.of_message(message.id), MAX_DELIVERIES, upwards=True
                )
            attempts = await attempt.whole(conn, app_id, message.id, MAX_ATTEMPTS + 1)
            return MessageDetail(
                message,
                tuple(
                    MessageDelivery(
                        LogLine(row, known[row.endpoint_id]),
                        delays[row.failures :] if row.state is State.PENDING else (),
                    )
                    for row in rows
                ),
                tuple(attempts[:MAX_ATTEMPTS]),
                more_attempts=len(attempts) > MAX_ATTEMPTS,
            )

        return await self._database.read(look)


def _deleted_at(one: LogEndpoint) -> datetime:
    assert one.deleted_at is not None
    return one.deleted_at


async def _look(
    conn: Connection, search: Search, stretch: Stretch, limit: int, *, upwards: bool
) -> tuple[list[LogRow], Stretch | None]:
    """The first matches in scan order, and the rest of the log beyond them."""
    rows: list[LogRow] = []
    for deliveries in STRETCHES:
        look_at = limit + 1 if search.unfiltered else deliveries
        end, within = await store.reach(conn, search, stretch, look_at, upwards=upwards)
        part = stretch if end is None else stretch.until(end, upwards=upwards)
        rows += await store.page(conn, within, part, limit + 1 - len(rows), upwards=upwards)
        if len(rows) > limit:
            last = rows[limit - 1].key
            return rows[:limit], stretch.after(last, upwards=upwards)
        if end is None:
            return rows, None
        stretch = stretch.beyond(end, upwards=upwards)
    return rows, stretch


def _page(
    lines: tuple[LogLine, ...],
    rest: Stretch | None,
    cursor: LogKey | None,
    *,
    full: bool,
    backwards: bool,
) -> LogPage:
    onward = None if rest is None else rest.low if backwards else rest.high
    searched_to = None
    if onward is not None and not full:
        searched_to = datetime_at(ids.created_at(onward.message_id))
    if backwards:
        lines = lines[::-1]
        back = lines[-1].key if lines else cursor and store.just_above(cursor)
        return LogPage(lines, back, onward, searched_to)
    back = None
    if cursor is not None:
        back = lines[0].key if lines else store.just_below(cursor)
    return LogPage(lines, onward, back, searched_to)


@dataclass(frozen=True, slots=True)
class Window:
    """The requested part of a list: by time (epoch seconds) and relative to a known item."""

    rows: int
    cursor: UUID | None = None
    backwards: bool = False  # from the cursor towards newer items
    before: float | None = None
    after: float | None = None

    def page(self, now: float) -> IdRange:
        """The range of ids: it includes `after`, but not `before` or the cursor."""
        low = LOWEST
        high = ids.highest(now + AHEAD)
        if self.after is not None:
            low = UUID(int=max(0, ids.lowest(self.after).int - 1))
        if self.before is not None:
            high = min(high, ids.lowest(self.before))
        if self.cursor is None:
            if self.before is None and self.after is None:
                low = ids.lowest(now - RECENT)
        elif self.backwards:
            low = max(low, self.cursor)
        else:
            high = min(high, self.cursor)
        return IdRange(low, high, self.rows, upwards=self.backwards)


class Messages(UseCase):
    """Reads messages and expunges their payloads."""

    async def get(self, app_id: UUID, ref: str, *, with_payload: bool = True) -> Message:
        """The message with this id or event id. Raises NotFound."""
        async with self._database.connection() as conn:
            message_id = existing(await message_store.find(conn, app_id, ref))
            return existing(
                await message_store.get(conn, app_id, message_id, self._now(), with_payload=with_payload)
            )

    async def waits(self, app_id: UUID, message_id: UUID) -> bool:
        """Whether deliveries of the message are still to be written (store/fan_out.py)."""
        async with self._database.connection() as conn:
            return await fan_out.waits(conn, app_id, message_id)

    async def page(
        self, app_id: UUID, window: Window, wanted: Filter, *, with_payload: bool
    ) -> Sequence[Message]:
        """Newest first, or oldest first when the window is backwards."""
        now = self._clock.now()
        page = window.page(now)
        return await self._database.read(
            lambda conn: message_store.page(
                conn, app_id, page, wanted, datetime_at(now), with_payload=with_payload
            )
        )

    async def expunge(self, app_id: UUID, ref: str) -> None:
        """Delete the payload at once, and cancel the pending deliveries. Raises NotFound."""
        async with self._database.transaction() as conn:
            message_id = await message_store.find(conn, app_id, ref)
            if message_id is None or not await message_store.expunge(conn, app_id, message_id):
                raise NotFound()
            await cancel_message(conn, app_id, message_id, self._now())
            subject = Subject(None, app_id, ids.text(ids.MESSAGE, message_id))
            await self._record(conn, "message.expunged", subject)
