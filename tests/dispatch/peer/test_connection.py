"""Connections between processes: only holders of the key get anything in, and nothing unbounded is kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import pytest

from angarium.dispatch.peer import link as link_module
from angarium.dispatch.peer import listener as listener_module
from angarium.dispatch.peer.frame import (
    GREETING,
    INSTANCE_BYTES,
    KEY_BYTES,
    LENGTH_BYTES,
    MAX_FRAME,
    RANDOM_BYTES,
    Cipher,
    HandOver,
    encode,
)
from angarium.dispatch.peer.link import PeerLink
from angarium.dispatch.peer.listener import Listener, bound
from angarium.store.accept import NewDelivery
from tests.kit.patience import until

KEY = b"k" * KEY_BYTES
INSTANCE = b"i" * INSTANCE_BYTES


def hand_over(count: int = 1, payload: bytes = b"{}") -> HandOver:
    made = [
        NewDelivery(UUID(int=1), UUID(int=2), UUID(int=n), 2, False, 0, 0.0, "a.b", payload, 9.0)
        for n in range(count)
    ]
    return HandOver({2: 1}, 1.0, made)


class Peer:
    """A listener, and what it received."""

    def __init__(self, *, tcp: bool = False) -> None:
        self.received: list[HandOver] = []
        # a random instance, since abstract sockets are shared by all tests of this host
        self.instance = os.urandom(INSTANCE_BYTES)
        self.listener = Listener(
            self.instance, KEY, os.urandom, self.received.append, ("127.0.0.1", 0) if tcp else None
        )
        self.losses = 0

    def link(self, **other: bytes) -> PeerLink:
        def lost() -> None:
            self.losses += 1

        return PeerLink(
            other.get("instance", self.instance),
            self.listener.addresses,
            other.get("key", KEY),
            os.urandom,
            lost,
        )

    async def connected(self) -> PeerLink:
        link = self.link()

        def ready() -> bool:
            link.connect()  # again, if an attempt took too long
            return link.ready

        await until(ready)
        return link

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection by hand."""
        unix = next(one for one in self.listener.addresses if one.startswith("unix:"))
        return await asyncio.open_unix_connection("\0" + unix.removeprefix("unix:"))


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    await made.listener.start()
    yield made
    await made.listener.stop()


async def test_what_is_sent_arrives_in_order(peer: Peer) -> None:
    link = await peer.connected()
    sent = [hand_over(n, os.urandom(20_000)) for n in range(20)]
    for one in sent:
        link.send(encode(one))
    await until(lambda: len(peer.received) == 20)
    assert peer.received == sent


async def test_a_process_of_another_host_is_reached_over_tcp() -> None:
    peer = Peer(tcp=True)
    await peer.listener.start()
    # the Unix socket of another host does not exist here
    peer.listener.addresses[0] = "unix:angarium-of-another-host"
    link = await peer.connected()
    link.send(encode(hand_over()))
    await until(lambda: peer.received == [hand_over()])
    link.close()
    await peer.listener.stop()


async def test_the_next_port_is_used_if_one_is_taken() -> None:
    first = bound("127.0.0.1", 0)
    port = first.getsockname()[1]
    if port < 65000:
        second = bound("127.0.0.1", port)
        assert port < second.getsockname()[1] < port + listener_module.PORTS
        second.close()
    first.close()


async def test_an_address_that_is_not_of_this_host_leaves_the_unix_socket() -> None:
    listener = Listener(os.urandom(INSTANCE_BYTES), KEY, os.urandom, lambda _: None, ("192.0.2.1", 0))
    await listener.start()
    assert [address.partition(":")[0] for address in listener.addresses] == ["unix"]
    await listener.stop()


async def test_a_caller_with_another_key_is_refused(peer: Peer) -> None:
    link = peer.link(key=b"x" * KEY_BYTES)

    def refused() -> bool:
        link.connect()
        return peer.losses > 0

    await until(refused)
    assert peer.received == []


async def test_a_caller_that_finds_another_process_sends_nothing(peer: Peer) -> None:
    link = peer.link(instance=b"x" * INSTANCE_BYTES)
    link.connect()
    await until(lambda: link._connecting is None)
    assert not link.ready
    assert peer.losses == 0


async def test_a_failed_attempt_is_repeated_only_after_a_pause(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = peer.link(instance=b"x" * INSTANCE_BYTES)
    link.connect()
    await until(lambda: link._connecting is None)
    link.connect()
    assert link._connecting is None
    assert link._pause == 2 * link_module.PAUSES[0]
    link._again_at = 0.0
    link.connect()
    assert link._connecting is not None
    link.close()


def garbage(reader: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4


def huge(greeting: bytes) -> bytes:
    return os.urandom(RANDOM_BYTES) + (MAX_FRAME + 1).to_bytes(LENGTH_BYTES, "big")


def unproven(greeting: bytes) -> bytes:
    """A frame with contents in place of the first, empty one."""
    random = os.urandom(RANDOM_BYTES)
    return random + Cipher(KEY, greeting[-RANDOM_BYTES:], random).seal(encode(hand_over()))


def malformed(greeting: bytes) -> bytes:
    random = os.urandom(RANDOM_BYTES)
    cipher = Cipher(KEY, greeting[-RANDOM_BYTES:], random)
    return random + cipher.seal(b"") + cipher.seal(b"no hand-over")


@pytest.mark.parametrize("said", [garbage, huge, unproven, malformed])
async def test_a_caller_that_sends_anything_else_is_disconnected(
    peer: Peer, said: Callable[[bytes], bytes]
) -> None:
    reader, writer = await peer.open()
    writer.write(said(await reader.readexactly(GREETING)))
    assert await reader.read() == b""
    writer.close()
    assert peer.received == []
    await until(lambda: not peer.listener.connections)


async def test_a_silent_caller_is_disconnected(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "GREETED_WITHIN", 0.05)
    reader, writer = await peer.open()
    await reader.readexactly(GREETING)
    assert await reader.read() == b""
    writer.close()


async def test_a_proven_caller_may_be_silent(peer: Peer) -> None:
    link = await peer.connected()
    await until(lambda: any(one._proven for one in peer.listener.connections))
    (connection,) = peer.listener.connections
    assert connection._deadline is not None
    assert connection._deadline.cancelled()
    link.close()


async def test_connections_are_bounded(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "MAX_CONNECTIONS", 1)
    link = await peer.connected()
    reader, writer = await peer.open()
    assert await reader.read() == b""
    writer.close()
    assert link.ready
    link.close()


async def test_the_end_of_a_connection_is_told_once(peer: Peer) -> None:
    link = await peer.connected()
    await peer.listener.stop()
    await until(lambda: peer.losses == 1)
    assert not link.ready
    link.connect()
    await until(lambda: link._connecting is None)
    assert peer.losses == 1


async def test_a_link_that_is_closed_on_purpose_reports_no_loss(peer: Peer) -> None:
    link = await peer.connected()
    link.close()
    await until(lambda: not peer.listener.connections)
    assert peer.losses == 0


async def test_a_peer_that_does_not_read_makes_the_link_not_ready(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "MAX_BUFFERED", 100_000)
    link = await peer.connected()
    await until(lambda: any(one._proven for one in peer.listener.connections))
    (connection,) = peer.listener.connections
    assert connection._transport is not None
    connection._transport.pause_reading()
    contents, sent = encode(hand_over(1, bytes(50_000))), 0
    while link.ready:
        link.send(contents)
        sent += 1
        assert sent < 1000
    connection._transport.resume_reading()
    await until(lambda: len(peer.received) == sent)
    await until(lambda: link.ready)
    link.close()
