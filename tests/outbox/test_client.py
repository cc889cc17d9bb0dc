"""The client: it tries again what it may, and says in words what the server refused."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from angarium.client import Angarium, AsyncAngarium, ClientError, Refused, Unreachable
from tests.kit.receiver import Receiver, Reply
from tests.outbox.conftest import Served

SENT = b'{"id": "msg_1", "eventType": "a.b"}'


async def test_a_message_is_sent_and_its_bytes_stay_as_they_are(served: Served) -> None:
    payload = '{"é":  1.50, "emoji": "🐎"}'.encode()
    async with AsyncAngarium(served.url, served.api.token) as client:
        made = await client.send("customer-1", "order.filled", payload)
    (message,) = (await served.api.get(f"/app/{served.app}/msg", with_content="true"))["data"]
    assert message["id"] == made.id
    assert message["payload"] == {"é": 1.5, "emoji": "🐎"}


async def test_a_lost_answer_makes_no_second_message(served: Served) -> None:
    async with AsyncAngarium(served.url, served.api.token) as client:
        for _ in range(2):
            await client.send("customer-1", "order.filled", {}, idempotency_key="one")
    assert len(await served.messages()) == 1


async def test_it_tries_again_with_the_same_key_and_waits_as_it_is_told() -> None:
    async with Receiver() as server:
        server.plan(Reply(503, headers=[("retry-after", "0")]), Reply(429), Reply(202, SENT))
        with Angarium(server.url.rstrip("/"), "token") as client:
            client._transport.pause = lambda seconds: None
            made = await asyncio.to_thread(client.send, "app", "a.b", {})
    assert made.id == "msg_1"
    keys = {request.header("idempotency-key") for request in server.requests}
    assert len(server.requests) == 3
    assert len(keys) == 1
    assert None not in keys


async def test_what_is_refused_is_said_in_words_and_not_tried_again(served: Served) -> None:
    client = served.client
    with pytest.raises(Refused) as refused:
        await asyncio.to_thread(client.send, "customer-1", "not a type!", {})
    assert refused.value.status == 422
    assert "eventType" in str(refused.value)
    with Angarium(served.url, "nonsense") as stranger, pytest.raises(Refused) as unknown:
        await asyncio.to_thread(stranger.send, "customer-1", "a.b", {})
    assert unknown.value.status == 401


def test_nobody_there_and_nothing_set_are_errors_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANGARIUM_TOKEN", raising=False)
    with pytest.raises(ClientError, match="ANGARIUM_TOKEN is not set"):
        Angarium("http://127.0.0.1:1")
    client = Angarium("http://127.0.0.1:1", "token", tries=2)
    client._transport.pause = lambda seconds: None
    with pytest.raises(Unreachable, match="does not answer"):
        client.send("app", "a.b", {})
    with pytest.raises(ClientError, match="not a URL"):
        Angarium("ftp://x", "token")


async def test_every_item_of_a_list_page_after_page(served: Served) -> None:
    for number in range(5):
        await served.api.application(f"number {number}")
    found = await asyncio.to_thread(lambda: list(served.client.each("/app", limit=2)))
    assert len(found) == 6


@pytest.mark.parametrize("body", [b"<h1>Welcome to the hotel</h1>", b"[" * 200_000, b"{}", b"", b"[]"])
async def test_a_success_that_is_no_answer_of_the_server_is_a_failure_in_words(body: bytes) -> None:
    async with Receiver() as server:
        server.plan(Reply(200, body))
        with (
            Angarium(server.url.rstrip("/"), "token", tries=1) as client,
            pytest.raises(Unreachable, match="answer"),
        ):
            await asyncio.to_thread(client.send, "app", "a.b", {})


async def test_a_payload_with_any_number_comes_back_as_a_number(served: Served) -> None:
    digits = "9" * 5000
    await asyncio.to_thread(served.client.send, "customer-1", "a.b", b'{"n":' + digits.encode() + b',"m":7}')
    (found,) = await asyncio.to_thread(lambda: list(served.client.each("/app/customer-1/msg")))
    assert found["payload"] == {"n": Decimal(digits), "m": 7}
