"""Writes the deliveries of large messages, one slice per application in turn (see store/fan_out.py).

Every dispatching process does this next to its other work, so it uses at most half of the time: it rests
after each slice for as long as the slice took. It hands deliveries over a few at a time, and rests for as
long as the event loop needed to start them. While many requests are in flight it waits briefly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.errors import StoreUnavailable
from angarium.core.event import NO_EVENTS, Events
from angarium.core.trace import NO_TRACER, SpanKind, Tracer
from angarium.store import fan_out
from angarium.store.accept import NewDelivery
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from angarium.store.stretch import LOWEST

log = structlog.get_logger(__name__)

EVERY: Final = 5.0  # seconds between looks, in case a hint is lost
APPLICATIONS: Final = 50  # processed before looking for more
HANDFUL: Final = 10  # deliveries handed over at once
TURNS: Final = 3  # of the event loop, enough to start sending them
BUSY: Final = 500  # requests in flight above which no more are handed over,
MOMENT: Final = 0.02  # for at most this many seconds
PAUSE: Final = 0.5  # seconds after a fault
LONG: Final = 60.0  # seconds of work after which the backlog is logged, and between two such lines


class FanOut:
    """`hand_over` gets the deliveries of each slice after its commit, a few at a time, with the time at which
    the slice began. `in_flight` returns the number of requests in flight."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        hand_over: Callable[[Sequence[NewDelivery], float], None],
        in_flight: Callable[[], int] = lambda: 0,
        events: Events = NO_EVENTS,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._events = events
        self._tracer = tracer
        self._database = database
        self._clock = clock
        self._hand_over = hand_over
        self._in_flight = in_flight
        self._asked = asyncio.Event()
        self._never = asyncio.Event()
        self._after = LOWEST
        self._told_at = 0.0

    def look(self) -> None:
        """Look for messages with deliveries to write."""
        self._asked.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            self._asked.clear()
            self._told_at = self._clock.steady()
            try:
                while await self._round():
                    await self._tell()
            except StoreUnavailable as error:
                log.warning("fan_out.failed", error=str(error))
                await self._rest(PAUSE)
                continue
            await self._clock.wait(self._asked, self._clock.now() + EVERY)

    async def _round(self) -> bool:
        """Write one slice for each of the next applications. Returns whether there was any."""
        async with self._database.connection() as connection:
            waiting = await fan_out.applications(connection, self._after, APPLICATIONS)
            if not waiting and self._after != LOWEST:
                waiting = await fan_out.applications(connection, LOWEST, APPLICATIONS)
        written = [await self._slice(app_id) for app_id in waiting]
        return any(written)

    async def _slice(self, app_id: UUID) -> bool:
        self._after = app_id
        begun, begun_at = self._clock.steady(), self._clock.now()
        span = self._tracer.root() if self._tracer.on else None
        try:
            made = await fan_out.write(self._database, app_id, begun_at)
        except DatabaseFault as error:
            log.warning("fan_out.failed", application=ids.text(ids.APPLICATION, app_id), error=str(error))
            await self._rest(PAUSE)
            return True
        if made is None:
            return False
        self._events.fanned_out(len(made.new_deliveries))
        if span is not None and made.traces:
            said: dict[str, str | int] = {
                "angarium.application": ids.text(ids.APPLICATION, app_id),
                "angarium.deliveries": len(made.new_deliveries),
            }
            self._tracer.ended(span, "fan_out", SpanKind.INTERNAL, said, links=made.traces)
        took = self._clock.steady() - begun
        for first in range(0, len(made.new_deliveries), HANDFUL):
            await self._calm()
            handed_at = self._clock.steady()
            self._hand_over(made.new_deliveries[first : first + HANDFUL], begun_at)
            for _ in range(TURNS):
                await asyncio.sleep(0)
            await self._rest(self._clock.steady() - handed_at)
        await self._rest(took)
        return True

    async def _calm(self) -> None:
        """Wait until few requests are in flight, for at most `MOMENT`."""
        end = self._clock.steady() + MOMENT
        while self._in_flight() >= BUSY and self._clock.steady() < end:
            await self._rest(MOMENT / 10)

    async def _rest(self, seconds: float) -> None:
        await self._clock.wait(self._never, self._clock.now() + seconds)

    async def _tell(self) -> None:
        if self._clock.steady() - self._told_at < LONG:
            return
        self._told_at = self._clock.steady()
        async with self._database.connection() as connection:
            waiting = await fan_out.waiting(connection)
        if waiting.oldest is not None:
            since = self._clock.now() - ids.created_at(waiting.oldest)
            log.warning(
                "fan_out.waiting",
                messages=waiting.messages,
                applications=waiting.applications,
                seconds=round(since, 1),
            )
