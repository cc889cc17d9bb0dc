"""A product at work on a loopback socket, in the test's own process, with its operator at hand."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from playwright.async_api import BrowserContext

from angarium.clock import Clock, SystemClock
from angarium.core import ids
from angarium.store.database import Database
from tests.api.serving import serving
from tests.kit.stand import ORG, Stand, product, standing


@dataclass(frozen=True)
class Served:
    """The product's organization with one application, and where a browser finds it."""

    stand: Stand
    url: str

    @property
    def app_id(self) -> str:
        return self.stand.app_id

    async def customer(self) -> Served:
        """The same product for another, new application."""
        made = await self.stand.native("POST", "//app", {"name": "Customer"})
        only = ids.parse(ids.APPLICATION, made["id"])
        return Served(replace(self.stand, app_id=made["id"], only=only, seen=0), self.url)

    async def link(self, **body: Any) -> str:
        """A portal link of the application; `body` as in Svix's call."""
        answer = await self.stand.native("POST", f"//auth/app-portal-access/{self.app_id}", body)
        return self.url + "/" + str(answer["url"]).split("/", 3)[3]

    async def sign_in(self, context: BrowserContext, **body: Any) -> None:
        """Give a context the session that a link is good for, without opening the link."""
        key = (await self.link(**body)).partition("#key=")[2]
        answer = await context.request.post(f"{self.url}/login/session", data={"key": key})
        assert answer.ok, await answer.text()

    @property
    def operator_token(self) -> str:
        return self.stand.services.token.for_organization(ORG)

    async def sign_in_operator(self, context: BrowserContext) -> None:
        """Give a context the session of the operator."""
        answer = await context.request.post(
            f"{self.url}/admin/login", form={"token": self.operator_token}, max_redirects=0
        )
        assert answer.status == 303, await answer.text()


@asynccontextmanager
async def served(
    database_url: str,
    name: str,
    clock: Clock | None = None,
    *,
    frame_ancestors: Sequence[str] = (),
    **delivery: Any,
) -> AsyncIterator[Served]:
    """The product of that name; real time unless a clock is given. `delivery` changes its profile."""
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        database = await Database.connect(database_url)
        stack.push_async_callback(database.close)
        stand = await stack.enter_async_context(
            standing(
                database,
                product(name, **delivery),
                clock=clock or SystemClock(),
                play=url,
                frame_ancestors=frame_ancestors,
            )
        )
        await stack.enter_async_context(serving(stand.app, listener))
        yield Served(stand, url)
