"""The ceiling: a bare program that takes the same POSTs and forwards them, without storing anything.

It has the server's own HTTP libraries (uvicorn with httptools and uvloop, aiohttp, msgspec), checks nothing,
signs nothing, remembers nothing and tries nothing twice. What is under way is bounded, so that it is not
slowed by its own heap of tasks.

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

import aiohttp
import msgspec
import uvicorn

from bench.child import child, free_port

UNDER_WAY: Final = 256
CONNECTIONS: Final = 64


class _Message(msgspec.Struct):
    payload: msgspec.Raw


class _Batch(msgspec.Struct):
    messages: list[_Message]


class _Forwarder:
    def __init__(self, targets: list[str]) -> None:
        self._targets: Final = targets
        self._room: Final = asyncio.Semaphore(UNDER_WAY)
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._session: aiohttp.ClientSession | None = None

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
                task = asyncio.create_task(self._forward(target, bytes(message.payload)))
                self._tasks.add(task)
                task.add_done_callback(self._done)
        head = {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"2")]}
        await send(head)
        await send({"type": "http.response.body", "body": b"{}"})

    async def _forward(self, target: str, payload: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS))
        async with self._session.post(target, data=payload) as response:
            await response.read()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        task.result()


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
