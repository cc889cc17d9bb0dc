"""A product at work in one process: API, dispatcher and database, in real or virtual time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from starlette.types import ASGIApp

from angarium import profiles
from angarium.api.app import create_app
from angarium.core import ids
from angarium.core.inbox import InboxUrls
from angarium.core.product import STANDARD, Product, product_of
from angarium.core.profile import Profile
from angarium.core.token_key import TokenKey
from angarium.dispatch.scout import Scout
from angarium.portal import app as portal
from angarium.service.application import ApplicationDraft
from angarium.service.intake import Intake
from angarium.service.product import Products
from angarium.service.provision import Provision
from angarium.service.services import Services, assembled
from angarium.service.token import Tokens
from angarium.store.database import Database
from tests.kit.clock import ManualClock
from tests.kit.receiver import Receiver
from tests.kit.task import finish_tasks
from tests.kit.world import LOOPBACK, World
from tests.kit.world import product as standard_product

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirSt"
URL = "http://angarium.test"

SECRET = "a secret for tests " * 5


def product(profile: Profile | str, **delivery: Any) -> Product:
    """A product from a profile or the name of one, with other values of `delivery`."""
    found = profiles.load(profile) if isinstance(profile, str) else profile
    changed = msgspec.structs.replace(found.delivery, **delivery)
    return product_of(msgspec.structs.replace(found, delivery=changed), "Angarium-Webhooks/test")


@dataclass
class Stand:
    """A product's organization with one application, and its operator."""

    world: World
    services: Services
    provision: Provision
    product: Product
    client: httpx.AsyncClient
    app_id: str
    keys: Mapping[str, str] = field(repr=False)  # scope -> key, with `:secret` if it has one
    app: ASGIApp = field(repr=False)

    @property
    def clock(self) -> ManualClock:
        assert isinstance(self.world.clock, ManualClock)
        return self.world.clock

    async def native(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Call the native API as the operator, below the application unless the path begins with `//`."""
        place = path[1:] if path.startswith("//") else f"/app/{self.app_id}{path}"
        token = self.services.token.for_organization(ORG)
        answer = await self.client.request(
            method,
            f"/api/v1{place}",
            json=body,
            params=query,
            headers={"authorization": f"Bearer {token}"},
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def endpoint(self, url: str, **more: Any) -> str:
        return str((await self.native("POST", "/endpoint", {"url": url, **more}))["id"])

    async def send(self, event_type: str, payload: Any = None, **more: Any) -> dict[str, Any]:
        """A message; gives what the API says of it."""
        body = {"eventType": event_type, "payload": {"n": 1} if payload is None else payload, **more}
        made: dict[str, Any] = await self.native("POST", "/msg", body)
        return made

    async def attempts(self) -> int:
        (row,) = await self.world.fetch("select count(*) from attempt")
        return int(row[0])

    async def until_attempts(self, count: int) -> None:
        """Wait until as many are recorded."""

        async def recorded() -> bool:
            return await self.attempts() >= count

        await self.world.until(recorded)

    async def run_tasks(self) -> None:
        """Take every step that background tasks wait for."""
        await finish_tasks(self.world.database, self.world.clock)

    async def to_next_attempt(self, receiver: Receiver) -> float | None:
        """Go to the next attempt in virtual time and see it made; its time, or None when none is owed."""
        (row,) = await self.world.fetch(
            "select min(due_at) as due_at, (select count(*) from attempt) as attempts from delivery"
        )
        made = int(row["attempts"])
        if row["due_at"] is None:
            return None
        due = row["due_at"].timestamp()
        if due > self.clock.now():
            await self.clock.advance_to(due - 0.001)
            assert await self.attempts() == made, "an attempt came early"
            await self.clock.advance_to(due)
        await receiver.wait_for(made + 1)
        await self.until_attempts(made + 1)
        return self.clock.now()

    async def schedule(self, receiver: Receiver) -> list[float]:
        """Go through time until nothing is owed any more; gives the times of the attempts."""
        times = []
        while (at := await self.to_next_attempt(receiver)) is not None:
            times.append(at)
        return times


@asynccontextmanager
async def standing(database: Database, made: Product, **options: Any) -> AsyncIterator[Stand]:
    """A product at work; virtual time unless `clock` is given, http unless `https_only`.

    `play`: where Play's inboxes are said to be. `endpoint_limit`: of an application. Other options are
    `create_app`'s.
    """
    https_only = options.pop("https_only", False)
    play, endpoint_limit = options.pop("play", URL), options.pop("endpoint_limit", 1000)
    world = World(
        database,
        clock=options.pop("clock", None) or ManualClock(),
        products={made.name: made},
        addresses=options.pop("addresses", LOOPBACK),
    )
    clock = world.clock
    known = Products(database, clock, {STANDARD: standard_product("1s"), made.name: made})
    async with world.dispatching() as dispatcher:
        intake = Intake(database, clock, os.urandom, dispatcher.hand_over, known)
        scout = scouting(world)
        services = services_of(
            world, known, intake, https_only=https_only, scout=scout, play=play, endpoint_limit=endpoint_limit
        )
        app = create_app(services, pages=portal.routes(), **options)
        provision = Provision(database, clock, known, services.application, services.access)
        drawn = provision.draw_keys(made, sandbox=True)
        application = await provision.install(
            ORG, made.name, application=ApplicationDraft("Customer", "customer"), keys=drawn
        )
        keys = {new.scope: new.shown.key + (new.shown.secret and f":{new.shown.secret}") for new in drawn}
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        await intake.start()
        try:
            async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
                app_id = ids.text(ids.APPLICATION, application.id)
                yield Stand(world, services, provision, made, client, app_id, keys, app)
        finally:
            await intake.stop()
            await scout.close()


def scouting(world: World) -> Scout:
    """Tries URLs on loopback; to be closed if it was used."""
    return Scout(policy=world.addresses, response_limit=16384, now=world.clock.now)


def services_of(
    world: World,
    products: Products,
    intake: Intake,
    *,
    https_only: bool = False,
    secret: str = SECRET,
    scout: Scout | None = None,
    play: str = URL,
    endpoint_limit: int = 1000,
) -> Services:
    """All use cases over a world's database and clock."""
    return assembled(
        world.database,
        world.clock,
        os.urandom,
        world.keyring,
        token=Tokens(world.database, world.clock, os.urandom, TokenKey.of(secret)),
        product=products,
        intake=intake,
        outside=scout or scouting(world),
        inboxes=InboxUrls(play),
        policy=world.addresses,
        https_only=https_only,
        endpoint_limit=endpoint_limit,
    )
