"""Receivers that do their worst, beyond those of `tests/dispatch/test_sender.py`."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from angarium.dispatch.transport.sender import OutgoingRequest, Sender
from tests.kit.receiver import Receiver, Reply, redirect
from tests.kit.world import LOOPBACK

LIMIT = 16384
Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    sender = Sender(policy=LOOPBACK, response_limit=LIMIT, connections=10)
    yield sender
    await sender.close()


@asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[str]:
    """A receiver below HTTP; its URL."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await peer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", limit=1024)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def request(url: str, size: int = 10) -> OutgoingRequest:
    return OutgoingRequest(url, [("content-type", "application/json")], b"x" * size, 20.0)


async def test_a_gzip_bomb_stays_as_small_as_it_came(sender: Sender) -> None:
    """Ten kilobytes that would become ten megabytes: nothing is unpacked."""
    bomb = gzip.compress(bytes(10_000_000))
    async with Receiver(Reply(200, bomb, [("content-encoding", "gzip")])) as receiver:
        answer = await sender.send(request(receiver.url))
    assert answer.status_code == 200
    assert answer.response == bomb[:LIMIT]


@pytest.mark.parametrize("status", [200, 413])
@pytest.mark.parametrize("size", [1_000, 2_000_000])
async def test_an_answer_that_comes_before_the_request_was_read_counts(
    sender: Sender, status: int, size: int
) -> None:
    """A receiver that refuses by the head alone answers while the body is still being written."""

    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %d Status\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno" % status)
        await writer.drain()
        await asyncio.sleep(0.2)

    async with listening(hasty) as url:
        answer = await sender.send(request(url, size))
    assert (answer.status_code, answer.response) == (status, b"no")


async def test_a_response_without_a_request_is_ignored(sender: Sender) -> None:
    """It is there as soon as the connection is, before anything was asked."""

    async def foresighted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(Reply(200).wire_form() * 2)
        await writer.drain()
        await asyncio.sleep(0.2)

    async with listening(foresighted) as url:
        for _ in range(3):
            answer = await sender.send(request(url))
            assert answer.status_code in (0, 200)  # never an exception, never a hang
            assert answer.duration_ms < 20_000


@pytest.mark.parametrize(
    "inside",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::1]:1/",
        "http://0x7f.1/",
        "//127.0.0.1:1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:1/",
    ],
)
async def test_a_redirect_to_an_internal_address_is_not_followed(sender: Sender, inside: str) -> None:
    async with Receiver(redirect(inside, 307)) as receiver:
        answer = await sender.send(request(receiver.url))
        assert receiver.count == 1
    assert answer.status_code == 307
    assert answer.error is not None


async def test_a_redirect_to_another_own_endpoint_is_not_followed_either(sender: Sender) -> None:
    async with Receiver() as other, Receiver(redirect(other.url, 308)) as receiver:
        answer = await sender.send(request(receiver.url))
    assert answer.status_code == 308
    assert other.count == 0


async def test_a_connection_that_is_reset_while_idle_costs_no_attempt(sender: Sender) -> None:
    """Keep-alive, ended at the worst time: just when the next request goes out."""
    async with Receiver() as receiver:
        for _ in range(20):
            assert (await sender.send(request(receiver.url))).status_code == 200
            receiver.drop_idle()
            answer = await sender.send(request(receiver.url))
            assert answer.status_code == 200
        assert receiver.count == 40


async def test_a_receiver_that_stops_reading_and_responds(sender: Sender) -> None:
    """It shuts down its reading side and still responds."""

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        raw = writer.get_extra_info("socket")
        raw.shutdown(socket.SHUT_RD)
        writer.write(Reply(202, close=True).wire_form())
        await writer.drain()
        await asyncio.sleep(0.2)

    async with listening(deaf) as url:
        answer = await sender.send(request(url, 500_000))
    assert answer.status_code in (0, 202)
    assert answer.duration_ms < 20_000
