"""Bluma in one process: API, sandbox and dispatcher over a real database, in real or virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from angarium.clock import Clock, SystemClock
from angarium.core import ids
from angarium.core.nouns import Application
from angarium.core.product import Product
from angarium.core.profile import Profile
from angarium.service.application import ApplicationDraft
from angarium.service.intake import Draft
from angarium.store.database import Database
from tests.kit.at_work import AtWork, at_work, product

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirBl"
COMPLETED = {
    "id": "batch_abc123",
    "url": "https://cdn.example.com/v.mp4",
    "duration": 45,
    "user_id": "user_42",
    "template_id": "meme-dialogue",
}


def bluma(profile: Profile | None = None, **delivery: Any) -> Product:
    """The product as it ships, or with another delivery."""
    return product(profile or "bluma", **delivery)


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


class Stand(AtWork):
    """Everything behind it."""

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
        return self.product.message_format.message_id(accepted.message.id)


@asynccontextmanager
async def standing(
    database: Database,
    *,
    clock: Clock | None = None,
    product: Product | None = None,
    **options: Any,
) -> AsyncIterator[Stand]:
    """Bluma at work, in real time unless a clock is given. Options are `at_work`'s."""
    options = {"sandbox": True} | options
    async with at_work(database, product or bluma(), clock or SystemClock(), org_id=ORG, **options) as parts:
        yield Stand(**vars(parts))
