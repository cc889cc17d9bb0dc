"""What must never happen in a page, watched for in every browser test.

An error in the console (a violated Content-Security-Policy and a resource that failed are such), an error
that no script caught, and a request to anyone but our server.
"""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import BrowserContext, ConsoleMessage, Request, WebError

from tests.kit.patience import PATIENCE

HARMLESS = ("about:", "blob:", "data:")  # reach no network
# htmx says in the console that a request gave way to a newer one (hx-sync), as when one chooses quickly
GAVE_WAY = ("htmx:afterRequest,", "htmx:sendAbort,")


class Watch:
    """Looks at everything that the pages of a test do; only `origins` may be asked."""

    def __init__(self, *origins: str) -> None:
        self._origins = tuple(f"{origin}/" for origin in origins)
        self._seen: list[str] = []
        self._expected: list[re.Pattern[str]] = []
        self._more = asyncio.Event()

    def follow(self, context: BrowserContext) -> None:
        context.on("console", self._said)
        context.on("weberror", self._thrown)
        context.on("request", self._requested)

    def expect(self, pattern: str) -> None:
        """An error that belongs to the test, such as the status of a form that was refused."""
        self._expected.append(re.compile(pattern))

    async def until(self, pattern: str, timeout: float = PATIENCE) -> None:
        """Wait for trouble of this kind."""
        async with asyncio.timeout(timeout):
            while not any(re.search(pattern, one) for one in self._seen):
                self._more.clear()
                await self._more.wait()

    def forget(self) -> None:
        """Start again, for the next test."""
        self._seen.clear()
        self._expected.clear()

    @property
    def trouble(self) -> list[str]:
        return [one for one in self._seen if not any(wanted.search(one) for wanted in self._expected)]

    def _note(self, trouble: str) -> None:
        self._seen.append(trouble)
        self._more.set()

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert") and not message.text.startswith(GAVE_WAY):
            place = message.location
            self._note(f"console {message.type}: {message.text} ({place['url']}:{place['lineNumber']})")

    def _thrown(self, error: WebError) -> None:
        self._note(f"uncaught: {error.error}")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith((*self._origins, *HARMLESS)):
            self._note(f"a request to another origin: {request.method} {request.url}")
