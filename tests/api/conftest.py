"""The real application over a real database, driven over HTTP messages without a socket.

`api` speaks for a fresh organization; `api.as_application(id)` for one application of it, and
`new_organization()` for a stranger.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from angarium.api.app import create_app
from angarium.clock import SystemClock
from angarium.core.ids import ORGANIZATION, parse, text
from angarium.core.ids import new as new_id
from angarium.core.product import product_of
from angarium.portal import app as portal
from angarium.profiles import load_all
from angarium.service.intake import Intake
from angarium.service.product import Products
from angarium.service.services import Services
from angarium.store.accept import NewDelivery
from angarium.store.database import Database
from tests.api.sample import SampleServer, sample_server
from tests.kit.at_work import services_of
from tests.kit.world import World

JWT_SECRET = "a secret for tests, of sixty-four bytes or more so that it fits all"


class MovingClock(SystemClock):
    """The host's time, or the moment at which a test stopped it, and how far a test has moved it ahead."""

    ahead = 0.0
    stopped_at: float | None = None

    def now(self) -> float:
        return (super().now() if self.stopped_at is None else self.stopped_at) + self.ahead

    def steady(self) -> float:
        return (super().steady() if self.stopped_at is None else self.stopped_at) + self.ahead

    def stop(self) -> None:
        """However long the test takes, no time goes by but what it moves the clock ahead."""
        self.stopped_at = super().now()

    async def wait(self, event: asyncio.Event, until: float) -> None:
        """The poller continues although the time does not advance."""
        if self.stopped_at is None:
            await super().wait(event, until)
        elif (delay := until - self.now()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), delay)


@dataclass
class Backend:
    """What stands behind the API in a test. `new_deliveries` is what intake handed over."""

    services: Services
    app: ASGIApp
    clock: MovingClock
    new_deliveries: list[NewDelivery] = field(default_factory=list)


class Api:
    """A client with one token. Bodies are JSON; every call checks the status."""

    def __init__(self, client: httpx.AsyncClient, services: Services, org_id: str, token: str) -> None:
        self.client = client
        self.services = services
        self.org_id = org_id
        self.token = token

    def as_application(self, app_id: str, **claims: Any) -> Api:
        """The same client with an application token."""
        uuid = parse("app_", app_id)
        assert uuid is not None
        token = self.services.token.for_application(self.org_id, uuid, **claims)
        return Api(self.client, self.services, self.org_id, token)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        status: int = 200,
        headers: Any = None,
        **query: Any,
    ) -> Any:
        """Call below `/api/v1`; gives the JSON answer, or None for an empty one."""
        answer = await self.client.request(
            method,
            f"/api/v1{path}",
            json=body,
            params=query,
            headers={"authorization": f"Bearer {self.token}", **(headers or {})},
        )
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        if not answer.content:
            return None
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    async def get(self, path: str, *, status: int = 200, **query: Any) -> Any:
        return await self.call("GET", path, status=status, **query)

    async def post(self, path: str, body: Any = None, *, status: int = 201, **more: Any) -> Any:
        return await self.call("POST", path, body, status=status, **more)

    async def put(self, path: str, body: Any, *, status: int = 200) -> Any:
        return await self.call("PUT", path, body, status=status)

    async def patch(self, path: str, body: Any, *, status: int = 200) -> Any:
        return await self.call("PATCH", path, body, status=status)

    async def delete(self, path: str, *, status: int = 204, **query: Any) -> None:
        await self.call("DELETE", path, status=status, **query)

    async def application(self, name: str = "An application", **more: Any) -> str:
        """A new application; gives its id."""
        made = await self.post("/app", {"name": name, **more})
        return str(made["id"])

    async def endpoint(self, app_id: str, url: str = "http://localhost:9/hook", **more: Any) -> str:
        """A new endpoint; gives its id."""
        made = await self.post(f"/app/{app_id}/endpoint", {"url": url, **more})
        return str(made["id"])

    async def event_type(self, name: str, **more: Any) -> None:
        await self.post("/event-type", {"name": name, "description": "For a test.", **more})


@pytest.fixture
async def backend(database: Database) -> AsyncIterator[Backend]:
    clock = MovingClock()
    new_deliveries: list[NewDelivery] = []

    def hand_over(deliveries: Sequence[NewDelivery], since: float) -> None:
        new_deliveries.extend(deliveries)

    products = Products(
        database, clock, {name: product_of(one, "test") for name, one in load_all([]).items()}
    )
    intake = Intake(database, clock, os.urandom, hand_over, lambda: None, products)
    services = services_of(World(database, clock=clock), products, intake, secret=JWT_SECRET)
    await intake.start()
    try:
        yield Backend(
            services,
            create_app(services, base_url="https://hooks.example.com", pages=portal.routes()),
            clock,
            new_deliveries,
        )
    finally:
        await intake.stop()


@pytest.fixture
async def client(backend: Backend) -> AsyncIterator[httpx.AsyncClient]:
    """Speaks to the application; an unexpected error is a 500, as outside."""
    transport = httpx.ASGITransport(backend.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://angarium.test") as client:
        yield client


@pytest.fixture
def new_organization(backend: Backend, client: httpx.AsyncClient) -> Callable[[], Api]:
    def make() -> Api:
        org_id = text(ORGANIZATION, new_id(backend.clock.now(), os.urandom(8)))
        token = backend.services.token.for_organization(org_id)
        return Api(client, backend.services, org_id, token)

    return make


@pytest.fixture
def api(new_organization: Callable[[], Api]) -> Api:
    return new_organization()


@pytest.fixture
async def sample(database: Database) -> AsyncIterator[SampleServer]:
    async with sample_server(database) as made:
        yield made
