"""A visitor with a link: a browser without scripts, over HTTP messages without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from angarium.core import ids
from angarium.core.claims import Capability
from angarium.portal.kit import session
from tests.kit.stand import ORG, URL, Stand


@dataclass
class Visitor:
    """A session for one application's portal."""

    stand: Stand
    client: httpx.AsyncClient
    app_id: str
    csrf_token: str = ""

    @property
    def base(self) -> str:
        return f"/portal/{self.app_id}"

    async def enter(self, url: str) -> httpx.Response:
        """Open a link as the page does."""
        query, _, fragment = url.partition("/login")[2].partition("#")
        body = {"key": fragment.removeprefix("key="), "query": query}
        answer = await self.client.post("/login/session", json=body)
        if answer.is_success:
            # as a page of the portal has it in its forms, without the work of one
            self.csrf_token = session.csrf_token_of(self.client.cookies[f"angarium-{self.app_id}"])
        return answer

    async def get(self, path: str = "", *, status: int = 200, **query: Any) -> str:
        """A page of the application, or one named by its whole path; gives the HTML."""
        answer = await self.client.get(self._place(path), params=query or None)
        assert answer.status_code == status, f"GET {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.text

    async def post(self, path: str, data: Any = None, *, status: int = 303) -> httpx.Response:
        """Post a form with the session's CSRF token."""
        answer = await self.client.post(
            self._place(path), data={"csrf_token": self.csrf_token, **(data or {})}
        )
        assert answer.status_code == status, f"POST {path}: {answer.status_code} {answer.text[:2000]}"
        return answer

    async def follow(self, path: str, data: Any = None) -> str:
        """Post a form and look at the page that it leads to."""
        return await self.get((await self.post(path, data)).headers["location"])

    def _place(self, path: str) -> str:
        return path if path.startswith("/portal/") else f"{self.base}{path}"


def link(stand: Stand, *, app_id: str | None = None, capabilities: Sequence[Capability] | None = None) -> str:
    """A link into the portal of the stand's application, or of another."""
    owner = ids.parse(ids.APPLICATION, app_id or stand.app_id)
    assert owner is not None
    return stand.services.portal_link.make(ORG, owner, capabilities=capabilities).url(URL)


@asynccontextmanager
async def visiting(
    stand: Stand, *, app_id: str | None = None, capabilities: Sequence[Capability] | None = None
) -> AsyncIterator[Visitor]:
    """A visitor who has opened a link."""
    transport = httpx.ASGITransport(stand.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
        visitor = Visitor(stand, client, app_id or stand.app_id)
        assert (await visitor.enter(link(stand, app_id=app_id, capabilities=capabilities))).is_success
        yield visitor
