"""What holds for every product, over the native API and real receivers."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator

import pytest
from standardwebhooks import Webhook

from angarium.clock import SystemClock
from angarium.core.product import Product
from angarium.store.database import Database
from tests.kit.receiver import Received, Receiver, Reply, redirect
from tests.kit.stand import ORG, Stand, product, standing

PRODUCTS = ["bluum", "bluma", "bloom"]
ODD = '{ "horse": "🐎", "é": "\u2028", "big": 123456789012345678901234567890,\n "twice": 1, "twice": 2 }'


def quick(name: str) -> Product:
    """The product with retries at once, so that real time does for it."""
    return product(name, retries="50ms,50ms", jitter=(0.0, 0.0))


@pytest.fixture(params=PRODUCTS)
async def stand(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[Stand]:
    async with standing(database, quick(request.param), clock=SystemClock()) as made:
        yield made


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


def first(stand: Stand) -> str:
    return stand.product.profile.events[0].name


async def secret(stand: Stand, endpoint: str) -> str:
    return str((await stand.native("GET", f"/endpoint/{endpoint}/secret"))["key"])


def signed(stand: Stand, request: Received, key: str) -> None:
    """Raises unless every signature of the request is there and right."""
    Webhook(key).verify(request.body, {name.lower(): value for name, value in request.headers})
    if stand.product.name == "bluma":
        made = hmac.new(key.encode(), request.body, hashlib.sha256).hexdigest()
        assert request.header("x-bluma-signature") == f"sha256={made}"
    if stand.product.name == "bloom":
        assert request.header("svix-signature") == request.header("webhook-signature")


async def test_one_post_for_each_endpoint_that_asked_at_any_path_with_its_own_secret(
    stand: Stand, receiver: Receiver
) -> None:
    places = ["/one", "/two/deep?token=a%20b&x", "/"]
    endpoints = [await stand.endpoint(receiver.url.removesuffix(receiver.path) + place) for place in places]
    await stand.endpoint(receiver.url, eventTypes=[stand.product.profile.events[1].name])
    await stand.send(first(stand))
    got = await receiver.wait_for(3)
    assert sorted(request.path for request in got) == sorted(places)
    assert {request.method for request in got} == {"POST"}
    keys = [await secret(stand, endpoint) for endpoint in endpoints]
    assert len(set(keys)) == 3
    for place, key in zip(places, keys, strict=True):
        (request,) = [one for one in got if one.path == place]
        signed(stand, request, key)


async def test_failures_are_retried_with_the_same_id_and_bytes_and_described(
    stand: Stand, receiver: Receiver
) -> None:
    receiver.plan(redirect(receiver.url + "/elsewhere"), Reply(404), Reply(201))
    endpoint = await stand.endpoint(receiver.url)
    message = await stand.send(first(stand))
    requests = await receiver.wait_for(3)
    await stand.until_attempts(3)
    assert len({(request.path, request.body, request.header("webhook-id")) for request in requests}) == 1
    key = await secret(stand, endpoint)
    for request in requests:
        signed(stand, request, key)
    rows = await stand.world.fetch(
        "select status_code, error from attempt where status is not null order by id"
    )
    assert [row["status_code"] for row in rows] == [302, 404, 201]
    assert all(len(row["error"]) > 30 for row in rows[:2])
    assert rows[2]["error"] is None
    listed = await stand.native("GET", f"/attempt/msg/{message['id']}")
    assert len(listed["data"]) == 3


async def test_bodies_are_utf8_json_signed_as_sent_always(stand: Stand, receiver: Receiver) -> None:
    endpoint = await stand.endpoint(receiver.url)
    token = stand.services.token.for_organization(ORG)
    await stand.client.post(
        f"/api/v1/app/{stand.app_id}/msg",
        content=f'{{"eventType": "{first(stand)}", "payload": {ODD}}}'.encode(),
        headers={"authorization": f"Bearer {token}"},
    )
    await stand.native("POST", f"/endpoint/{endpoint}/send-example", {"eventType": first(stand)})
    requests = await receiver.wait_for(2)
    key = await secret(stand, endpoint)
    for request in requests:
        assert request.header("content-type") == "application/json"
        assert request.header("content-encoding") is None
        assert not request.body.startswith(b"\xef\xbb\xbf")
        json.loads(request.body.decode("utf-8"))
        signed(stand, request, key)
    assert ODD.encode() in requests[0].body, "the payload is sent as it came, byte for byte"


async def test_payloads_that_receivers_could_not_parse_are_refused(stand: Stand, receiver: Receiver) -> None:
    await stand.endpoint(receiver.url)
    limit = stand.product.max_body
    assert limit == 100 * 1024
    await stand.send(first(stand), {"text": "x" * (limit - 400)})
    (request,) = await receiver.wait_for(1)
    assert len(request.body) <= limit
    with pytest.raises(AssertionError, match="413"):
        await stand.send(first(stand), {"text": "x" * limit})


@pytest.mark.parametrize("name", PRODUCTS)
async def test_production_takes_https_alone(database: Database, name: str) -> None:
    async with standing(database, quick(name), https_only=True) as stand:
        with pytest.raises(AssertionError, match="422"):
            await stand.endpoint("http://127.0.0.1:9/hook")
        await stand.endpoint("https://hooks.example.com/hook")
