"""The listener for operators' tools: a table of routes, and limits on what a client may ask of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import pytest

from angarium.server import ops
from angarium.server.ops import OpsPage, OpsRequest, OpsRoute, text_page
from tests.kit.patience import PATIENCE


async def hello(request: OpsRequest) -> OpsPage:
    return text_page(200, f"hello {request.query} {request.headers.get('accept')}")


async def broken(request: OpsRequest) -> OpsPage:
    raise RuntimeError("secret")


async def endless(request: OpsRequest) -> OpsPage:
    await asyncio.Event().wait()
    raise AssertionError


ROUTES: dict[str, OpsRoute] = {"/hello": hello, "/broken": broken, "/endless": endless}


@asynccontextmanager
async def serving(routes: Mapping[str, OpsRoute] = ROUTES) -> AsyncIterator[int]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port: int = listener.getsockname()[1]
    async with ops.serving(listener, routes):
        yield port


async def exchange(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    """Status, head and body of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


async def test_a_get_is_answered_by_the_route_of_its_path_and_the_connection_ends() -> None:
    async with serving() as port:
        status, head, body = await exchange(
            port, b"GET /hello?a=1 HTTP/1.1\r\nHost: x\r\nAccept: text\r\n\r\n"
        )
        assert (status, body) == (200, b"hello a=1 text\n")
        assert b"content-length: 15" in head
        assert b"connection: close" in head


async def test_a_head_has_the_length_of_the_page_and_no_body() -> None:
    async with serving() as port:
        status, head, body = await exchange(port, b"HEAD /hello HTTP/1.1\r\n\r\n")
        assert (status, body) == (200, b"")
        assert b"content-length: 12" in head


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (b"GET /other HTTP/1.1\r\n\r\n", 404, b"/broken, /endless, /hello"),
        (b"POST /hello HTTP/1.1\r\n\r\n", 405, b"GET and HEAD"),
        (b"GET /hello\r\n\r\n", 400, b"HTTP/1"),
        (b"PRI * HTTP/2.0\r\n\r\n", 400, b"HTTP/1"),
        (b"GET /hello HTTP/1.1\r\nX: " + b"x" * 2 * ops.HEAD_LIMIT, 431, b"8,192 bytes"),
    ],
)
async def test_anything_but_a_request_for_a_page_is_refused(sent: bytes, status: int, words: bytes) -> None:
    async with serving() as port:
        answered, _, body = await exchange(port, sent)
        assert answered == status
        assert words in body


async def test_a_page_that_fails_is_a_500_without_details_and_the_next_page_works() -> None:
    async with serving() as port:
        status, _, body = await exchange(port, b"GET /broken HTTP/1.1\r\n\r\n")
        assert status == 500
        assert b"secret" not in body
        assert (await exchange(port, b"GET /hello HTTP/1.1\r\n\r\n"))[0] == 200


async def test_neither_a_slow_client_nor_a_slow_page_keeps_a_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ops, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(ops, "PAGE_SECONDS", 0.05)
    async with serving() as port:
        assert (await exchange(port, b"GET /hello HTTP/1.1\r\nHo"))[0] == 408
        assert (await exchange(port, b"GET /endless HTTP/1.1\r\n\r\n"))[0] == 503


async def test_connections_are_limited_and_those_that_wait_end_with_the_listener() -> None:
    async with serving() as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(ops.MOST)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
    for reader, writer in held:
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()


async def test_without_a_listener_nothing_is_served() -> None:
    async with ops.serving(None, ROUTES):
        pass
