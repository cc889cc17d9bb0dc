"""The SDK's idempotency keys: a key used twice, and an answer lost on the way, make one message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
from svix.api import MessageCreateOptions, MessageIn, SvixAsync, SvixOptions

from tests.e2e.conftest import Hooks, Server, made


@dataclass
class Lossy:
    """A way to the server on which the answers to the first `losses` requests are lost."""

    port: int
    losses: int
    requests: list[bytes] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        body = await reader.readexactly(length)
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        back.write(head.replace(b"keep-alive", b"close") + body)
        answer = await there.read()  # the server has done its work by now
        back.close()
        self.requests.append(head)
        if len(self.requests) > self.losses:
            writer.write(answer)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def lossy(server: Server, losses: int) -> AsyncIterator[tuple[Lossy, str]]:
    way = Lossy(int(server.url.rpartition(":")[2]), losses)
    listener = await asyncio.start_server(way.handle, "127.0.0.1", 0)
    async with listener:
        yield way, f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def connected(token: str, url: str) -> AsyncIterator[SvixAsync]:
    client = SvixAsync(token, SvixOptions(server_url=url))
    try:
        yield client
    finally:
        await client.application._httpx_client.aclose()  # the client offers no way to close it


async def test_one_key_makes_one_message(server: Server, api: httpx.AsyncClient, fresh: str) -> None:
    app = await made(api, "/app", {"name": "Once"})
    options = MessageCreateOptions(idempotency_key=fresh, with_content=True)
    async with connected(server.token, server.url) as client:
        first = await client.message.create(app, MessageIn(event_type="a", payload={"n": 1}), options)
        again = await client.message.create(app, MessageIn(event_type="b", payload={"n": 2}), options)
        assert again == first
        at_once = MessageCreateOptions(idempotency_key=f"{fresh}-at-once")
        message = MessageIn(event_type="c", payload={})
        many = await asyncio.gather(*(client.message.create(app, message, at_once) for _ in range(10)))
        assert len({one.id for one in many}) == 1
        assert len((await client.message.list(app)).data) == 2


async def test_answers_lost_on_the_way_cost_no_second_message(
    server: Server, api: httpx.AsyncClient, hooks: Hooks
) -> None:
    app = await made(api, "/app", {"name": "Lost answers"})
    await made(api, f"/app/{app}/endpoint", {"url": f"{hooks.root}/ok"})
    async with lossy(server, 2) as (way, url), connected(server.token, url) as client:
        message = await client.message.create(app, MessageIn(event_type="a", payload={"n": 1}))
    assert len(way.requests) == 3
    assert b"svix-retry-count: 2" in way.requests[2].lower()
    async with connected(server.token, server.url) as client:
        assert [one.id for one in (await client.message.list(app)).data] == [message.id]
        last = await client.message.create(app, MessageIn(event_type="last", payload={}))
    requests = await hooks.wait_for(2)
    assert sorted(one.header("webhook-id") or "" for one in requests) == sorted([message.id, last.id])
