"""The ceiling: a bare program that takes the same POSTs and forwards them, without storing anything.

It has the server's own HTTP libraries: uvicorn with httptools and uvloop, msgspec, and the sender's own
connections. It checks nothing, signs nothing, remembers nothing and tries nothing twice. What is under way is
bounded, so that it is not slowed by its own heap.

    python -m bench.ceiling PORT PROCESSES TARGET...
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

import msgspec
import uvicorn

from angarium.dispatch.dial import Origin
from angarium.dispatch.exchange import Connection, Exchange
from bench.child import child, free_port

UNDER_WAY: Final = 256


class _Message(msgspec.Struct):
    payload: msgspec.Raw


class _Batch(msgspec.Struct):
    messages: list[_Message]


class _Forwarder:
    """The whole program."""

    def __init__(self, targets: list[str]) -> None:
        self._heads: Final = [_head(target) for target in targets]
        self._room: Final = asyncio.Semaphore(UNDER_WAY)
        self._idle: Final[list[Connection]] = []

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
            for origin, head in self._heads:
                await self._room.acquire()
                await self._forward(origin, head, bytes(message.payload))
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async def _forward(self, origin: Origin, head: bytes, payload: bytes) -> None:
        """Begin it; `_ended` hears of its end."""
        connection = self._idle.pop() if self._idle else await self._connect(origin)
        connection.begin(Exchange(origin, head + b"%d\r\n\r\n" % len(payload), payload, 0))

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(
            lambda: Connection(origin, 1024, self._ended, self._lost), origin.host, origin.port
        )
        return made

    def _ended(
        self, connection: Connection, exchange: Exchange, error: Exception | None, reusable: bool
    ) -> None:
        if error is not None or exchange.status != 204 or not reusable:
            raise RuntimeError("the receiver of the benchmark failed") from error
        self._idle.append(connection)
        self._room.release()

    def _lost(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)


def _head(target: str) -> tuple[Origin, bytes]:
    url = urlsplit(target)
    assert url.hostname is not None
    assert url.port is not None
    start = f"POST {url.path} HTTP/1.1\r\nhost: {url.netloc}\r\n"
    fields = "content-type: application/json\r\ncontent-length: "
    return Origin(url.hostname, url.port, False, False), (start + fields).encode()


def _serve(listener: socket.socket, targets: list[str]) -> None:
    config = uvicorn.Config(
        _Forwarder(targets), http="httptools", loop="uvloop", ws="none", lifespan="off",
        log_level="error", access_log=False,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


def main(port: int, processes: int, targets: list[str]) -> None:
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    others = [
        get_context("spawn").Process(target=_serve, args=(listener, targets), daemon=True)
        for _ in range(processes - 1)
    ]
    for other in others:
        other.start()
    _serve(listener, targets)
    for other in others:
        other.terminate()


@asynccontextmanager
async def ceiling(
    directory: Path, receiver_url: str, *, processes: int = 1, fan_out: int = 1
) -> AsyncIterator[str]:
    """Running; its URL."""
    port = free_port()
    targets = [f"{receiver_url}/0/{n}" for n in range(fan_out)]
    command = (sys.executable, "-m", "bench.ceiling", str(port), str(processes), *targets)
    async with child(*command, log=directory / "ceiling.log", port=port):
        yield f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
