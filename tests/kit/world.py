"""A dispatching world of its own for a test: real database, real intake, real dispatcher, real receivers."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from ipaddress import ip_network
from typing import Any
from uuid import UUID

import msgspec

from angarium import profiles
from angarium.clock import Clock, SystemClock, datetime_at
from angarium.core import ids
from angarium.core.address import AddressPolicy
from angarium.core.keyring import Keyring
from angarium.core.nouns import Application, Endpoint, SigningKey
from angarium.core.product import STANDARD, Product, product_of
from angarium.core.profile_table import DeliveryTable
from angarium.core.signature import new_secret
from angarium.dispatch.dispatcher import Dispatcher
from angarium.dispatch.lane_registry import DispatchLimits
from angarium.dispatch.transport.sender import Sender
from angarium.service.intake import Draft, Intake
from angarium.service.product import Products
from angarium.store import application, endpoint
from angarium.store.database import Database
from tests.kit.patience import until

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"
LOOPBACK = AddressPolicy([ip_network("127.0.0.0/8"), ip_network("::1/128")])


def product(retries: str = "50ms,50ms", timeout: str = "30s", **fields: Any) -> Product:
    """The standard product with another schedule and whatever else of its profile."""
    delivery = DeliveryTable(retries=retries, jitter=(0.0, 0.0), timeout=timeout)
    standard = msgspec.structs.replace(profiles.load(STANDARD), delivery=delivery, **fields)
    return product_of(standard, "Angarium-Webhooks/test")


@cache
def authorities() -> ssl.SSLContext:
    """The system's, read once: this takes as long as all else that a test sets up."""
    return ssl.create_default_context()


@dataclass
class World:
    """One process's worth of Angarium, without the API."""

    database: Database
    clock: Clock = field(default_factory=SystemClock)
    keyring: Keyring = field(default_factory=lambda: Keyring([b"k" * 32]))
    products: dict[str, Product] = field(default_factory=dict)  # beside the standard one
    addresses: AddressPolicy = LOOPBACK

    @asynccontextmanager
    async def dispatching(
        self,
        standard: Product | None = None,
        policy: DispatchLimits | None = None,
        sender: Sender | None = None,
        **parts: Any,
    ) -> AsyncIterator[Dispatcher]:
        """A dispatcher at work."""
        policy = policy or DispatchLimits(longest=10.0)
        sender = sender or Sender(
            policy=self.addresses,
            response_limit=16384,
            connections=policy.in_flight_total,
            ssl_context=authorities(),
            now=self.clock.now,
        )
        products = {STANDARD: standard or product()} | {name: self.products[name] for name in self.products}
        dispatcher = Dispatcher(
            self.database, self.clock, os.urandom, sender, self.keyring, products, policy, **parts
        )
        if isinstance(self.clock, SystemClock):
            self.clock.on_jump(dispatcher.clock_jumped)
        await dispatcher.start()
        await dispatcher.first_share()
        try:
            yield dispatcher
        finally:
            await dispatcher.stop()

    @asynccontextmanager
    async def intake(
        self,
        hand_over: Callable[[Any, float], None] | None = None,
        fan_out: Callable[[], None] = lambda: None,
        **bounds: Any,
    ) -> AsyncIterator[Intake]:
        """Intake, which hands over to a dispatcher or to none."""
        known = Products(self.database, self.clock, {STANDARD: product()} | self.products)
        intake = Intake(
            self.database,
            self.clock,
            os.urandom,
            hand_over or (lambda deliveries, since: None),
            fan_out,
            known,
            **bounds,
        )
        await intake.start()
        try:
            yield intake
        finally:
            await intake.stop()

    async def application(self, **fields: Any) -> Application:
        now = datetime_at(self.clock.now())
        made = replace(Application(self.new_id(), ORG, None, "app", None, {}, now, now), **fields)
        async with self.database.transaction() as connection:
            await application.create(connection, made)
        return made

    async def endpoint(self, app: Application, url: str, **fields: Any) -> Endpoint:
        now = datetime_at(self.clock.now())
        endpoint_id = self.new_id()
        made = replace(
            Endpoint(
                id=endpoint_id,
                app_id=app.id,
                org_id=app.org_id,
                url=url,
                shard=endpoint_id.int % 64,
                created_at=now,
                updated_at=now,
                keys=(SigningKey(new_secret(os.urandom(24))),),
            ),
            **fields,
        )
        async with self.database.transaction() as connection:
            await endpoint.create(connection, made, self.keyring, os.urandom)
        return made

    def draft(self, app: Application, payload: bytes = b'{"a":1}', **fields: Any) -> Draft:
        return msgspec.structs.replace(
            Draft(
                org_id=app.org_id,
                app=ids.text(ids.APPLICATION, app.id),
                event_type="order.filled",
                payload=payload,
            ),
            **fields,
        )

    def new_id(self) -> UUID:
        return ids.new(self.clock.now(), os.urandom(8))

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        async with self.database.connection() as connection:
            return list(await connection.fetch(query, *values))

    async def states(self) -> dict[int, int]:
        """How many deliveries are in which state."""
        rows = await self.fetch("select state, count(*) from delivery group by state")
        return {row[0]: row[1] for row in rows}

    async def until_states(self, wanted: dict[int, int]) -> None:
        """Wait until the deliveries are in these states."""
        states: dict[int, int] = {}

        async def they_are() -> bool:
            nonlocal states
            states = await self.states()
            return states == wanted

        with contextlib.suppress(AssertionError):  # the next line says more
            await until(they_are)
        assert states == wanted
