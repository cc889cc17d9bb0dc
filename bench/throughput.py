"""How many deliveries a second, and how long from request to receipt: `make bench`.

Everything runs on this machine over loopback: `angarium dev` as it comes (embedded PostgreSQL, durable
commits), a receiver that costs almost nothing, and a load generator, each a process of its own. For
comparison in the same run: a bare program that takes the same POSTs and forwards them without storing
anything, with the same HTTP libraries. Machines differ and are noisy, so look at the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import aiohttp
import uvicorn
import uvloop
from rich.console import Console
from rich.table import Table


class Counter(asyncio.Protocol):
    """A receiver: answers 204 to every POST and notes how long the message took to come."""

    def __init__(self, delays: list[float]) -> None:
        self._delays = delays
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head := self._buffer.find(b"\r\n\r\n")) >= 0:
            lower = self._buffer[:head].lower()
            at = lower.find(b"content-length:")
            length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < head + 4 + length:
                return
            body = self._buffer[head + 4 : head + 4 + length]
            self._buffer = self._buffer[head + 4 + length :]
            if lower.startswith(b"get"):
                full = lower.startswith(b"get /delays")
                report = json.dumps(self._delays if full else len(self._delays)).encode()
                self._transport.write(
                    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(report), report)
                )
            else:
                self._delays.append(time.time() - float(body[5 : body.index(b",")]))
                self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


def receive(port: int) -> None:
    async def main() -> None:
        delays: list[float] = []
        server = await asyncio.get_running_loop().create_server(lambda: Counter(delays), "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(main())


def forward(port: int, target: str) -> None:
    """The ceiling: the same web server and client, no store."""
    session: aiohttp.ClientSession | None = None
    tasks: set[asyncio.Task[None]] = set()

    async def send(body: bytes) -> None:
        nonlocal session
        if session is None:
            session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64))
        async with session.post(target, data=body) as response:
            await response.read()

    async def app(scope: Any, receive: Any, send_answer: Any) -> None:
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        payload = json.dumps(json.loads(body)["payload"], separators=(",", ":")).encode()
        task = asyncio.create_task(send(payload))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await send_answer(
            {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"2")]}
        )
        await send_answer({"type": "http.response.body", "body": b"{}"})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False, loop="uvloop")


@dataclass(frozen=True)
class Case:
    name: str
    batch: int
    size: int
    connections: int = 64


async def load(url: str, path: str, token: str, case: Case, seconds: float) -> int:
    """Send as fast as answers come; how many messages were accepted."""
    parts = urlsplit(url)
    head = (
        f"POST {path}{'/batch' if case.batch > 1 else ''} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
        f"authorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    )
    filler = "x" * max(0, case.size - 60)
    end = time.monotonic() + seconds
    accepted = 0

    def message() -> str:
        return f'{{"eventType":"bench.sent","payload":{{"t":{time.time():.6f},"filler":"{filler}"}}}}'

    async def connection() -> None:
        nonlocal accepted
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while time.monotonic() < end:
            body = (
                message()
                if case.batch == 1
                else f'{{"messages":[{",".join(message() for _ in range(case.batch))}]}}'
            )
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 202"):
                raise SystemExit(f"not accepted: {answer!r}")
            at = answer.lower().index(b"content-length:")
            await reader.readexactly(int(answer[at + 15 :].split(b"\r\n", 1)[0]))
            accepted += case.batch
        writer.close()

    await asyncio.gather(*(connection() for _ in range(case.connections)))
    return accepted


def free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def process(target: Any, *args: Any) -> Iterator[None]:
    child = multiprocessing.get_context("spawn").Process(target=target, args=args, daemon=True)
    child.start()
    try:
        yield
    finally:
        child.terminate()
        child.join()


@contextmanager
def angarium() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as data:
        server = subprocess.Popen(
            [sys.executable, "-m", "angarium.cli.main", "dev", "--json", "--port", "0", "--data", data],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "ANGARIUM_LOG_LEVEL": "warning"},
        )  # fmt: skip
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def call(url: str, token: str, path: str, body: Any = None) -> Any:
    request = Request(
        url + path, headers={"authorization": f"Bearer {token}", "content-type": "application/json"}
    )
    if body is not None:
        request.data = json.dumps(body).encode()
    with urlopen(request, timeout=30) as response:
        return json.loads(response.read())


def ask(port: int, path: str) -> Any:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
        return json.loads(response.read())


def wait_for(port: int, count: int, timeout: float = 120.0) -> None:
    end = time.monotonic() + timeout
    while (arrived := ask(port, "/count")) < count:
        if time.monotonic() > end:
            raise SystemExit(f"only {arrived} of {count} messages arrived")
        time.sleep(0.1)


def wait_until_listening(port: int) -> None:
    import socket

    end = time.monotonic() + 30
    while time.monotonic() < end:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def measure(
    url: str, path: str, token: str, port: int, case: Case, seconds: float
) -> tuple[float, list[float]]:
    """Deliveries a second from the first request to the last receipt, and the delays."""
    started = time.monotonic()
    accepted = uvloop.run(load(url, path, token, case, seconds))
    wait_for(port, accepted)
    return accepted / (time.monotonic() - started), ask(port, "/delays")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    cases = [
        Case("single, 200 B", 1, 200),
        Case("single, 1 kB", 1, 1000),
        Case("batch of 100, 200 B", 100, 200, 4),
        Case("single, 200 B, one at a time", 1, 200, 1),
    ]
    table = Table(title=f"deliveries a second, {seconds:g} s each, {os.cpu_count()} cores for everything")
    for column in ("case", "delivered/s", "of the ceiling", "p50 ms", "p99 ms"):
        table.add_column(column, justify="right" if column != "case" else "left")
    receiver, bare = free_port(), free_port()
    with process(receive, receiver), process(forward, bare, f"http://127.0.0.1:{receiver}/"):
        wait_until_listening(receiver)
        wait_until_listening(bare)
        ceiling, _ = measure(f"http://127.0.0.1:{bare}", "/", "none", receiver, cases[0], seconds)
    table.add_row("bare forwarding without a store", f"{ceiling:,.0f}", "1.00", "", "")
    for case in cases:
        port = free_port()
        with process(receive, port), angarium() as server:
            wait_until_listening(port)
            url, token = server["url"], server["token"]
            app = call(url, token, "/api/v1/app", {"name": "bench"})["id"]
            call(url, token, f"/api/v1/app/{app}/endpoint", {"url": f"http://127.0.0.1:{port}/"})
            rate, times = measure(url, f"/api/v1/app/{app}/msg", token, port, case, seconds)
        cuts = statistics.quantiles(times, n=100)
        table.add_row(
            case.name,
            f"{rate:,.0f}",
            f"{rate / ceiling:.2f}",
            f"{cuts[49] * 1000:.1f}",
            f"{cuts[98] * 1000:.1f}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
