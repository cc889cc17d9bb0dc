"""Looks up the product of an organization."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Final

from angarium.clock import Clock, datetime_at
from angarium.core.audit import AuditEvent
from angarium.core.errors import NotFound
from angarium.core.product import STANDARD, Product
from angarium.service import audit
from angarium.store import organization
from angarium.store.database import Database

UNSURE: Final = 5.0  # seconds for which a missing row is cached
MAX_KNOWN: Final = 10_000


class Products:
    """The products that this server loads, by name, and the organizations that have them.

    An organization's profile never changes, so it is looked up once. An organization without one can still
    get one.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        products: Mapping[str, Product],
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._database = database
        self._clock = clock
        self._products = products
        self._entropy = entropy
        self._known: dict[str, Product] = {}
        self._none_until: dict[str, float] = {}
        self._asking = asyncio.Lock()

    @property
    def all(self) -> Mapping[str, Product]:
        return self._products

    def named(self, name: str) -> Product:
        """Raises NotFound for a profile that this server does not load."""
        product = self._products.get(name)
        if product is None:
            raise NotFound(f"This server does not load a profile named {name}.")
        return product

    def known(self, org_id: str) -> Product | None:
        """The organization's product, if it is cached."""
        product = self._known.get(org_id)
        if product is None and self._none_until.get(org_id, 0.0) > self._clock.steady():
            return self._products[STANDARD]
        return product

    async def of(self, org_id: str) -> Product:
        """The organization's product."""
        if (product := self.known(org_id)) is not None:
            return product
        async with self._asking:
            if (product := self.known(org_id)) is not None:
                return product  # looked up concurrently
            return await self._ask(org_id)

    async def _ask(self, org_id: str) -> Product:
        async with self._database.connection() as connection:
            name = await organization.profile_of(connection, org_id)
        if len(self._known) + len(self._none_until) > MAX_KNOWN:
            self._known.clear()
            self._none_until.clear()
        if name is None:
            self._none_until[org_id] = self._clock.steady() + UNSURE
            return self._products[STANDARD]
        product = self._known[org_id] = self.named(name)
        return product

    async def install(self, org_id: str, name: str) -> Product:
        """Assign the product to the organization, unless it already has one."""
        self.named(name)
        async with self._database.transaction() as connection:
            now = self._clock.now()
            if await organization.create(connection, org_id, name, datetime_at(now)):
                audit_event = AuditEvent(org_id, None, "organization.profile_given", name)
                await audit.record(connection, now, self._entropy, audit_event)
        self._none_until.pop(org_id, None)
        return await self.of(org_id)
