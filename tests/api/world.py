"""Words for what tests of messages and attempts do with the API.

Nothing is delivered here: attempts are written as a dispatcher would have, so that what the API says of
them can be tested alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.nouns import State
from angarium.service.services import Services
from angarium.store.database import Database
from tests.api.conftest import Backend
from tests.kit.rows import add_attempt, move_delivery
from tests.kit.task import finish_tasks

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"
OUTSIDER = "org_30rb8YdGqMT0qIzpgGwdXfHirMv"


@dataclass
class World:
    """The API and clients for it; `org` speaks with an organization token."""

    backend: Backend
    database: Database

    def __post_init__(self) -> None:
        self.services: Services = self.backend.services
        self.org = self.client(self.services.token.for_organization(ORG))

    def client(self, token: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.backend.app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {token}"}
        return httpx.AsyncClient(transport=transport, base_url="http://angarium.test/api/v1", headers=headers)

    def outsider(self) -> httpx.AsyncClient:
        """Another organization."""
        return self.client(self.services.token.for_organization(OUTSIDER))

    def holder(self, app_id: str, **claims: Any) -> httpx.AsyncClient:
        """A caller with a token of one application."""
        parsed = ids.parse(ids.APPLICATION, app_id)
        assert parsed is not None
        return self.client(self.services.token.for_application(ORG, parsed, **claims))

    async def application(self, **fields: Any) -> str:
        return await self._make("/app", {"name": "app", **fields})

    async def endpoint(self, app: str, **fields: Any) -> str:
        return await self._make(f"/app/{app}/endpoint", {"url": "http://127.0.0.1:9/hook", **fields})

    async def message(self, app: str, event_type: str = "order.paid", **fields: Any) -> str:
        body = {"eventType": event_type, "payload": {"n": 1}, **fields}
        return await self._make(f"/app/{app}/msg", body)

    async def _make(self, path: str, body: dict[str, Any]) -> str:
        answer = await self.org.post(path, json=body)
        assert answer.status_code in (201, 202), answer.text
        made: str = answer.json()["id"]
        return made

    async def attempt(
        self,
        app: str,
        endpoint: str,
        message: str,
        code: int = 200,
        *,
        body: bytes | None = b"ok",
        manual: bool = False,
        error: str | None = None,
        at: float | None = None,
    ) -> str:
        """Write an attempt, as a dispatcher would."""
        attempt_id = ids.new(self.services.clock.now() if at is None else at, os.urandom(8))
        async with self.database.connection() as conn:
            await add_attempt(
                conn, uuid_of(app), uuid_of(message), attempt_id, uuid_of(endpoint), manual=manual,
                status=0 if 200 <= code < 300 else 2, status_code=code, error_code=error and "refused",
                error=error, response=body, duration_ms=12,
            )  # fmt: skip
        return ids.text(ids.ATTEMPT, attempt_id)

    async def complete(
        self,
        app: str,
        endpoint: str,
        message: str,
        state: State,
        *,
        failures: int = 0,
        due_in: float | None = None,
    ) -> None:
        """Put a delivery into a state, as a dispatcher would."""
        due = None if due_in is None else datetime_at(self.services.clock.now()) + timedelta(seconds=due_in)
        async with self.database.connection() as conn:
            await move_delivery(
                conn, uuid_of(app), uuid_of(endpoint), uuid_of(message), state=state, failures=failures,
                due_at=due,
            )  # fmt: skip

    async def delivery(self, app: str, endpoint: str, message: str) -> Any:
        """The row of a delivery with its place in the order of acceptance, or None."""
        async with self.database.connection() as conn:
            return await conn.fetchrow(
                "select d.*, coalesce(p.seq, r.seq) as seq from delivery d"
                " left join pending p using (endpoint_id, message_id)"
                " left join retry r using (endpoint_id, message_id)"
                " where d.app_id = $1 and d.endpoint_id = $2 and d.message_id = $3",
                uuid_of(app), uuid_of(endpoint), uuid_of(message),
            )  # fmt: skip

    async def run_tasks(self) -> None:
        """Take every step that background tasks wait for."""
        await finish_tasks(self.database, self.services.clock)


def uuid_of(public: str) -> UUID:
    parsed = ids.parse(public.rpartition("_")[0] + "_", public)
    assert parsed is not None
    return parsed
