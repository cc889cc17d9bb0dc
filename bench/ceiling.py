"""Measures the ceiling: a minimal program that forwards the same POSTs without storing anything.

It uses what a Python program would use for it: uvicorn with httptools and uvloop, msgspec, aiohttp. With
`lean` it sends over the connections of the server's own sender instead. It checks, signs, stores and retries
nothing. Requests in flight are bounded, so that a growing heap does not slow it down.

    python -m bench.ceiling PORT PROCESSES aiohttp|lean TARGET...
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import uvicorn

from angarium.dispatch.transport.connection import HttpConnection
from angarium.dispatch.transport.dial import Origin
from angarium.dispatch.transport.exchange import HttpExchange
from bench.child import child
from tests.kit.port import free_port

UNDER_WAY: Final = 256


class _Message(msgspec.Struct):
    payload: msgspec.Raw


class _Batch(msgspec.Struct):
    messages: list[_Message]


class _Forwarder:
    """The whole program but for `forward`, which begins one request and calls `ended` at its end."""

    def __init__(self, targets: list[str]) -> None:
        self._targets: Final = targets
        self._room: Final = asyncio.Semaphore(UNDER_WAY)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            event = await receive()
            body += event.get("body", b"")
            more = event.get("more_body", False)
        single = not scope["path"].endswith("/batch")
        messages = (
            [msgspec.json.decode(body, type=_Message)]
            if single
            else msgspec.json.decode(body, type=_Batch).messages
        )
        for message in messages:
            for target in self._targets:
                await self._room.acquire()
                await self.forward(target, bytes(message.payload))
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async def forward(self, target: str, payload: bytes) -> None:
        raise NotImplementedError

    def ended(self, status: int) -> None:
        if status != 204:
            raise RuntimeError(f"the receiver of the benchmark answered {status}")
        self._room.release()


class _Aiohttp(_Forwarder):
    def __init__(self, targets: list[str]) -> None:
        super().__init__(targets)
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._session: aiohttp.ClientSession | None = None

    async def forward(self, target: str, payload: bytes) -> None:
        task = asyncio.create_task(self._post(target, payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, target: str, payload: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=UNDER_WAY))
        async with self._session.post(target, data=payload) as response:
            await response.read()
        self.ended(response.status)


class _Lean(_Forwarder):
    def __init__(self, targets: list[str]) -> None:
        super().__init__(targets)
        self._heads: Final = {target: _head(target) for target in targets}
        self._idle: Final[list[HttpConnection]] = []

    async def forward(self, target: str, payload: bytes) -> None:
        origin, head = self._heads[target]
        connection = self._idle.pop() if self._idle else await self._connect(origin)
        connection.begin(HttpExchange(origin, head + b"%d\r\n\r\n" % len(payload), payload, 0))

    async def _connect(self, origin: Origin) -> HttpConnection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: HttpConnection(origin, 1024, self._over, self._lost), origin.host, origin.port
        )
        return made

    def _over(
        self, connection: HttpConnection, exchange: HttpExchange, error: Exception | None, reusable: bool
    ) -> None:
        if reusable:
            self._idle.append(connection)
        self.ended(exchange.status)

    def _lost(self, connection: HttpConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)


_CLIENTS: Final = {"aiohttp": _Aiohttp, "lean": _Lean}


def _head(target: str) -> tuple[Origin, bytes]:
    url = urlsplit(target)
    assert url.hostname is not None
    assert url.port is not None
    start = f"POST {url.path} HTTP/1.1\r\nhost: {url.netloc}\r\n"
    fields = "content-type: application/json\r\ncontent-length: "
    return Origin(url.hostname, url.port, False, False), (start + fields).encode()


def _serve(listener: socket.socket, client: str, targets: list[str]) -> None:
    config = uvicorn.Config(
        _CLIENTS[client](targets), http="httptools", loop="uvloop", ws="none", lifespan="off",
        log_level="error", access_log=False,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


def main(port: int, processes: int, client: str, targets: list[str]) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    others = [
        get_context("spawn").Process(target=_serve, args=(listener, client, targets), daemon=True)
        for _ in range(processes - 1)
    ]
    for other in others:
        other.start()
    _serve(listener, client, targets)
    for other in others:
        other.terminate()


@asynccontextmanager
async def ceiling(
    directory: Path, receiver_url: str, *, processes: int = 1, fan_out: int = 1, lean: bool = False
) -> AsyncIterator[str]:
    """Running; its URL."""
    port = free_port()
    client = "lean" if lean else "aiohttp"
    targets = [f"{receiver_url}/0/{n}" for n in range(fan_out)]
    command = (sys.executable, "-m", "bench.ceiling", str(port), str(processes), client, *targets)
    async with child(*command, log=directory / "ceiling.log", port=port):
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
