"""A name server that lies: public when the URL is looked at, inside when it is connected to.

127.0.0.1 stands for the public address, 127.0.0.2 for the inner one; a receiver is at the same port of each.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, ip_network
from typing import cast

import pytest

from angarium.core.address import AddressPolicy
from angarium.dispatch.transport.sender import OutgoingRequest, Sender
from angarium.dispatch.url_check_transport import UrlCheckTransport
from tests.kit.patience import PATIENCE
from tests.kit.receiver import Receiver, Reply

PUBLIC, INNER = "127.0.0.1", "127.0.0.2"
POLICY = AddressPolicy([ip_network(f"{PUBLIC}/32")])


class NameServer(asyncio.DatagramProtocol):
    """Answers each question with the next of its answers, to be forgotten at once (RFC 1035, 4.1)."""

    def __init__(self, answers: Sequence[Sequence[str]]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        addresses = self.answers[self.asked % len(self.answers)]
        self.asked += 1
        end = data.index(b"\0", 12) + 5
        header = data[:2] + struct.pack("!HHHHH", 0x8180, 1, len(addresses), 0, 0)
        records = b"".join(
            b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + IPv4Address(one).packed for one in addresses
        )
        self.transport.sendto(header + data[12:end] + records, addr)


class Stub:
    """A resolver without any memory, that asks the name server each time."""

    def __init__(self, port: int) -> None:
        self._port = port

    def silent(self, seconds: float) -> bool:
        return False

    async def addresses(self, host: str) -> Sequence[str]:
        question = b"".join(bytes([len(part)]) + part.encode() for part in host.split(".")) + b"\0"
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)
            asking.connect((PUBLIC, self._port))
            query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question + struct.pack("!HH", 1, 1)
            await loop.sock_sendall(asking, query)
            answer = await asyncio.wait_for(loop.sock_recv(asking, 4096), PATIENCE)
        count = struct.unpack("!H", answer[6:8])[0]
        records = answer[len(answer) - 16 * count :]
        return [str(IPv4Address(records[16 * n + 12 : 16 * n + 16])) for n in range(count)]

    async def close(self) -> None:
        return


@asynccontextmanager
async def scene(*answers: Sequence[str]) -> AsyncIterator[tuple[NameServer, Stub, Receiver, Receiver]]:
    """The name server with a resolver, and the receivers at the public and at the inner address."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(answers), local_addr=(PUBLIC, 0)
    )
    try:
        # without keeping connections, so that each request is a new one
        async with (
            Receiver(Reply(close=True), host=PUBLIC) as outside,
            Receiver(Reply(close=True), host=INNER, port=outside.port) as inside,
        ):
            yield server, Stub(transport.get_extra_info("sockname")[1]), outside, inside
    finally:
        transport.close()


def _post(port: int) -> OutgoingRequest:
    return OutgoingRequest(f"http://rebind.example:{port}/", [("user-agent", "test")], b"{}", 30.0)


async def test_the_address_is_checked_again_when_connecting() -> None:
    async with scene([PUBLIC], [INNER]) as (server, names, outside, inside):
        url_check_transport = UrlCheckTransport(policy=POLICY, response_limit=100, resolver=names)
        assert await url_check_transport.trouble("rebind.example", 30.0) is None
        answer = await url_check_transport.post(f"http://rebind.example:{outside.port}/", [], b"{}", 30.0)
        assert answer.error_code == "refused_address"
        await url_check_transport.close()
        assert server.asked == 2
        assert (outside.count, inside.connections.total) == (0, 0)


async def test_repeated_attempts_never_reach_the_internal_address() -> None:
    async with scene([PUBLIC], [INNER], [INNER, PUBLIC], [PUBLIC, INNER]) as (server, names, outside, inside):
        sender = Sender(policy=POLICY, response_limit=100, connections=20, resolver=names)
        answers = await asyncio.gather(*(sender.send(_post(outside.port)) for _ in range(40)))
        await sender.close()
        # some share a connection attempt, but what got through got through to the public one alone
        assert {answer.error_code for answer in answers} == {None, "refused_address"}
        assert outside.count == sum(answer.error_code is None for answer in answers)
        assert inside.connections.total == 0
        assert server.asked > 0


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308, 399])
async def test_no_dns_answer_leads_to_an_internal_address(status: int) -> None:
    async with scene([PUBLIC]) as (_, names, outside, inside):
        sender = Sender(policy=POLICY, response_limit=100, connections=20, resolver=names)
        there = f"http://{INNER}:{inside.port}/"
        for headers in (
            [("location", there)],
            [("location", f"//{INNER}:{inside.port}/")],
            [("location", "/elsewhere")],
            [("location", "file:///etc/passwd")],
            [("location", f"http://rebind.example@{INNER}:{inside.port}/")],
            [("refresh", f"0; url={there}")],
            [("content-location", there), ("link", f"<{there}>; rel=canonical")],
            [("alt-svc", f'http/1.1="{INNER}:{inside.port}"')],
        ):
            outside.default = Reply(status, headers=headers, close=True)
            before = outside.count
            answer = await sender.send(_post(outside.port))
            assert answer.status_code == status
            assert outside.count == before + 1
        await sender.close()
        assert inside.connections.total == 0
