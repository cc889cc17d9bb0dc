"""Shows and changes the limits of applications."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import difference
from angarium.core.errors import FieldError, Invalid
from angarium.core.nouns import Application
from angarium.core.quota import (
    MOST,
    MOST_ENDPOINTS,
    NAMES,
    NO_LIMITS,
    Own,
    QuotaLimits,
    limits,
    month_of,
    next_month,
    write,
)
from angarium.service.product import Products
from angarium.service.use_case import Subject, UseCase, existing
from angarium.store import application as application_store
from angarium.store import endpoint as endpoint_store
from angarium.store import usage
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.usage import Used


@dataclass(frozen=True, slots=True)
class QuotaState:
    """The limits of an application, those of its own, and what it uses."""

    limits: QuotaLimits
    own: Own
    used: Used
    endpoints: int
    month: datetime

    @property
    def ends_at(self) -> datetime:
        """When the month ends."""
        return next_month(self.month)


class Quotas(UseCase):
    """Show and change limits."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        products: Products,
        entropy: Callable[[int], bytes] = os.urandom,
        *,
        defaults: QuotaLimits = NO_LIMITS,
    ) -> None:
        super().__init__(database, clock, entropy)
        self._products = products
        self._defaults = defaults

    async def of(self, application: Application) -> QuotaState:
        """The limits of an application, and what it uses. Raises NotFound."""
        await self._products.of(application.org_id)
        async with self._database.connection() as connection:
            return await self._state(connection, application)

    async def defaults(self, org_id: str) -> QuotaLimits:
        """The limits of the organization's applications that have none of their own."""
        product = await self._products.of(org_id)
        return limits(org_id, {}, product.profile.quota, self._defaults)

    async def change(
        self, org_id: str, ref: str, changes: Mapping[str, int | None], cleared: frozenset[str] = frozenset()
    ) -> QuotaState:
        """Set limits of the application itself; those that are `cleared` are the defaults again.

        Raises NotFound or Invalid.
        """
        await self._products.of(org_id)
        async with self._database.transaction() as connection:
            found = existing(await application_store.find(connection, org_id, ref, lock=True))
            before = await self._state(connection, found)
            own = {name: one for name, one in before.own.items() if name not in cleared} | dict(changes)
            wanted = await self._effective(connection, org_id, own)
            _check(own, wanted)
            hard, used = wanted.messages_hard, before.used.messages
            over = hard is not None and used >= hard
            await usage.limit(connection, found.id, own, before.ends_at if over else None, self._now())
            changed = difference(quota_view(before.own), quota_view(own))
            if changed is not None:
                target = ids.text(ids.APPLICATION, found.id)
                subject = Subject(org_id, found.id, target)
                await self._record(connection, "application.quota.changed", subject, *changed)
            return await self._state(connection, found)

    async def _state(self, connection: Connection, application: Application) -> QuotaState:
        month = month_of(datetime_at(self._clock.now()))
        found = existing((await usage.standing(connection, [application.id], month)).get(application.id))
        count = await endpoint_store.count(connection, application.id, MOST_ENDPOINTS)
        effective = await self._effective(connection, application.org_id, found.own)
        return QuotaState(effective, found.own, found.used, count, month)

    async def _effective(self, connection: Connection, org_id: str, own: Own) -> QuotaLimits:
        product = await self._products.of(org_id, connection)
        return limits(org_id, own, product.profile.quota, self._defaults)


def quota_view(own: Own) -> dict[str, int | str]:
    """Limits in the audit log."""
    return {camel(name): write(own[name]) for name in NAMES if name in own}


def camel(name: str) -> str:
    """The name of a limit in the API."""
    noun, level = name.split("_")
    return f"{noun}{level.capitalize()}"


def _check(own: Own, wanted: QuotaLimits) -> None:
    faults = []
    for noun, most in (("messages", MOST), ("endpoints", MOST_ENDPOINTS)):
        soft, hard = f"{noun}_soft", f"{noun}_hard"
        for name in (soft, hard):
            limit = own.get(name)
            if limit is not None and not 0 <= limit <= most:
                words = f'Must be a number from 0 to {most:,} or "unlimited", not {limit:,}.'
                faults.append(FieldError(("body", camel(name)), words))
        low, high = getattr(wanted, soft), getattr(wanted, hard)
        if soft in own and low is not None and high is not None and low > high:
            words = f"Must be at most the hard limit, {high:,}; it is {low:,}."
            faults.append(FieldError(("body", camel(soft)), words))
    if faults:
        raise Invalid(*faults)
