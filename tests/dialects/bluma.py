"""Bluma in one process: API, sandbox and dispatcher over a real database, in real or virtual time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from angarium import profiles
from angarium.api.app import create_app
from angarium.clock import Clock, SystemClock
from angarium.core import ids
from angarium.core.nouns import Application
from angarium.core.product import STANDARD, Product, product_of
from angarium.core.profile import Profile
from angarium.service.application import ApplicationDraft
from angarium.service.intake import Draft, Intake
from angarium.service.product import Products
from angarium.service.provision import Provision
from angarium.service.services import Services
from angarium.store.database import Database
from tests.kit.clock import ManualClock
from tests.kit.receiver import Receiver
from tests.kit.stand import services_of
from tests.kit.world import World
from tests.kit.world import product as standard_product

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirBl"
OURS = f"select id from application where org_id = '{ORG}'"
COMPLETED = {
    "id": "batch_abc123",
    "url": "https://cdn.example.com/v.mp4",
    "duration": 45,
    "user_id": "user_42",
    "template_id": "meme-dialogue",
}


def bluma(profile: Profile | None = None, **delivery: Any) -> Product:
    """The product as it ships, or with another delivery."""
    profile = profile or profiles.load("bluma")
    changed = msgspec.structs.replace(profile.delivery, **delivery)
    return product_of(msgspec.structs.replace(profile, delivery=changed), "test")


@dataclass
class Customer:
    """Who holds a key."""

    client: httpx.AsyncClient
    key: str = field(repr=False)
    application: Application

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 200, **query: Any) -> Any:
        """Call below `/api/v1`; gives the JSON answer, or None for an empty one."""
        content = None if body is None else msgspec.json.encode(body)
        answer = await self.client.request(
            method, f"/api/v1{path}", content=content, params=query, headers=self.headers
        )
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    async def webhook(self, url: str, *events: str, **more: Any) -> dict[str, Any]:
        body = {"url": url, "events": list(events or ("video.completed",)), **more}
        made: dict[str, Any] = await self.call("POST", "/webhooks", body, status=201)
        return made

    async def deliveries(self, webhook_id: str, **query: Any) -> list[dict[str, Any]]:
        answer = await self.call("GET", f"/webhooks/{webhook_id}/deliveries", **query)
        rows: list[dict[str, Any]] = answer["deliveries"]
        return rows


@dataclass
class Stand:
    """Everything behind it."""

    world: World
    services: Services
    client: httpx.AsyncClient
    provision: Provision
    product: Product
    org_id: str = ORG
    seen: int = 0  # attempts gone through in virtual time

    async def customer(self, name: str = "first", scope: str = "webhooks:manage") -> Customer:
        (drawn,) = self.provision.draw_keys(self.product, sandbox=True)
        keys = [type(drawn)(scope, drawn.shown)]
        made = await self.provision.install(
            self.org_id, "bluma", application=ApplicationDraft(name=name, uid=name), keys=keys
        )
        return Customer(self.client, drawn.shown.key, made)

    async def emit(
        self, customer: Customer, event_type: str = "video.completed", data: Any = None, **more: Any
    ) -> str:
        """Send a message as the operator; gives the id that receivers see."""
        payload = (
            data if isinstance(data, bytes) else msgspec.json.encode(COMPLETED if data is None else data)
        )
        app = ids.text(ids.APPLICATION, customer.application.id)
        accepted = await self.services.intake.accept(Draft(self.org_id, app, event_type, payload, **more))
        return self.product.recipe.message_id(accepted.message.id)

    async def attempts(self) -> int:
        """How many attempts at the product's own endpoints are recorded."""
        (row,) = await self.world.fetch(f"select count(*) from attempt where app_id in ({OURS})")
        return int(row[0])

    async def until_attempts(self, count: int) -> None:
        async def recorded() -> bool:
            return await self.attempts() >= count

        await self.world.until(recorded)

    async def to_next_attempt(self, receiver: Receiver) -> float | None:
        """Go to the next attempt in virtual time and see it made; its time, or None when none is owed."""
        clock = self.world.clock
        assert isinstance(clock, ManualClock)
        (row,) = await self.world.fetch(
            "select min(due_at) as due_at,"
            f" (select count(*) from attempt where app_id in ({OURS})) as attempts"
            f" from delivery where app_id in ({OURS})"
        )
        if row["attempts"] == self.seen:
            if row["due_at"] is None:
                return None
            due = row["due_at"].timestamp()
            if due > clock.now():
                await clock.advance_to(due - 0.001)
                assert await self.attempts() == self.seen, "an attempt came early"
                await clock.advance_to(due)
            await receiver.wait_for(self.seen + 1)
            await self.until_attempts(self.seen + 1)
        self.seen += 1
        return clock.now()


@asynccontextmanager
async def standing(
    database: Database,
    *,
    clock: Clock | None = None,
    product: Product | None = None,
    https_only: bool = False,
    sandbox: bool = True,
) -> AsyncIterator[Stand]:
    """Bluma at work."""
    product = product or bluma()
    world = World(database, clock=clock or SystemClock(), products={"bluma": product})
    known = Products(database, world.clock, {STANDARD: standard_product("1s"), "bluma": product})
    async with world.dispatching() as dispatcher:
        intake = Intake(database, world.clock, os.urandom, dispatcher.hand_over, known)
        services = services_of(world, known, intake, https_only=https_only)
        app = create_app(services, sandbox=sandbox)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        provision = Provision(database, world.clock, known, services.application, services.access)
        await intake.start()
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://angarium.test") as client:
                yield Stand(world, services, client, provision, product)
        finally:
            await intake.stop()
