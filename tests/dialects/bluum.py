"""Bluum in one process: API, sandbox and a dispatcher over a real database, in real or virtual time."""

from __future__ import annotations

import base64
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
from tests.kit.task import finish_tasks
from tests.kit.world import World
from tests.kit.world import product as standard_product

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirBu"
ACCOUNT = "3d0b0e65-35d3-4dcd-8df7-10286ebb4b4b"
FILLED = {
    "id": "ord_x9y8z7a6b5c4d3e2",
    "account_id": ACCOUNT,
    "symbol": "AAPL",
    "side": "buy",
    "status": "filled",
    "filled_qty": "10",
    "average_price": "178.50",
}


def bluum(profile: Profile | None = None, **delivery: Any) -> Product:
    """The product as it ships, or with another delivery."""
    profile = profile or profiles.load("bluum")
    changed = msgspec.structs.replace(profile.delivery, **delivery)
    return product_of(msgspec.structs.replace(profile, delivery=changed), "test")


@dataclass
class Tenant:
    """Who holds a key and its secret."""

    client: httpx.AsyncClient
    key: str = field(repr=False)
    secret: str = field(repr=False)
    application: Application

    @property
    def auth(self) -> str:
        return base64.b64encode(f"{self.key}:{self.secret}".encode()).decode()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int = 200,
        prefix: str = "/v1",
        **query: Any,
    ) -> Any:
        """Call below a base path; gives the JSON answer, or None for an empty one."""
        content = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        answer = await self.client.request(
            method,
            f"{prefix}{path}",
            content=content,
            params=query,
            headers={"authorization": f"Basic {self.auth}"},
        )
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def webhook(self, url: str, *types: str, **more: Any) -> dict[str, Any]:
        body = {"url": url, "eventTypeNames": list(types or ("order.*", "transfer.*")), **more}
        made: dict[str, Any] = await self.call("POST", "/webhooks", body, status=201)
        return made

    async def listed(self, path: str, **query: Any) -> list[dict[str, Any]]:
        answer = await self.call("GET", path, **query)
        assert answer["object"] == "list"
        rows: list[dict[str, Any]] = answer["data"]
        return rows

    async def order(self, **fields: Any) -> dict[str, Any]:
        """An order in the sandbox."""
        body = {"symbol": "AAPL", "side": "buy", "type": "market", "time_in_force": "day", "qty": "1"}
        path = f"/trading/accounts/{ACCOUNT}/orders"
        made: dict[str, Any] = await self.call("POST", path, body | fields, status=201)
        return made


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

    async def tenant(self, name: str = "first") -> tuple[Tenant, Tenant]:
        """A customer's two keys: the tenant's own, and an investor's."""
        keys = self.provision.draw_keys(self.product, sandbox=True)
        assert [key.scope for key in keys] == ["tenant", "investor"]
        made = await self.provision.install(
            self.org_id, "bluum", application=ApplicationDraft(name=name, uid=name), keys=keys
        )
        first, second = (Tenant(self.client, one.shown.key, one.shown.secret, made) for one in keys)
        return first, second

    async def send(self, tenant: Tenant, event_type: str = "order.filled", data: Any = None) -> str:
        """Send a message as the operator; gives the id that receivers see."""
        data = FILLED if data is None else data
        payload = data if isinstance(data, bytes) else msgspec.json.encode(data)
        app = ids.text(ids.APPLICATION, tenant.application.id)
        accepted = await self.services.intake.accept(Draft(self.org_id, app, event_type, payload))
        return self.product.recipe.message_id(accepted.message.id)

    async def attempts(self) -> int:
        (row,) = await self.world.fetch("select count(*) from attempt")
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
            "select min(due_at) as due_at, (select count(*) from attempt) as attempts from delivery"
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

    async def run_tasks(self) -> None:
        await finish_tasks(self.world.database, self.world.clock)


@asynccontextmanager
async def standing(
    database: Database,
    *,
    clock: Clock | None = None,
    product: Product | None = None,
    https_only: bool = False,
    sandbox: bool = True,
) -> AsyncIterator[Stand]:
    """Bluum at work."""
    product = product or bluum()
    world = World(database, clock=clock or SystemClock(), products={"bluum": product})
    known = Products(database, world.clock, {STANDARD: standard_product("1s"), "bluum": product})
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
