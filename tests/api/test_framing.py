"""What a connection may send before authentication: heads within bounds, and bodies that end in
one place only. Bytes on a real socket."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import httpx
import psutil
import pytest

from angarium.server import framing
from tests.api.conftest import Api, Backend
from tests.api.serving import serving
from tests.api.test_fast_path import PLAIN, Wire, request, wire
from tests.kit.patience import PATIENCE

HEAD = b"POST /api/v1/app HTTP/1.1\r\nhost: x\r\n"
PING = b"GET /api/v1/health/ping HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture
async def url(backend: Backend) -> AsyncIterator[str]:
    async with serving(backend.app) as url:
        yield url


async def statuses(connection: Wire) -> list[int]:
    """Of all answers until the server closes the connection."""
    async with asyncio.timeout(PATIENCE):
        text = await connection.reader.read()
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", text)]


async def refused(url: str, data: bytes) -> list[int]:
    """The answers to what is sent and left so."""
    async with wire(url) as connection:
        await connection.send(data)
        return await statuses(connection)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * framing.URL_LIMIT + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
        (b"GET /" + b"a" * 200_000, 414),
        (HEAD + b"a: " + b"b" * 60_000 + b"\r\n\r\n", 431),
        (HEAD + b"a: " + b"b" * 200_000, 431),
        (HEAD + b"a" * 200_000, 431),
        (HEAD + b"".join(b"a%d: b\r\n" % n for n in range(framing.FIELD_LIMIT)) + b"\r\n", 431),
    ],
    ids=["a URL", "an open URL", "a header", "an open header", "an open name", "headers"],
)
async def test_the_size_of_a_head_is_limited(url: str, data: bytes, status: int) -> None:
    async with wire(url) as connection:
        for start in range(0, len(data), 20_000):
            await connection.send(data[start : start + 20_000])
        assert (await connection.answer())[0] == status
        assert await connection.ended()


async def test_a_head_within_the_bounds_is_accepted(url: str) -> None:
    lines = b"".join(b"a%d: %b\r\n" % (n, b"b" * 300) for n in range(framing.FIELD_LIMIT - 2))
    path = b"/llms.txt?" + b"a" * (framing.URL_LIMIT - 100)
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get(path.decode())).status_code == 200
    assert await refused(
        url, b"GET %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n%b\r\n" % (path, lines)
    ) == [200]


async def test_an_endless_head_uses_no_memory(url: str) -> None:
    process, line = psutil.Process(), b"a: " + b"b" * 8000 + b"\r\n"
    before = process.memory_info().rss
    async with wire(url) as connection:
        await connection.send(HEAD)
        try:
            for _ in range(64 * 131):  # 64 MiB
                connection.writer.write(line)
                await connection.writer.drain()
        except ConnectionError:
            pass
        assert process.memory_info().rss - before < 24 * 1024 * 1024


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\nhost: x\r\na: ", b"GET /a", b"\r\n", PING + b"GET /a"], ids=str
)
async def test_the_time_of_a_head_is_limited(url: str, monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    monkeypatch.setattr(framing, "HEAD_SECONDS", 0.2)
    assert (await refused(url, start))[-1] == 408


async def test_a_head_in_pieces_is_accepted_in_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "HEAD_SECONDS", PATIENCE)
    async with wire(url) as connection:
        await connection.send(*[PING[n : n + 1] for n in range(len(PING))])
        async with asyncio.timeout(PATIENCE):
            assert b" 204 " in await connection.reader.readuntil(b"\r\n\r\n")


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 1\r\n\r\nx",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nx",
        HEAD + b"content-length: 1, 1\r\n\r\nx",
        HEAD + b"content-length: +1\r\n\r\nx",
        HEAD + b"content-length: 0x1\r\n\r\nx",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 99999999999999999999\r\n\r\n",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: identity\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"a: b\r\n c\r\n\r\n",
        HEAD + b"a: b\nc: d\r\n\r\n",
        HEAD + b"a : b\r\n\r\n",
        HEAD + b" a: b\r\n\r\n",
        HEAD + b"host: y\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n",
        CHUNKED + b"1\nx\r\n0\r\n\r\n",
        CHUNKED + b"1 \r\nx\r\n0\r\n\r\n",
        CHUNKED + b"0x1\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"1\r\nxy\r\n0\r\n\r\n",
    ],
    ids=str,
)
async def test_a_request_with_an_ambiguous_end_closes_the_connection(url: str, data: bytes) -> None:
    told = await refused(url, data + PING)
    assert told in ([400], [401]), (
        told
    )  # 401: answered as a stranger's before its body turned out to be wrong
    assert 204 not in told


async def test_requests_before_a_broken_one_are_answered_first(url: str) -> None:
    assert await refused(url, PING + PING + HEAD + b"a : b\r\n\r\n") == [204, 204, 400]


async def test_an_unsupported_http_version_is_refused(url: str) -> None:
    assert await refused(url, b"GET / HTTP/2.0\r\nhost: x\r\n\r\n") == [505]


@pytest.mark.parametrize(
    "piece", [b"1;" + b"e" * 10_000 + b"\r\nx\r\n", b"x" * 10_000], ids=["extensions", "trailers"]
)
async def test_chunk_extensions_and_trailers_are_limited(api: Api, url: str, piece: bytes) -> None:
    head = request(api, "/app", b"", **{"transfer-encoding": "chunked", "content-length": ""})
    async with wire(url) as connection:
        await connection.send(head, b"1\r\n{\r\n", b"0\r\n" if piece[:1] == b"x" else b"")
        for _ in range(30):
            await connection.send(piece)
            await asyncio.sleep(0.001)  # so that it is a read of its own
        assert 400 in await statuses(connection)


async def test_a_body_in_many_small_chunks_is_accepted(api: Api, url: str) -> None:
    head = request(api, "/app", b"", **{"transfer-encoding": "chunked", "content-length": ""})
    body = json.dumps({"name": "n", "x": "x" * 20_000}).encode()
    async with wire(url) as connection:
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        await connection.send(head, *[chunks[n : n + 9_000] for n in range(0, len(chunks), 9_000)])
        assert (await connection.answer())[0] == 201


async def test_a_trailer_is_not_a_header(api: Api, url: str) -> None:
    """It comes after the request was judged; here it would say who asks."""
    body = b'{"name": "a"}'
    data = CHUNKED + b"%x\r\n%b\r\n0\r\nauthorization: Bearer %b\r\n\r\n" % (
        len(body),
        body,
        api.token.encode(),
    )
    async with wire(url) as connection:
        await connection.send(data)
        assert (await connection.answer())[0] == 401


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
@pytest.mark.parametrize("gap", [False, True], ids=["at once", "in two reads"])
async def test_an_unsupported_upgrade_does_not_change_the_body(
    api: Api, url: str, upgrade: str, gap: bool
) -> None:
    """Java's client asks for h2c on each first request; a proxy counts the body as the request's."""
    app = await api.application()
    inner = request(api, f"/app/{app}/msg", {**PLAIN, "eventId": "hidden"})
    for path, body, status in ((f"/app/{app}/msg", inner, 422), ("/app", b'{"name": "a"}', 201)):
        data = request(api, path, body, connection="Upgrade, HTTP2-Settings", upgrade=upgrade)
        head, _, rest = data.partition(b"\r\n\r\n")
        async with wire(url) as connection:
            await connection.send(*((head + b"\r\n\r\n", rest) if gap else (data,)))
            assert (await connection.answer())[0] == status
            await connection.send(request(api, f"/app/{app}/msg", PLAIN))
            assert (await connection.answer())[0] == 202
    assert "hidden" not in [one.get("eventId") for one in (await api.get(f"/app/{app}/msg"))["data"]]


async def test_requests_that_ask_for_an_upgrade_are_answered_one_by_one(url: str) -> None:
    ask = PING[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"
    async with wire(url) as connection:
        await connection.send(ask + ask + PING)
        async with asyncio.timeout(PATIENCE):
            for _ in range(3):
                assert b" 204 " in await connection.reader.readuntil(b"\r\n\r\n")


async def test_pipelined_requests_of_a_connection_are_limited(url: str) -> None:
    told = await refused(url, PING * (framing.PIPELINE_LIMIT + 50))
    assert told[-1] == 400
    assert len(told) <= framing.PIPELINE_LIMIT + 3


async def test_waiting_for_the_rest_of_an_answered_request_is_limited(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(framing, "LINGER", 0.2)
    assert await refused(url, HEAD + b"content-length: 100\r\n\r\nx") == [401]


async def test_a_silent_connection_is_closed(backend: Backend) -> None:
    async with serving(backend.app, keep_alive=1) as url, wire(url) as connection:
        assert await connection.ended()
