"""A product with one application and its operator, in one process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.product import Product
from angarium.service.application import ApplicationDraft
from angarium.store.database import Database
from tests.kit.at_work import URL, AtWork, at_work, product
from tests.kit.clock import ManualClock

__all__ = ["ORG", "URL", "Stand", "product", "standing"]

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirSt"


@dataclass(kw_only=True)
class Stand(AtWork):
    """A product's organization with one application, and its operator."""

    app_id: str
    keys: Mapping[str, str] = field(repr=False)  # scope -> key, with `:secret` if it has one

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

    @property
    def state(self) -> Any:
        """What the application keeps for its parts, below the layers around it."""
        app: Any = self.app
        while not hasattr(app, "state"):
            app = app._app
        return app.state

    async def endpoint(self, url: str, **more: Any) -> str:
        return str((await self.native("POST", "/endpoint", {"url": url, **more}))["id"])

    async def send(self, event_type: str, payload: Any = None, **more: Any) -> dict[str, Any]:
        """A message; gives what the API says of it."""
        body = {"eventType": event_type, "payload": {"n": 1} if payload is None else payload, **more}
        made: dict[str, Any] = await self.native("POST", "/msg", body)
        return made


@asynccontextmanager
async def standing(
    database: Database, made: Product, *, clock: Clock | None = None, **options: Any
) -> AsyncIterator[Stand]:
    """A product at work; virtual time unless `clock` is given. Options are `at_work`'s."""
    async with at_work(database, made, clock or ManualClock(), org_id=ORG, **options) as parts:
        drawn = parts.provision.draw_keys(made, sandbox=True)
        application = await parts.provision.install(
            ORG, made.name, application=ApplicationDraft("Customer", "customer"), keys=drawn
        )
        keys = {new.scope: new.shown.key + (new.shown.secret and f":{new.shown.secret}") for new in drawn}
        yield Stand(**vars(parts), app_id=ids.text(ids.APPLICATION, application.id), keys=keys)
