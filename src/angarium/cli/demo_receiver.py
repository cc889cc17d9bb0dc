"""Receivers of the demo: HTTP servers on the loopback interface that verify requests."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web

from angarium.core.signature import SignatureError, verify


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """One request that a receiver got: the attempt, the response and whether the signature is valid."""

    at: float  # monotonic
    receiver: str
    message_id: str
    number: int
    answer: int
    verified: bool


@dataclass(slots=True)
class DemoReceiver:
    """Answers 500 to the first `failures` requests of every message, then 200."""

    name: str
    failures: int = 0
    secret: str = field(default="", repr=False)
    url: str = ""
    arrivals: list[DemoRequest] = field(default_factory=list)
    _seen: Counter[str] = field(default_factory=Counter)
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/webhooks", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/webhooks"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        message_id = request.headers.get("webhook-id", "")
        self._seen[message_id] += 1
        number = self._seen[message_id]
        answer = 500 if number <= self.failures else 200
        verified = self._verify(request, body)
        self.arrivals.append(DemoRequest(time.monotonic(), self.name, message_id, number, answer, verified))
        return web.Response(status=answer, text="try again" if answer == 500 else "thank you")

    def _verify(self, request: web.Request, body: bytes) -> bool:
        try:
            verify(body, request.headers, [self.secret], now=time.time())
        except SignatureError:
            return False
        return True
