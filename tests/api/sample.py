"""Two organizations with applications and customers, for tests that call every route."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from angarium.api.app import create_app
from angarium.clock import Clock, SystemClock, datetime_at
from angarium.core import ids
from angarium.core.product import product_of
from angarium.portal import app as portal
from angarium.profiles import load_all
from angarium.service.application import ApplicationDraft
from angarium.service.intake import Intake
from angarium.service.product import Products, Provision, ScopedKey
from angarium.service.services import Services
from angarium.store.database import Database
from tests.api.operation import MESSAGE, ORG, SINCE, SPARE, URL
from tests.kit.access import Crowd
from tests.kit.at_work import services_of
from tests.kit.rows import add_attempt
from tests.kit.world import World


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def basic(key: str, secret: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()}


def key_headers(product: str, key: ScopedKey) -> dict[str, str]:
    return basic(key.shown.key, key.shown.secret) if product == "bluum" else bearer(key.shown.key)


@dataclass
class SampleServer:
    """Two organizations, two applications with everything in each, and customers of three products."""

    services: Services
    client: httpx.AsyncClient
    app: Any
    database: Database
    clock: Clock
    places: dict[str, str] = field(default_factory=dict)  # of the first application
    others: dict[str, str] = field(default_factory=dict)  # of the second
    keys: dict[str, list[ScopedKey]] = field(default_factory=dict)

    @property
    def app_id(self) -> UUID:
        found = ids.parse(ids.APPLICATION, self.places["app_id"])
        assert found is not None
        return found

    async def call(
        self, method: str, path: str, headers: dict[str, str], body: Any, places: dict[str, str] | None = None
    ) -> httpx.Response:
        since = _ago(self.clock)
        query = {"since": since} if body == SINCE else {"wait": "0"} if body == "wait" else None
        if isinstance(body, dict) and body.get("since") == SINCE:
            body = {**body, "since": since}
        if isinstance(body, dict) and body.get("token") == SPARE:
            body = {**body, "token": self.services.token.for_application(ORG, self.app_id)}
        filled = path
        for name, value in (places or self.places).items():
            filled = filled.replace(f"{{{name}}}", value)
        return await self.client.request(
            method, filled, params=query, json=body if isinstance(body, dict) else None, headers=headers
        )

    async def audit_events(self) -> int:
        """How much was done in the first organization."""
        async with self.database.connection() as connection:
            return int(await connection.fetchval("select count(*) from all_audit where org_id = $1", ORG))


@asynccontextmanager
async def sample_server(database: Database) -> AsyncIterator[SampleServer]:
    """The sample at work."""
    clock = SystemClock()
    profiles = load_all(["bluum", "bluma", "bloom"])
    products = Products(database, clock, {name: product_of(one, "test") for name, one in profiles.items()})
    intake = Intake(database, clock, os.urandom, lambda *_: None, lambda: None, products)
    world = World(database, clock=clock)
    services = services_of(world, products, intake)
    app = create_app(services, sandbox=True, egress=["192.0.2.1"], pages=portal.routes())
    await intake.start()
    try:
        async with httpx.AsyncClient(transport=Crowd(app), base_url="http://angarium.test") as client:
            made = SampleServer(services, client, app, database, clock)
            operator = bearer(services.token.for_organization(ORG))
            made.places = await _furnish(made, operator, "mine")
            made.others = await _furnish(made, operator, "theirs")
            provision = Provision(database, clock, products)
            for name, profile in profiles.items():
                if name == "standard":
                    continue
                product = provision.products.named(name)
                keys = provision.draw_keys(product, sandbox=True)
                draft = ApplicationDraft("Customer", "customer")
                await provision.install(f"org_{name}", name, application=draft, keys=keys)
                made.keys[name] = keys
                assert profile.management.scopes
            yield made
    finally:
        await intake.stop()


async def _furnish(sample: SampleServer, operator: dict[str, str], uid: str) -> dict[str, str]:
    """An application that has one of everything."""

    async def make(method: str, path: str, body: Any = None) -> Any:
        answer = await sample.client.request(method, f"/api/v1{path}", json=body, headers=operator)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    if uid == "mine":
        await make("POST", "/event-type", {"name": "order.filled", "description": ""})
    app_id = (await make("POST", "/app", {"name": uid, "uid": uid}))["id"]
    endpoint = (await make("POST", f"/app/{app_id}/endpoint", URL))["id"]
    listener = (await make("POST", f"/app/{app_id}/listener", {"name": "laptop"}))["id"]
    inbox = (await make("POST", f"/app/{app_id}/inbox"))["id"]
    contacts = {"contacts": [{"email": f"{uid}@example.com"}]}
    contact = (await make("PUT", f"/app/{app_id}/contact", contacts))["contacts"][0]["id"]
    message = (await make("POST", f"/app/{app_id}/msg", MESSAGE))["id"]
    task = (await make("POST", f"/app/{app_id}/endpoint/{endpoint}/recover", {"since": _ago(sample.clock)}))[
        "id"
    ]
    attempt = ids.new(sample.clock.now(), os.urandom(8))
    async with sample.database.connection() as connection:
        await add_attempt(
            connection,
            _parsed(ids.APPLICATION, app_id),
            _parsed(ids.MESSAGE, message),
            attempt,
            _parsed(ids.ENDPOINT, endpoint),
        )
    return {
        "app_id": app_id, "endpoint_id": endpoint, "listener": listener, "inbox_id": inbox,
        "contact_id": contact, "msg_id": message,
        "task_id": task, "kind": "message",
        "attempt_id": ids.text(ids.ATTEMPT, attempt), "event_type_name": "order.filled",
        "webhook_id": endpoint, "event_id": message, "account_id": "acct_1", "name": "bluum", "rest": "x",
    }  # fmt: skip


def _parsed(prefix: str, public: str) -> UUID:
    found = ids.parse(prefix, public)
    assert found is not None
    return found


def _ago(clock: Clock) -> str:
    return datetime_at(clock.now() - 3600).isoformat().replace("+00:00", "Z")
