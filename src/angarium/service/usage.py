"""Adds up what applications use, and reports and enforces limits that are reached.

`UsageFolder` runs in each process. About a second after something was counted it adds the counts to their
months. An application that has reached a limit is reported once a month, and refused until the end of the
month if it is the hard limit of messages.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.alert import NOBODY, OPERATIONS, AlertKind, Audience, Notice
from angarium.core.errors import StoreUnavailable
from angarium.core.event import NO_EVENTS, Attempted, Events
from angarium.core.quota import NO_LIMITS, QuotaLimits, Reached, limits, next_month, reached
from angarium.service.product import Products
from angarium.service.use_case import UseCase
from angarium.store import accept, usage
from angarium.store import alert as alert_store
from angarium.store import application as application_store
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault
from angarium.store.message import expiry
from angarium.store.usage import Folded, MonthUse

log = structlog.get_logger(__name__)

EVERY: Final = 1.0  # seconds from what is counted to when it is added up
IDLE: Final = 60.0  # seconds after which it adds up although it heard of nothing
SHARE: Final = 10  # adding up takes at most a tenth of the time, however many dead rows are in its way
SLICE: Final = 20_000  # entries added up in one transaction
_KEPT: Final = 90 * 86400.0
KINDS: Final = {False: AlertKind.QUOTA_SOFT, True: AlertKind.QUOTA_HARD}


class UsageFolder(Events):
    """Adds up counts. It listens to events to know when there are some."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        products: Products,
        *,
        quota: QuotaLimits = NO_LIMITS,
        history: float = _KEPT,
        audience: Audience = NOBODY,
        events: Events = NO_EVENTS,
    ) -> None:
        """`quota`: the limits of applications that have no others. `audience`: the people who get alerts.
        `history`: seconds for which operational webhooks are kept. `events` hears when counts were added up.
        `hand_over` gets the deliveries of operational webhooks after the commit."""
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._products = products
        self._quota = quota
        self._history = history
        self._audience = audience
        self._events = events
        self.hand_over: Callable[[Sequence[accept.NewDelivery], float], None] = lambda new, since: None
        self._asked = asyncio.Event()
        self._never = asyncio.Event()

    def accepted(
        self, app_ids: Sequence[UUID], deliveries: int, duplicates: int, refused: int, seconds: float
    ) -> None:
        self._asked.set()

    def recorded(self, attempts: Sequence[Attempted], seconds: float) -> None:
        self._asked.set()

    def endpoint_created(self) -> None:
        self._asked.set()

    async def run(self) -> None:
        """Add up what is counted until cancelled."""
        self._asked.set()  # there may be entries of a process that has ended
        pause = EVERY
        while True:
            await self._clock.wait(self._asked, self._clock.now() + IDLE)
            await self._clock.wait(self._never, self._clock.now() + pause)
            self._asked.clear()
            begun = self._clock.steady()
            try:
                await self.fold()
                self._events.done("usage")
            except (StoreUnavailable, DatabaseFault) as error:
                log.warning("usage.waiting", error=str(error))
                self._asked.set()
            pause = max(EVERY, SHARE * (self._clock.steady() - begun))

    async def fold(self) -> None:
        """Add up everything that was counted. Raises StoreUnavailable or DatabaseFault."""
        while await self._fold_slice() == SLICE:
            pass

    async def _fold_slice(self) -> int:
        now = self._clock.now()
        new_deliveries: list[accept.NewDelivery] = []
        async with self._database.transaction() as connection:
            count, months = await usage.fold(connection, SLICE)
            found = [
                (one, own, over)
                for one in months
                if not one.deleted
                and (own := await self._limits(connection, one)) != NO_LIMITS
                and (over := reached(own, one.messages, one.endpoints))
            ]
            if found:
                new_deliveries = await self._act(connection, found, now)
        if new_deliveries:
            self.hand_over(new_deliveries, now)
        return count

    async def _limits(self, connection: Connection, one: Folded) -> QuotaLimits:
        product = await self._products.of(one.org_id, connection)
        return limits(one.org_id, one.own, product.profile.quota, self._quota)

    async def _act(
        self, connection: Connection, found: Sequence[tuple[Folded, QuotaLimits, list[Reached]]], now: float
    ) -> list[accept.NewDelivery]:
        """Refuse messages above hard limits, and report limits that were not reported."""
        refused = [(one, next_month(one.month)) for one, _, over in found if Reached.MESSAGES_HARD in over]
        if refused:
            await usage.refuse(connection, refused)
        fresh = [
            (one, own, new)
            for one, own, over in found
            if (new := [each for each in over if each not in one.reached])
        ]
        if not fresh:
            return []
        await usage.reach(connection, [(one, new) for one, _, new in fresh])
        alerts = [(one, own, each) for one, own, new in fresh for each in new]
        if self._audience:
            await alert_store.add(connection, _notices(alerts), self._audience, now)
        for one, own, each in alerts:
            log.info(
                "quota.reached", application=ids.text(ids.APPLICATION, one.app_id), **_facts(one, own, each)
            )
        items = [self._item(*alert, now) for alert in alerts]
        _, new_deliveries = await accept.accept(connection, items, now)
        return new_deliveries

    def _item(self, one: Folded, own: QuotaLimits, each: Reached, now: float) -> accept.Item:
        """An operational webhook."""
        kind = KINDS[each.hard]
        data = {
            "appId": ids.text(ids.APPLICATION, one.app_id),
            "appUid": one.uid,
            **_facts(one, own, each),
        }
        return accept.Item(
            id=ids.new(now, self._entropy(8)),
            org_id=OPERATIONS,
            app=one.org_id,
            event_type=kind,
            payload=msgspec.json.encode({"type": kind, "data": data}),
            event_id=None,
            channels=(),
            tags=(),
            expires_at=expiry(now, _KEPT, self._history),
            key=None,
            endpoint_id=None,
            due_at=now,
        )


def _facts(one: Folded, own: QuotaLimits, each: Reached) -> dict[str, Any]:
    used = one.messages if each.noun == "messages" else one.endpoints
    return {"quota": each.noun, "limit": getattr(own, each), "used": used, "month": month_text(one.month)}


def _notices(alerts: Sequence[tuple[Folded, QuotaLimits, Reached]]) -> list[Notice]:
    """The notices for people: one for each application and kind."""
    found: dict[tuple[UUID, AlertKind], Notice] = {}
    for one, _, each in alerts:
        kind = KINDS[each.hard]
        known = found.get((one.app_id, kind))
        count = 1 if known is None else known.count + 1
        # the subject of the notice is the application, not an endpoint
        found[one.app_id, kind] = Notice(one.app_id, one.app_id, kind, count, each.noun)
    return list(found.values())


def month_text(month: datetime) -> str:
    """A month as people and programs write it: 2026-11."""
    return f"{month:%Y-%m}"


class Usage(UseCase):
    """Reports what applications used, for billing."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        folder: UsageFolder,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        super().__init__(database, clock, entropy)
        self._folder = folder

    async def page(
        self,
        org_id: str,
        after: tuple[datetime, UUID] | None,
        *,
        app: str | None,
        since: datetime,
        until: datetime,
        upwards: bool,
        limit: int,
    ) -> list[MonthUse]:
        """Months of applications. Everything that was counted before the call is included.

        An application that does not exist has no months.
        """
        if after is None:
            await self._folder.fold()
        async with self._database.connection() as connection:
            app_id = None
            if app is not None:
                app_id = await self._named(connection, org_id, app)
            return await usage.page(
                connection,
                org_id,
                after,
                since=since,
                until=until,
                app_id=app_id,
                upwards=upwards,
                limit=limit,
            )

    async def months(self, app_id: UUID, before: datetime, limit: int) -> list[MonthUse]:
        """The newest months of an application before a month. Counts of the last second may be missing."""
        async with self._database.connection() as connection:
            return await usage.history(connection, app_id, before, limit)

    async def _named(self, connection: Connection, org_id: str, app: str) -> UUID:
        """The id of an application. One that was deleted is named by its id."""
        if (app_id := ids.parse(ids.APPLICATION, app)) is not None:
            return app_id
        found = await application_store.find(connection, org_id, app)
        # an unknown uid names nothing, like the id of an application that never was
        return UUID(int=1) if found is None else found.id
