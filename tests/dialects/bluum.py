"""Bluum in one process: API, sandbox and a dispatcher over a real database, in real or virtual time."""

from __future__ import annotations

import base64
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
    return product(profile or "bluum", **delivery)


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


class Stand(AtWork):
    """Everything behind it."""

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
        return self.product.message_format.message_id(accepted.message.id)


@asynccontextmanager
async def standing(
    database: Database,
    *,
    clock: Clock | None = None,
    product: Product | None = None,
    **options: Any,
) -> AsyncIterator[Stand]:
    """Bluum at work, in real time unless a clock is given. Options are `at_work`'s."""
    options = {"sandbox": True} | options
    async with at_work(database, product or bluum(), clock or SystemClock(), org_id=ORG, **options) as parts:
        yield Stand(**vars(parts))
