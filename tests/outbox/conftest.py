"""A server behind a real socket, an application, and a client with its organization's token."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from angarium.client import Angarium
from angarium.outbox import Forwarder
from tests.api.conftest import Api, Backend, api, backend, client, new_organization
from tests.api.serving import serving

__all__ = ["api", "backend", "client", "new_organization"]


@dataclass
class Served:
    """A server with an application, and a client."""

    url: str
    api: Api
    app: str
    client: Angarium

    async def messages(self) -> list[str | None]:
        """The event ids of all accepted messages."""
        found, iterator = [], None
        while True:
            query: dict[str, Any] = {"limit": 250, "with_content": "false"} | (
                {} if iterator is None else {"iterator": iterator}
            )
            page = await self.api.get(f"/app/{self.app}/msg", **query)
            found += [one.get("eventId") for one in page["data"]]
            iterator = page["iterator"]
            if page["done"]:
                return found


@pytest.fixture
async def served(api: Api, backend: Backend) -> AsyncIterator[Served]:
    app = await api.application(uid="customer-1")
    async with serving(backend.app) as url:
        with Angarium(url, api.token) as sender:
            yield Served(url, api, app, sender)


def forward(client: Angarium, outbox: Any) -> None:
    """Send all rows of an outbox."""
    forwarder = Forwarder(outbox, client)
    while forwarder.step():
        pass
