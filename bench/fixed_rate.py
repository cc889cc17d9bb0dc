"""Generates load at a fixed rate that does not slow down when responses are slow.

    python -m bench.fixed_rate

wrk waits for responses, so it cannot keep a rate. This program is minimal Python: requests are bytes that are
prepared, with a time filled in, on persistent connections. The time is when the message was due to be sent,
so waiting for a free connection counts as delay. It prints how many were accepted, refused, and sent late.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

from bench import payload

CONNECTIONS: Final = 256
TICK: Final = 0.001  # seconds; uvloop rounds less to 0, and a loop without pauses uses a whole processor
LATE: Final = 0.005  # a message that is sent so long after it was due was held up here, not by the server
_WIDTH: Final = 18


@dataclass(frozen=True)
class FixedRate:
    """What to send, how often, how long."""

    url: str
    path: str
    token: str
    rate: float
    seconds: float
    size: int = 1000


@dataclass
class Kept:
    """What came of it."""

    accepted: int = 0
    refused: int = 0
    late: int = 0
    answer_ms: list[float] = field(default_factory=list)  # from the moment at which a message was due


def request(pace: FixedRate) -> tuple[bytes, bytes]:
    """What comes before and after the moment, which has a fixed width."""
    before = '{"eventType":"order.placed","payload":{"t":"'
    after = f'","lines":[{payload.lines(pace.size - _WIDTH)}]}}}}'
    length = len(before) + _WIDTH + len(after)
    head = (
        f"POST {pace.path} HTTP/1.1\r\nHost: {urlsplit(pace.url).netloc}\r\n"
        "Content-Type: application/json\r\n"
        f"Authorization: Bearer {pace.token}\r\nContent-Length: {length}\r\n\r\n"
    )
    return (head + before).encode(), after.encode()


class _Line(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, kept: Kept, free: deque[_Line]) -> None:
        self._kept: Final = kept
        self._free: Final = free
        self._answer = b""
        self._due = 0.0

    def send(self, due: float, request: bytes) -> None:
        """Send a request that was due then."""
        self._due = due
        self.transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        self._free.append(self)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return
        self._kept.answer_ms.append((time.monotonic() - self._due) * 1000)
        if head.startswith(b"HTTP/1.1 202"):
            self._kept.accepted += 1
        else:
            self._kept.refused += 1
        self._answer = b""
        self._free.append(self)


async def keep(pace: FixedRate) -> Kept:
    """Send for so long. Raises TimeoutError when answers are missing at the end."""
    kept, free, due = Kept(), deque[_Line](), deque[float]()
    loop, address = asyncio.get_running_loop(), urlsplit(pace.url)
    assert address.hostname is not None
    assert address.port is not None
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _Line(kept, free), address.hostname, address.port)
    before, after = request(pace)
    total, made, begun = round(pace.rate * pace.seconds), 0, time.monotonic() + 0.1
    while made < total or due:
        now = time.monotonic()
        while made < total and (at := begun + made / pace.rate) <= now:
            due.append(at)
            made += 1
        while due and free:
            at = due.popleft()
            kept.late += now - at > LATE
            free.popleft().send(at, before + f"{at:0{_WIDTH}.6f}".encode() + after)
        next_at = now if due else begun + made / pace.rate
        await asyncio.sleep(max(TICK, next_at - time.monotonic()))
    async with asyncio.timeout(60):
        while len(free) < CONNECTIONS:  # noqa: ASYNC110 (answers come by themselves)
            await asyncio.sleep(0.01)
    return kept


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(keep(FixedRate(**json.load(sys.stdin)))))))
