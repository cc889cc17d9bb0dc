"""A product at work in one process: API, intake, dispatcher and database, in real or virtual time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from starlette.types import ASGIApp

from angarium import profiles
from angarium.api.app import create_app
from angarium.clock import Clock
from angarium.core.address import AddressPolicy
from angarium.core.inbox import InboxUrls
from angarium.core.product import STANDARD, Product, product_of
from angarium.core.profile import Profile
from angarium.core.quota import QuotaLimits
from angarium.core.token_key import TokenKey
from angarium.core.trace import NO_TRACER, Tracer
from angarium.dispatch.url_check_transport import UrlCheckTransport
from angarium.portal import app as portal
from angarium.service.intake import Intake
from angarium.service.product import Products, Provision
from angarium.service.services import Services
from angarium.service.token import Tokens
from angarium.store.database import Database
from tests.kit.attempts import Attempts
from tests.kit.task import finish_tasks
from tests.kit.world import LOOPBACK, World, authorities
from tests.kit.world import product as standard_product

URL = "http://angarium.test"
SECRET = "a secret for tests " * 5
PATIENT = 15.0  # seconds that every receiver has, unless a test says otherwise


def product(profile: Profile | str, **delivery: Any) -> Product:
    """A product from a profile or the name of one, with other values of `delivery`.

    Some products ship with a timeout so short that a busy machine would be taken for a slow receiver.
    """
    found = profiles.load(profile) if isinstance(profile, str) else profile
    timeout = f"{max(found.delivery.timeout_seconds, PATIENT):g}s"
    changed = msgspec.structs.replace(found.delivery, **{"timeout": timeout} | delivery)
    return product_of(msgspec.structs.replace(found, delivery=changed), "Angarium-Webhooks/test")


@dataclass(kw_only=True)
class AtWork(Attempts):
    """A product, all that serves it, and a client without credentials."""

    product: Product
    services: Services
    provision: Provision
    client: httpx.AsyncClient
    app: ASGIApp = field(repr=False)

    async def run_tasks(self) -> None:
        """Take every step that background tasks wait for."""
        await finish_tasks(self.world.database, self.world.clock)


@asynccontextmanager
async def at_work(
    database: Database,
    made: Product,
    clock: Clock,
    *,
    org_id: str,
    addresses: AddressPolicy = LOOPBACK,
    https_only: bool = False,
    play: str = URL,
    endpoint_limit: int = 1000,
    quota: QuotaLimits | None = None,
    tracer: Tracer = NO_TRACER,
    **options: Any,
) -> AsyncIterator[AtWork]:
    """A product at work, for an organization that is not provisioned yet.

    `play`: where Play's inboxes are said to be. `endpoint_limit`: of an application. `quota`: all
    default limits instead. `tracer`: of all parts. `options` are `create_app`'s.
    """
    world = World(database, clock=clock, products={made.name: made}, addresses=addresses)
    known = Products(database, clock, {STANDARD: standard_product("1s"), made.name: made})
    async with world.dispatching(tracer=tracer) as dispatcher:
        limits = quota or QuotaLimits(endpoints_hard=endpoint_limit)
        shared = database, clock, os.urandom
        intake = Intake(*shared, dispatcher.hand_over, dispatcher.fan_out, known, quota=limits, tracer=tracer)
        url_check_transport = scouting(world)
        services = services_of(
            world,
            known,
            intake,
            https_only=https_only,
            url_check_transport=url_check_transport,
            play=play,
            quota=limits,
        )
        app = create_app(services, pages=portal.routes(), tracer=tracer, **options)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        await intake.start()
        try:
            async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
                yield AtWork(
                    world=world,
                    org_id=org_id,
                    product=made,
                    services=services,
                    provision=Provision(database, clock, known),
                    client=client,
                    app=app,
                )
        finally:
            await intake.stop()
            await url_check_transport.close()


def scouting(world: World) -> UrlCheckTransport:
    """Tries URLs on loopback; to be closed if it was used."""
    return UrlCheckTransport(
        policy=world.addresses, response_limit=16384, ssl_context=authorities(), now=world.clock.now
    )


def services_of(
    world: World,
    products: Products,
    intake: Intake,
    *,
    https_only: bool = False,
    secret: str = SECRET,
    url_check_transport: UrlCheckTransport | None = None,
    play: str = URL,
    endpoint_limit: int = 1000,
    quota: QuotaLimits | None = None,
) -> Services:
    """All use cases over a world's database and clock."""
    return Services(
        world.database,
        world.clock,
        os.urandom,
        world.keyring,
        token=Tokens(world.database, world.clock, os.urandom, TokenKey.of(secret)),
        product=products,
        intake=intake,
        transport=url_check_transport or scouting(world),
        inboxes=InboxUrls(play),
        policy=world.addresses,
        https_only=https_only,
        quota=quota or QuotaLimits(endpoints_hard=endpoint_limit),
        mails=True,
    )
