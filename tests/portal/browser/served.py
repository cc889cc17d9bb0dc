"""A product at work on a loopback socket, in the test's own process, with its operator at hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from playwright.async_api import BrowserContext

from angarium.clock import Clock, SystemClock
from angarium.store.database import Database
from tests.api.serving import serving
from tests.kit.stand import Stand, product, standing


@dataclass(frozen=True)
class Served:
    """The product's organization with one application, and where a browser finds it."""

    stand: Stand
    url: str

    @property
    def app_id(self) -> str:
        return self.stand.app_id

    async def link(self, **body: Any) -> str:
        """A portal link of the application; `body` as in Svix's call."""
        answer = await self.stand.native("POST", f"//auth/app-portal-access/{self.app_id}", body)
        return self.url + "/" + str(answer["url"]).split("/", 3)[3]

    async def sign_in(self, context: BrowserContext, **body: Any) -> None:
        """Give a context the session that a link is good for, without opening the link."""
        key = (await self.link(**body)).partition("#key=")[2]
        answer = await context.request.post(f"{self.url}/login/session", data={"key": key})
        assert answer.ok, await answer.text()


@asynccontextmanager
async def served(
    database_url: str, name: str, clock: Clock | None = None, **delivery: Any
) -> AsyncIterator[Served]:
    """The product of that name; real time unless a clock is given. `delivery` changes its profile."""
    database = await Database.connect(database_url)
    try:
        made = product(name, **delivery)
        async with (
            standing(database, made, clock=clock or SystemClock()) as stand,
            serving(stand.app) as url,
        ):
            yield Served(stand, url)
    finally:
        await database.close()
