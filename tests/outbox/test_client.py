"""The client: what it sends, what it retries, and its errors."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal

import pytest

from angarium.client import Angarium, AsyncAngarium, ClientError, Refused, Unreachable
from tests.kit.receiver import Receiver, Reply
from tests.outbox.conftest import Served

SENT = b'{"id": "msg_1", "eventType": "a.b"}'


async def test_a_message_is_sent_with_unchanged_bytes(served: Served) -> None:
    payload = '{"é":  1.50, "emoji": "🐎"}'.encode()
    async with AsyncAngarium(served.url, served.api.token) as client:
        made = await client.send("customer-1", "order.filled", payload)
    (message,) = (await served.api.get(f"/app/{served.app}/msg", with_content="true"))["data"]
    assert message["id"] == made.id
    assert message["payload"] == {"é": 1.5, "emoji": "🐎"}


async def test_a_retry_after_a_lost_response_creates_no_second_message(served: Served) -> None:
    async with AsyncAngarium(served.url, served.api.token) as client:
        for _ in range(2):
            await client.send("customer-1", "order.filled", {}, idempotency_key="one")
    assert len(await served.messages()) == 1


async def test_a_retry_has_the_same_key_and_waits_for_retry_after(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "angarium.client")
    async with Receiver() as server:
        server.plan(Reply(503, headers=[("retry-after", "7")]), Reply(429), Reply(202, SENT))
        with Angarium(server.url.rstrip("/"), "token") as client:
            waits: list[float] = []
            client._transport.pause = waits.append
            made = await asyncio.to_thread(client.send, "app", "a.b", {})
    assert made.id == "msg_1"
    keys = {request.header("idempotency-key") for request in server.requests}
    assert len(server.requests) == 3
    assert len(keys) == 1
    assert None not in keys
    assert waits[0] == 7
    told = [one for one in caplog.messages if one.startswith(server.url.rstrip("/"))]
    assert [one.partition(" ")[2] for one in told] == [
        "answered 503 Service Unavailable; trying again in 7.0 s",
        f"answered 429 Too Many Requests; trying again in {waits[1]:.1f} s",
    ]


async def test_a_trace_context_is_sent_only_if_it_is_valid() -> None:
    valid = f"00-{'a' * 32}-{'b' * 16}-01"
    async with Receiver() as server:
        server.default = Reply(202, SENT)
        with Angarium(server.url.rstrip("/"), "token") as client:
            for value in (valid, None, "", valid.upper(), valid + "\n", valid + "\r\nx: y", "é"):
                await asyncio.to_thread(client.send, "app", "a.b", {}, traceparent=value)
    assert [request.header("traceparent") for request in server.requests] == [valid] + [None] * 6


async def test_a_refused_request_is_an_error_with_the_reason_and_not_retried(served: Served) -> None:
    client = served.client
    with pytest.raises(Refused) as refused:
        await asyncio.to_thread(client.send, "customer-1", "not a type!", {})
    assert refused.value.status == 422
    assert "eventType" in str(refused.value)
    with Angarium(served.url, "nonsense") as stranger, pytest.raises(Refused) as unknown:
        await asyncio.to_thread(stranger.send, "customer-1", "a.b", {})
    assert unknown.value.status == 401


def test_no_server_and_a_missing_setting_are_client_errors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ANGARIUM_TOKEN", raising=False)
    with pytest.raises(ClientError, match="ANGARIUM_TOKEN is not set"):
        Angarium("http://127.0.0.1:1")
    client = Angarium("http://127.0.0.1:1", "token", tries=2)
    client._transport.pause = lambda seconds: None
    with pytest.raises(Unreachable, match="does not answer"):
        client.send("app", "a.b", {})
    with pytest.raises(ClientError, match="not a URL"):
        Angarium("ftp://x", "token")


async def test_each_reads_all_pages_of_a_list(served: Served) -> None:
    for number in range(5):
        await served.api.application(f"number {number}")
    found = await asyncio.to_thread(lambda: list(served.client.each("/app", limit=2)))
    assert len(found) == 6


@pytest.mark.parametrize("body", [b"<h1>Welcome to the hotel</h1>", b"[" * 200_000, b"{}", b"", b"[]"])
async def test_a_success_that_is_not_from_an_angarium_server_is_an_error(body: bytes) -> None:
    async with Receiver() as server:
        server.plan(Reply(200, body))
        with (
            Angarium(server.url.rstrip("/"), "token", tries=1) as client,
            pytest.raises(Unreachable, match="answer"),
        ):
            await asyncio.to_thread(client.send, "app", "a.b", {})


async def test_numbers_of_any_size_in_a_payload_are_read_as_numbers(served: Served) -> None:
    digits = "9" * 5000
    await asyncio.to_thread(served.client.send, "customer-1", "a.b", b'{"n":' + digits.encode() + b',"m":7}')
    (found,) = await asyncio.to_thread(lambda: list(served.client.each("/app/customer-1/msg")))
    assert found["payload"] == {"n": Decimal(digits), "m": 7}
