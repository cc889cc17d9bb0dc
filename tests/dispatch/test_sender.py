"""The real Sender against a receiver that misbehaves, over real connections."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from angarium.core.address import AddressPolicy
from angarium.core.outcome import AttemptResult
from angarium.dispatch.transport import connection as connections
from angarium.dispatch.transport import pool, resolver
from angarium.dispatch.transport.connection import HEADROOM
from angarium.dispatch.transport.resolver import NameFailure, Resolver, SystemResolver
from angarium.dispatch.transport.sender import OutgoingRequest, Sender
from tests.kit import receiver as kit
from tests.kit.authority import Authority
from tests.kit.overdue import overdue
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port
from tests.kit.receiver import Drip, Hangup, Raw, Receiver, Reply, Reset, Silence, redirect

LOOPBACK = AddressPolicy([ip_network("127.0.0.0/8"), ip_network("::1/128")])
LIMIT = 1000


def post(url: str, *, timeout: float = 30.0, body: bytes = b'{"n":1}') -> OutgoingRequest:
    return OutgoingRequest(url, [("content-type", "application/json"), ("user-agent", "test")], body, timeout)


@asynccontextmanager
async def sending(policy: AddressPolicy = LOOPBACK, **settings: object) -> AsyncIterator[Sender]:
    sender = Sender(policy=policy, response_limit=LIMIT, connections=20, **settings)  # type: ignore[arg-type]
    try:
        yield sender
    finally:
        await sender.close()


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with sending() as made:
        yield made


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


class Names:
    """A resolver that returns the prepared answers, the last one repeatedly."""

    def __init__(self, *answers: Sequence[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def silent(self, seconds: float) -> bool:
        return False

    async def addresses(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        return


def failed(answer: AttemptResult, code: str) -> None:
    assert answer.error_code == code, answer
    assert answer.status_code == 0
    assert answer.response is None
    words = answer.error or ""
    assert words.endswith(".")
    assert len(words.split()) > 8, "says what happened and what to do"
    assert not answer.delivered


# -- good answers


@pytest.mark.parametrize("size", [0, 1, 300, 8000])
async def test_a_message_arrives_byte_for_byte_with_its_headers(
    sender: Sender, receiver: Receiver, size: int
) -> None:
    body = bytes(range(256)) * size
    answer = await sender.send(
        OutgoingRequest(
            receiver.url + "?a=%2F&b=ü", [("x-one", "1"), ("content-type", "application/json")], body, 30.0
        )
    )
    assert (answer.status_code, answer.error_code, answer.error, answer.response) == (200, None, None, b"ok")
    (request,) = receiver.requests
    assert request.method == "POST"
    assert request.path.startswith("/hook?a=%2F&b=")
    assert request.body == body
    names = [name.lower() for name, _ in request.headers]
    assert sorted(names) == sorted(
        ["host", "x-one", "content-type", "accept", "accept-encoding", "content-length"]
    )
    assert request.header("accept-encoding") == "identity"
    assert request.header("content-length") == str(len(body))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
async def test_every_2xx_delivers(sender: Sender, receiver: Receiver, status: int) -> None:
    receiver.default = Reply(status, b"")
    answer = await sender.send(post(receiver.url))
    assert answer.status_code == status
    assert answer.error is None
    assert answer.delivered


async def test_a_204_with_a_body_that_it_must_not_have_delivers_too(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.default = Reply(204, b'{"received":true}')
    for _ in range(3):
        answer = await sender.send(post(receiver.url))
        assert (answer.status_code, answer.error_code, answer.response) == (204, None, b"")
    assert receiver.connections.total == 3, "none is used again"


@pytest.mark.parametrize("status", [400, 401, 404, 408, 410, 418, 429, 499, 500, 503, 599, 777])
async def test_every_other_status_is_a_failure_with_a_text(
    sender: Sender, receiver: Receiver, status: int
) -> None:
    receiver.default = Reply(status, b"why")
    answer = await sender.send(post(receiver.url))
    assert answer.status_code == status
    assert answer.error_code == f"http_{status}"
    assert str(status) in (answer.error or "")
    assert answer.response == b"why"
    assert not answer.delivered


async def test_credentials_in_the_url_become_basic_authorization(sender: Sender, receiver: Receiver) -> None:
    url = receiver.url.replace("://", "://us%20er:p%40ss@")
    assert (await sender.send(post(url))).status_code == 200
    assert receiver.requests[0].header("authorization") == "Basic dXMgZXI6cEBzcw=="


async def test_an_authorization_header_of_the_endpoint_wins_over_the_url(
    sender: Sender, receiver: Receiver
) -> None:
    url = receiver.url.replace("://", "://user:pass@")
    await sender.send(OutgoingRequest(url, [("Authorization", "Bearer x")], b"{}", 30.0))
    assert [v for k, v in receiver.requests[0].headers if k.lower() == "authorization"] == ["Bearer x"]


async def test_cookies_are_not_kept(sender: Sender, receiver: Receiver) -> None:
    receiver.default = Reply(headers=[("set-cookie", "a=b; path=/")])
    await sender.send(post(receiver.url))
    await sender.send(post(receiver.url))
    assert receiver.requests[1].header("cookie") is None


async def test_proxies_of_the_environment_are_not_used(
    sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert (await sender.send(post(receiver.url))).status_code == 200


async def test_a_compressed_answer_is_kept_as_it_came(sender: Sender, receiver: Receiver) -> None:
    receiver.default = Reply(200, b"not gzip at all", [("content-encoding", "gzip")])
    answer = await sender.send(post(receiver.url))
    assert (answer.status_code, answer.response) == (200, b"not gzip at all")


# -- connections


async def test_one_connection_is_used_again(sender: Sender, receiver: Receiver) -> None:
    for _ in range(20):
        assert (await sender.send(post(receiver.url))).status_code == 200
    assert receiver.connections.total == 1


async def test_a_connection_closed_while_idle_is_replaced_within_the_attempt(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.plan(Reply(), Hangup(), Reply(201))
    await sender.send(post(receiver.url))
    answer = await sender.send(post(receiver.url))
    assert answer.status_code == 201
    assert receiver.connections.total == 2


async def test_a_receiver_that_always_disconnects_gets_at_most_two_requests(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.plan(Reply())
    receiver.default = Hangup()
    await sender.send(post(receiver.url))
    failed(await sender.send(post(receiver.url)), "reset")
    assert receiver.count == 3
    failed(await sender.send(post(receiver.url)), "reset")
    assert receiver.count == 4, "a new connection is not tried again"


async def test_a_receiver_that_closes_silently_after_each_response_gets_everything(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.default = kit.AnswerThenHangup()
    for _ in range(30):
        assert (await sender.send(post(receiver.url))).status_code == 200


async def test_an_unsolicited_response_is_not_used_for_the_next_request(
    sender: Sender, receiver: Receiver
) -> None:
    def and_one_more(_: object) -> kit.Behaviour:
        return Raw(Reply(200).wire_form() + Reply(200, b"smuggled").wire_form(), close=False)

    receiver.plan(and_one_more)
    receiver.default = Reply(500, b"real")
    assert (await sender.send(post(receiver.url))).response == b"ok"
    answer = await sender.send(post(receiver.url))
    assert (answer.status_code, answer.response) == (500, b"real")


async def test_a_changed_dns_name_is_followed_although_a_connection_is_open(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    for part in (pool, connections):
        monkeypatch.setattr(part, "steady", lambda: now)
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with Receiver(host="127.0.0.2", port=receiver.port) as moved, sending(resolver=names) as sender:
        request = post(f"http://moving.test:{receiver.port}/")
        for _ in range(4):
            assert (await sender.send(request)).status_code == 200
            now += pool.MAX_AGE / 3 - 0.1
        assert (receiver.count, receiver.connections.total) == (4, 1)
        assert (await sender.send(request)).status_code == 200
        assert (receiver.count, moved.count) == (4, 1)


async def test_an_address_is_checked_again_when_a_connection_is_old(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    monkeypatch.setattr(pool, "MAX_AGE", -1.0)
    async with sending(resolver=names) as sender:
        request = post(f"http://moving.test:{receiver.port}/")
        assert (await sender.send(request)).status_code == 200
        failed(await sender.send(request), "refused_address")


async def test_idle_connections_are_bounded(receiver: Receiver) -> None:
    async with sending() as sender, asyncio.timeout(PATIENCE):
        receiver.default = Reply(delay=0.05)
        answers = await asyncio.gather(*[sender.send(post(receiver.url)) for _ in range(60)])
        assert {answer.status_code for answer in answers} == {200}
        assert receiver.connections.most <= 20


# -- redirects and Retry-After


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(
    sender: Sender, receiver: Receiver, status: int
) -> None:
    receiver.default = redirect(receiver.url + "/next", status)
    answer = await sender.send(post(receiver.url))
    assert (answer.status_code, answer.error_code) == (status, "redirect")
    assert receiver.url + "/next" in (answer.error or "")
    assert receiver.count == 1
    assert not answer.delivered


@pytest.mark.parametrize(("value", "seconds"), [("120", 120.0), ("1.5", 1.5), ("0", 0.0), ("-3", 0.0)])
async def test_retry_after_in_seconds(sender: Sender, receiver: Receiver, value: str, seconds: float) -> None:
    receiver.default = Reply(503, headers=[("Retry-After", value)])
    answer = await sender.send(post(receiver.url))
    assert answer.retry_after == seconds
    assert answer.retry_after == seconds
    assert answer.kind is not None
    assert answer.kind.slows


async def test_retry_after_as_a_date(receiver: Receiver) -> None:
    now = 1_750_000_000.0
    date = format_datetime(datetime.fromtimestamp(now + 90, UTC), usegmt=True)
    receiver.default = Reply(429, headers=[("retry-after", date)])
    async with sending(now=lambda: now) as sender:
        assert (await sender.send(post(receiver.url))).retry_after == 90.0


@pytest.mark.parametrize(
    "value", ["soon", "", "nan", "inf", "1e999", "x" * 500, "Mon, 99 Foo 2020 00:00:00 GMT"]
)
async def test_an_invalid_retry_after_is_ignored(sender: Sender, receiver: Receiver, value: str) -> None:
    receiver.default = Reply(503, headers=[("retry-after", value)])
    answer = await sender.send(post(receiver.url))
    assert (answer.status_code, answer.retry_after) == (503, None)


# -- misbehaviour


async def test_no_response_is_a_timeout(sender: Sender, receiver: Receiver) -> None:
    receiver.default = Silence()
    started = time.monotonic()
    answer = await sender.send(post(receiver.url, timeout=1.0))
    assert 1.0 <= time.monotonic() - started < 30
    failed(answer, "timeout")
    assert answer.duration_ms >= 1000
    assert answer.kind is not None
    assert answer.kind.slows


async def test_slow_headers_are_a_timeout(sender: Sender, receiver: Receiver) -> None:
    receiver.default = Drip(interval=0.05, head=False)
    failed(await sender.send(post(receiver.url, timeout=1.5)), "timeout")


@pytest.mark.parametrize("status", [200, 500])
async def test_a_slow_body_is_cut_off_and_the_status_counts(
    sender: Sender, receiver: Receiver, status: int
) -> None:
    receiver.default = Drip(status, interval=0.05)
    answer = await overdue(sender, post(receiver.url), lambda exchange: exchange.body)
    assert answer.status_code == status
    assert answer.error_code == (None if status == 200 else "http_500")
    assert set(answer.response or b"") == {ord(".")}
    await until(lambda: receiver.connections.open == 0)


@pytest.mark.parametrize("status", [200, 500])
async def test_a_huge_body_is_cut_at_the_limit(sender: Sender, receiver: Receiver, status: int) -> None:
    receiver.default = kit.endless_body(status)
    started = time.monotonic()
    answer = await sender.send(post(receiver.url))
    assert time.monotonic() - started < 30
    assert answer.status_code == status
    assert answer.response == b"a" * LIMIT
    await until(lambda: receiver.connections.open == 0)


async def test_a_body_of_exactly_the_limit_keeps_its_connection(sender: Sender, receiver: Receiver) -> None:
    receiver.default = Reply(200, b"x" * LIMIT)
    for _ in range(3):
        assert (await sender.send(post(receiver.url))).response == b"x" * LIMIT
    assert receiver.connections.total == 1


@pytest.mark.parametrize(
    "endless", [kit.endless_headers(), kit.endless_header_line()], ids=["lines", "one line"]
)
async def test_endless_headers_are_cut_off(sender: Sender, receiver: Receiver, endless: kit.Endless) -> None:
    receiver.default = endless
    started = time.monotonic()
    failed(await sender.send(post(receiver.url)), "too_large")
    assert time.monotonic() - started < 30
    await until(lambda: receiver.connections.open == 0)


async def test_an_endless_chunk_extension_ends(sender: Sender, receiver: Receiver) -> None:
    receiver.default = kit.endless_chunk_extension()
    answer = await sender.send(post(receiver.url))
    assert answer.status_code == 200
    await until(lambda: receiver.connections.open == 0)


@pytest.mark.parametrize("status", [100, 102, 103, 199])
async def test_a_storm_of_1xx_ends(sender: Sender, receiver: Receiver, status: int) -> None:
    receiver.default = kit.storm_of_1xx(status)
    started = time.monotonic()
    failed(await sender.send(post(receiver.url, timeout=20.0)), "too_large")
    assert time.monotonic() - started < 30
    await until(lambda: receiver.connections.open == 0)


async def test_a_few_1xx_before_the_answer_are_fine(sender: Sender, receiver: Receiver) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    receiver.default = Raw(early * 3 + Reply(202).wire_form(), close=False)
    assert (await sender.send(post(receiver.url))).status_code == 202


async def test_switching_protocols_is_a_failure(sender: Sender, receiver: Receiver) -> None:
    receiver.default = Raw(
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello", close=False
    )
    answer = await sender.send(post(receiver.url))
    assert answer.status_code in (0, 101)
    assert not answer.delivered


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200"], ids=["before", "within the head"])
async def test_a_reset_before_the_status(sender: Sender, receiver: Receiver, after: bytes) -> None:
    receiver.default = Reset(after)
    failed(await sender.send(post(receiver.url)), "reset")


async def test_a_reset_within_the_body_leaves_the_status(sender: Sender, receiver: Receiver) -> None:
    receiver.default = Reset(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart")
    answer = await sender.send(post(receiver.url))
    assert (answer.status_code, answer.error_code, answer.response) == (200, None, b"part")


async def test_a_connection_closed_without_an_answer(sender: Sender, receiver: Receiver) -> None:
    receiver.default = Hangup()
    failed(await sender.send(post(receiver.url)), "reset")
    assert receiver.count == 1


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"\nHTTP\n\n",
        b"\x00\x01\x02\x03" * 10,
        b"\x15\x03\x01\x00\x02\x02\x0a",
        b"220 smtp.example ESMTP\r\n",
    ],
)
async def test_invalid_http_is_reported(sender: Sender, receiver: Receiver, data: bytes) -> None:
    receiver.default = Raw(data)
    answer = await sender.send(post(receiver.url))
    failed(answer, "protocol")
    assert (answer.error or "").isprintable()


async def test_a_bad_chunk_in_the_body_leaves_the_status(sender: Sender, receiver: Receiver) -> None:
    receiver.default = Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\nabc")
    answer = await sender.send(post(receiver.url))
    assert answer.status_code in (0, 200)
    assert answer.status_code == 200 or answer.error_code == "protocol"


@pytest.mark.parametrize("value", ["grün".encode(), b"\xff\xfe", "日本".encode(), b"\xe9"])
async def test_non_ascii_headers_and_bodies_are_accepted(
    sender: Sender, receiver: Receiver, value: bytes
) -> None:
    receiver.default = Raw(
        b"HTTP/1.1 302 " + value + b"\r\nlocation: http://" + value + b"/\r\nset-cookie: " + value + b"=1\r\n"
        b"retry-after: " + value + b"\r\ncontent-type: text/html; charset=" + value + b"\r\n"
        b"content-length: 4\r\n\r\n\xff\x00\xfe\x80"
    )
    answer = await sender.send(post(receiver.url))
    assert (answer.status_code, answer.error_code) == (302, "redirect")
    assert answer.response == b"\xff\x00\xfe\x80"
    assert (answer.error or "").encode("utf-8")
    assert (answer.error or "").isprintable()


async def test_a_body_that_is_never_read_ends_at_the_deadline(sender: Sender) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    try:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        answer = await sender.send(post(url, body=b"x" * 20_000_000, timeout=2.0))
        failed(answer, "timeout")
    finally:
        server.close()


async def test_a_closed_port(sender: Sender) -> None:
    answer = await sender.send(post(f"http://127.0.0.1:{free_port()}/"))
    failed(answer, "connect_refused")
    assert answer.kind is not None
    assert answer.kind.slows


@pytest.mark.parametrize(
    "url", ["http://", "nonsense", "ftp://127.0.0.1/", "http://[::1/", "http://a b/", ""]
)
async def test_a_url_that_cannot_be_requested(sender: Sender, url: str) -> None:
    answer = await sender.send(post(url))
    assert answer.error_code in ("bad_request", "dns"), answer
    assert answer.status_code == 0


@pytest.mark.parametrize(
    "header", [("x-a", "1\r\nx-b: 2"), ("x a", "1"), ("x-a", "1\x00"), ("", "1"), ("x\n", "1")]
)
async def test_a_header_cannot_smuggle_another_one(
    sender: Sender, receiver: Receiver, header: tuple[str, str]
) -> None:
    answer = await sender.send(OutgoingRequest(receiver.url, [header], b"{}", 30.0))
    if answer.status_code == 0:
        assert answer.error_code == "bad_request", answer
    for request in receiver.requests:
        assert request.header("x-b") is None
        assert request.body == b"{}"


async def test_cancelling_passes_through_and_closes_the_connection(
    sender: Sender, receiver: Receiver
) -> None:
    receiver.default = Silence()
    task = asyncio.ensure_future(sender.send(post(receiver.url)))
    await receiver.wait_for(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: receiver.connections.open == 0)


async def test_a_dead_receiver_does_not_slow_others(sender: Sender, receiver: Receiver) -> None:
    async with Receiver(Silence()) as dead:
        waiting = [asyncio.ensure_future(sender.send(post(dead.url))) for _ in range(10)]
        await dead.wait_for(10)
        started = time.monotonic()
        for _ in range(50):
            assert (await sender.send(post(receiver.url))).status_code == 200
        assert time.monotonic() - started < 30
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_waiting_for_a_free_connection_is_our_fault(receiver: Receiver) -> None:
    receiver.default = Silence()
    async with sending() as sender:
        busy = [asyncio.ensure_future(sender.send(post(receiver.url))) for _ in range(20)]
        await receiver.wait_for(20)
        answer = await sender.send(post(receiver.url, timeout=0.2))
        failed(answer, "pool_full")
        assert answer.kind is not None
        assert not answer.kind.slows
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)


async def test_a_closed_sender_returns_a_result(receiver: Receiver) -> None:
    async with sending() as sender:
        await sender.send(post(receiver.url))
    failed(await sender.send(post(receiver.url)), "internal")
    async with sending() as unused:
        pass
    failed(await unused.send(post(receiver.url)), "internal")


async def test_memory_of_one_answer_is_bounded() -> None:
    assert LIMIT + HEADROOM < 1_000_000


# -- addresses


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fd00::1]",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "100.100.100.200",
    ],
)
async def test_a_literal_address_is_checked_in_every_form(receiver: Receiver, host: str) -> None:
    async with sending(AddressPolicy()) as sender:
        answer = await sender.send(post(f"http://{host}:{receiver.port}/"))
    failed(answer, "refused_address")
    assert "ANGARIUM_ALLOWED_SUBNETS" in (answer.error or "")
    assert receiver.connections.total == 0
    assert answer.error_code == "refused_address"


async def test_a_name_that_resolves_to_an_internal_address_is_refused(receiver: Receiver) -> None:
    async with sending(AddressPolicy(), resolver=Names(["127.0.0.1", "::1"])) as sender:
        answer = await sender.send(post(f"http://hooks.example:{receiver.port}/"))
    failed(answer, "refused_address")
    assert "hooks.example has no public address" in (answer.error or "")
    assert receiver.connections.total == 0


async def test_localhost_through_the_system_resolver_is_refused(receiver: Receiver) -> None:
    async with sending(AddressPolicy()) as sender:
        failed(await sender.send(post(f"http://localhost:{receiver.port}/")), "refused_address")
    assert receiver.connections.total == 0


async def test_rebinding_from_an_allowed_to_a_forbidden_address_is_refused() -> None:
    # 127.0.0.1 stands for the public address, 127.0.0.2 for the inner one.
    policy = AddressPolicy([ip_network("127.0.0.1/32")])
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with (
        Receiver(Reply(close=True), host="0.0.0.0") as receiver,
        sending(policy, resolver=names) as sender,
    ):
        url = f"http://rebind.example:{receiver.port}/"
        assert (await sender.send(post(url))).status_code == 200
        failed(await sender.send(post(url)), "refused_address")
        assert receiver.connections.total == 1


async def test_only_the_allowed_of_several_addresses_is_connected_to() -> None:
    policy = AddressPolicy([ip_network("127.0.0.1/32")])
    names = Names(["127.0.0.2", "127.0.0.1"])
    async with Receiver(host="0.0.0.0") as receiver, sending(policy, resolver=names) as sender:
        assert (await sender.send(post(f"http://two.example:{receiver.port}/"))).status_code == 200
        assert receiver.requests[0].header("host") == f"two.example:{receiver.port}"


async def test_ipv6_works() -> None:
    async with Receiver(host="::1") as receiver, sending() as sender:
        assert (await sender.send(post(receiver.url))).status_code == 200


# -- names


async def test_an_unknown_name_is_reported() -> None:
    async with sending(
        resolver=Names(NameFailure("The host name x does not exist in DNS. Check the URL now."))
    ) as s:
        failed(await s.send(post("http://x.example/")), "dns")


async def test_a_name_without_addresses_is_reported() -> None:
    async with sending(resolver=Names([])) as sender:
        failed(await sender.send(post("http://x.example/")), "dns")


async def test_a_slow_name_server_times_out_without_delaying_others(receiver: Receiver) -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def lookup(host: str) -> list[str]:
        if host.startswith("slow"):
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(PATIENCE)
        return ["127.0.0.1"]

    async with sending(resolver=SystemResolver(at_once=4, lookup=lookup)) as sender:
        url = f"http://slow.example:{receiver.port}/"
        first = await asyncio.gather(*[sender.send(post(url, timeout=0.2)) for _ in range(15)])
        for answer in first:
            failed(answer, "dns_unanswered")
            assert "DNS lookup timed out" in (answer.error or "")
        assert (await sender.send(post(f"http://quick.example:{receiver.port}/"))).status_code == 200
        release.set()
        await asyncio.sleep(0)


@pytest.mark.parametrize("most", [resolver.THREADS, 16])
async def test_many_slow_names_do_not_delay_a_quick_one(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """None of them was looked up before, as after a restart. The number of threads stays bounded."""
    monkeypatch.setattr(resolver, "HELD", 0.01)
    monkeypatch.setattr(resolver, "THREADS", most)
    release = threading.Event()
    lock = threading.Lock()
    running = highest = 0

    def lookup(host: str) -> list[str]:
        nonlocal running, highest
        with lock:
            running += 1
            highest = max(highest, running)
        if host.startswith("slow"):
            release.wait(PATIENCE)
        with lock:
            running -= 1
        return ["192.0.2.1"]

    names = SystemResolver(at_once=4, lookup=lookup)
    slow = [asyncio.ensure_future(names.addresses(f"slow-{n}.example")) for n in range(100)]
    try:
        await asyncio.sleep(0)
        quick = asyncio.ensure_future(names.addresses("quick.example"))
        if most > len(slow):
            assert await asyncio.wait_for(quick, PATIENCE) == ("192.0.2.1",)
            assert not any(one.done() for one in slow)
        else:
            await until(lambda: highest > 8, "slow ones let others start")
        release.set()
        await asyncio.wait_for(asyncio.gather(quick, *slow), PATIENCE)
        assert highest <= most
    finally:
        release.set()
        await names.close()


async def test_names_are_cached_briefly_and_failures_more_briefly() -> None:
    asked: list[str] = []
    now = 0.0

    def lookup(host: str) -> list[str]:
        asked.append(host)
        if host == "bad.example":
            raise socket.gaierror(socket.EAI_NONAME, "no")
        return ["192.0.2.1"]

    names: Resolver = SystemResolver(lookup=lookup, clock=lambda: now)
    try:
        for _ in range(5):
            assert await names.addresses("good.example") == ("192.0.2.1",)
            with pytest.raises(NameFailure, match=r"bad\.example does not exist"):
                await names.addresses("bad.example")
        assert sorted(asked) == ["bad.example", "good.example"]
        now = 10.0
        await names.addresses("good.example")
        with pytest.raises(NameFailure):
            await names.addresses("bad.example")
        assert sorted(asked) == ["bad.example", "bad.example", "good.example"]
        now = 31.0
        await names.addresses("good.example")
        assert len(asked) == 4
    finally:
        await names.close()


# -- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory: Path = tmp_path_factory.mktemp("tls")
    return Authority(directory)


async def test_https_with_a_good_certificate(authority: Authority) -> None:
    async with Receiver(tls=authority.good()) as receiver, sending(ssl_context=authority.trust()) as sender:
        for _ in range(3):
            assert (await sender.send(post(receiver.url))).status_code == 200
        assert receiver.connections.total == 1


@pytest.mark.parametrize(
    ("kind", "code", "word"),
    [
        ("expired", "tls_expired", "expired"),
        ("wrong_name", "tls_name", "another host name"),
        ("self_signed", "tls_untrusted", "self-signed"),
        ("unknown_issuer", "tls_untrusted", "issuer"),
    ],
)
async def test_each_certificate_error_is_distinguished(
    authority: Authority, kind: str, code: str, word: str
) -> None:
    async with (
        Receiver(tls=getattr(authority, kind)()) as receiver,
        sending(ssl_context=authority.trust()) as sender,
    ):
        answer = await sender.send(post(receiver.url))
        assert receiver.count == 0
    assert answer.error_code == code, answer
    assert word in (answer.error or "")


async def test_https_to_a_port_without_tls(receiver: Receiver) -> None:
    async with sending() as sender:
        receiver.default = Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        answer = await sender.send(post(receiver.url.replace("http://", "https://"), timeout=2.0))
    assert answer.error_code in ("tls", "timeout", "reset"), answer


async def test_https_to_a_server_that_answers_in_plain_text() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, sending() as sender:
        port = server.sockets[0].getsockname()[1]
        answer = await sender.send(post(f"https://127.0.0.1:{port}/"))
    failed(answer, "tls")
    assert "does not serve HTTPS" in (answer.error or "")


async def test_http_to_a_tls_port(authority: Authority) -> None:
    async with Receiver(tls=authority.good()) as receiver, sending() as sender:
        answer = await sender.send(post(receiver.url.replace("https://", "http://")))
    assert answer.error_code in ("reset", "protocol"), answer
