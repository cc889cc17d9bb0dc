"""Attempts, the messages of an endpoint, and the endpoints of a message, as the API shows them."""

from __future__ import annotations

from typing import Any

import pytest

from angarium.core.nouns import State
from angarium.store.database import Database
from tests.api.conftest import Backend
from tests.api.world import World

DEAD = "The connection was refused; is the receiver running?"


@pytest.fixture
def world(backend: Backend, database: Database) -> World:
    return World(backend, database)


async def listed(world: World, path: str, **query: Any) -> list[str]:
    answer = await world.org.get(path, params=query or None)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["data"]]


async def test_an_attempt_says_what_happened(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    attempt = await world.attempt(app, endpoint, message, 500, body=b"oh no", manual=True)
    shown = (await world.org.get(f"/app/{app}/msg/{message}/attempt/{attempt}")).json()
    timestamp = shown.pop("timestamp")
    assert timestamp.endswith("Z")
    assert shown == {
        "id": attempt,
        "msgId": message,
        "endpointId": endpoint,
        "url": "http://127.0.0.1:9/hook",
        "response": "oh no",
        "responseStatusCode": 500,
        "responseDurationMs": 12,
        "status": 2,
        "statusText": "fail",
        "triggerType": 1,
    }


async def test_without_a_response_the_attempt_says_why(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    attempt = await world.attempt(app, endpoint, message, 0, body=None, error=DEAD)
    shown = (await world.org.get(f"/app/{app}/msg/{message}/attempt/{attempt}")).json()
    assert (shown["response"], shown["responseStatusCode"]) == (DEAD, 0)
    assert (shown["error"], shown["errorCode"]) == (DEAD, "refused")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", ""),
        ("grüße".encode(), "grüße"),
        (b"\x00\x01", "\x00\x01"),
        (b"\xff\xfe", "//4="),
        ("aé".encode()[:-1], "a"),  # cut in the middle of a character
    ],
)
async def test_a_response_is_shown_as_text_if_it_is_text(world: World, body: bytes, shown: str) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    attempt = await world.attempt(app, endpoint, message, body=body)
    answer = await world.org.get(f"/app/{app}/msg/{message}/attempt/{attempt}")
    assert answer.json()["response"] == shown


async def test_an_expunged_response_is_gone(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    for body in (b"secret", None):
        attempt = await world.attempt(app, endpoint, message, 500 if body else 0, body=body, error=DEAD)
        path = f"/app/{app}/msg/{message}/attempt/{attempt}"
        assert (await world.org.delete(f"{path}/content")).status_code == 204
        assert (await world.org.get(path)).json()["response"] == "EXPUNGED"
    for path in (f"/app/{app}/attempt/endpoint/{endpoint}", f"/app/{app}/attempt/msg/{message}"):
        data = (await world.org.get(path)).json()["data"]
        assert [item["response"] for item in data] == ["EXPUNGED", "EXPUNGED"]


async def test_attempts_of_an_endpoint_are_filtered(world: World) -> None:
    app = await world.application()
    endpoint, other = await world.endpoint(app, uid="e-1"), await world.endpoint(app)
    red = await world.message(app, "user.created", channels=["c1"], tags=["red"])
    blue = await world.message(app, "order.paid", channels=["c2"])
    ok = await world.attempt(app, endpoint, red, 204)
    gone = await world.attempt(app, endpoint, red, 410)
    down = await world.attempt(app, endpoint, blue, 503)
    dead = await world.attempt(app, endpoint, blue, 0, body=None, error=DEAD)
    await world.attempt(app, other, blue, 200)
    for query, expected in {
        "": [dead, down, gone, ok],
        "status=0": [ok],
        "status=2": [dead, down, gone],
        "status=1": [],
        "status=3": [],
        "status=4&expanded_statuses=true": [],
        "status_code_class=0": [dead],
        "status_code_class=200": [ok],
        "status_code_class=400": [gone],
        "status_code_class=500": [down],
        "channel=c1": [gone, ok],
        "tag=red": [gone, ok],
        "event_types=order.paid": [dead, down],
        "event_types[]=order.paid&status_code_class=500": [down],
        "limit=2": [dead, down],
    }.items():
        for ref in (endpoint, "e-1"):
            assert await listed(world, f"/app/{app}/attempt/endpoint/{ref}?{query}") == expected, query


async def test_attempts_of_a_message_are_filtered(world: World) -> None:
    app = await world.application()
    first, second = await world.endpoint(app, uid="e-1"), await world.endpoint(app)
    message = await world.message(app, "user.created", eventId="m-1", channels=["c1"], tags=["red"])
    other = await world.message(app)
    bad = await world.attempt(app, first, message, 500)
    good = await world.attempt(app, first, message, 200)
    fine = await world.attempt(app, second, message, 201)
    await world.attempt(app, first, other, 200)
    for query, expected in {
        "": [fine, good, bad],
        "status=2": [bad],
        "status=3": [],
        "endpoint_id=e-1": [good, bad],
        f"endpoint_id={second}": [fine],
        "endpoint_id=e-1&status=0": [good],
        "status_code_class=200": [fine, good],
        "channel=c1&tag=red&event_types=user.created": [fine, good, bad],
        "channel=c2": [],
        "tag=blue": [],
        "event_types=order.paid": [],
    }.items():
        for ref in (message, "m-1"):
            assert await listed(world, f"/app/{app}/attempt/msg/{ref}?{query}") == expected, query
    # the places of older clients
    assert await listed(world, f"/app/{app}/msg/m-1/attempt") == [fine, good, bad]
    assert await listed(world, f"/app/{app}/msg/m-1/endpoint/e-1/attempt") == [good, bad]
    assert (await world.org.get(f"/app/{app}/attempt/msg/m-1?endpoint_id=nothing")).status_code == 404


async def test_content_and_message_are_included_on_request(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app, tags=["red"])
    await world.attempt(app, endpoint, message, body=b"secret")
    for path in (f"/app/{app}/attempt/endpoint/{endpoint}", f"/app/{app}/attempt/msg/{message}"):
        (item,) = (await world.org.get(f"{path}?with_content=false&with_msg=true")).json()["data"]
        assert item["response"] == "{}"
        assert item["msg"]["id"] == message
        assert (item["msg"]["payload"], item["msg"]["tags"]) == ({}, ["red"])
        (item,) = (await world.org.get(path)).json()["data"]
        assert item["response"] == "secret"
        assert "msg" not in item


async def test_attempts_page_forward_and_back_over_the_same_pages(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    made = [await world.attempt(app, endpoint, message, 500) for _ in range(28)]
    made.reverse()
    for path in (f"/app/{app}/attempt/endpoint/{endpoint}", f"/app/{app}/attempt/msg/{message}"):
        pages: list[list[str]] = []
        query = "limit=8"
        while True:
            page = (await world.org.get(f"{path}?{query}")).json()
            pages.append([item["id"] for item in page["data"]])
            if page["done"]:
                break
            query = f"limit=8&iterator={page['iterator']}"
        assert pages == [made[:8], made[8:16], made[16:24], made[24:]]
        for expected in reversed(pages[:-1]):
            page = (await world.org.get(f"{path}?limit=8&iterator={page['prevIterator']}")).json()
            assert [item["id"] for item in page["data"]] == expected
        assert page["done"]


async def test_attempts_are_cut_by_time(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    now = world.services.clock.now()
    made = [await world.attempt(app, endpoint, message, at=now - 100 + n) for n in range(5)]
    shown = (await world.org.get(f"/app/{app}/attempt/msg/{message}")).json()["data"]
    times = [item["timestamp"] for item in reversed(shown)]
    old = await world.attempt(app, endpoint, message, at=now - 91 * 86400)
    for path in (f"/app/{app}/attempt/endpoint/{endpoint}", f"/app/{app}/attempt/msg/{message}"):
        assert await listed(world, path) == made[::-1]
        assert await listed(world, path, before=times[2]) == [made[1], made[0], old]
        assert await listed(world, path, after=times[2]) == [made[4], made[3], made[2]]
        assert await listed(world, path, after=times[0], before=times[4]) == made[3::-1]
        assert await listed(world, path, after=times[0], limit=2) == [made[1], made[0]]


async def test_the_messages_of_an_endpoint_show_their_status(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app, uid="e-1")
    waiting = await world.message(app, eventId="e1", channels=["c1"], tags=["red"])
    retried, lost, done, canceled = [await world.message(app) for _ in range(4)]
    await world.complete(app, endpoint, retried, State.PENDING, failures=2, due_in=60)
    await world.complete(app, endpoint, lost, State.EXHAUSTED, failures=8)
    await world.complete(app, endpoint, done, State.DELIVERED, failures=1)
    await world.complete(app, endpoint, canceled, State.CANCELED, failures=1)
    path = f"/app/{app}/endpoint/e-1/msg"
    data = (await world.org.get(f"{path}?expanded_statuses=true")).json()["data"]
    assert [(item["id"], item["status"], item["statusText"], "nextAttempt" in item) for item in data] == [
        (canceled, 4, "canceled", False),
        (done, 0, "success", False),
        (lost, 2, "fail", False),
        (retried, 3, "sending", True),
        (waiting, 1, "pending", True),
    ]
    assert data[-1]["payload"] == {"n": 1}
    assert (data[-1]["eventId"], data[-1]["channels"], data[-1]["tags"]) == ("e1", ["c1"], ["red"])
    # as Svix's open server has it: what failed looks failed, whether or not it is tried again
    data = (await world.org.get(f"{path}?with_content=false")).json()["data"]
    assert [(item["status"], item["payload"]) for item in data] == [(s, {}) for s in (2, 0, 2, 2, 1)]
    assert [item["statusText"] for item in data] == ["fail", "success", "fail", "fail", "pending"]
    assert ["nextAttempt" in item for item in data] == [False, False, False, True, True]
    for query, expected in {
        "status=0": [done],
        "status=1": [waiting],
        "status=2": [canceled, lost, retried],
        "status=1&expanded_statuses=true": [waiting],
        "status=2&expanded_statuses=true": [lost],
        "status=3": [retried],
        "status=4": [canceled],
        "channel=c1": [waiting],
        "tag=red": [waiting],
        "event_types=order.paid&limit=2": [canceled, done],
        "event_types=other": [],
    }.items():
        assert await listed(world, f"{path}?{query}") == expected, query


async def test_messages_that_do_not_match_an_endpoint_are_not_listed_for_it(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app, channels=["c1"])
    await world.message(app)
    wanted = await world.message(app, channels=["c1"])
    assert await listed(world, f"/app/{app}/endpoint/{endpoint}/msg") == [wanted]


async def test_the_messages_of_an_endpoint_page_both_ways(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app)
    made = [await world.message(app) for _ in range(5)][::-1]
    path = f"/app/{app}/endpoint/{endpoint}/msg"
    first = (await world.org.get(f"{path}?limit=2")).json()
    second = (await world.org.get(f"{path}?limit=2&iterator={first['iterator']}")).json()
    assert [item["id"] for item in second["data"]] == made[2:4]
    assert not second["done"]
    third = (await world.org.get(f"{path}?limit=2&iterator={second['iterator']}")).json()
    assert third["done"]
    assert await listed(world, f"{path}?limit=2&iterator={second['prevIterator']}") == made[:2]


async def test_the_endpoints_of_a_message_page_both_ways_and_keep_deleted_ones(world: World) -> None:
    app = await world.application()
    made = [await world.endpoint(app, uid=f"e-{n}", description=f"number {n}") for n in range(5)]
    message = await world.message(app, eventId="m-1")
    await world.endpoint(app)
    await world.complete(app, made[0], message, State.DELIVERED)
    await world.complete(app, made[1], message, State.PENDING, failures=1, due_in=60)
    assert (await world.org.delete(f"/app/{app}/endpoint/e-4")).status_code == 204
    path = f"/app/{app}/msg/m-1/endpoint"
    plain = (await world.org.get(path)).json()
    assert [item["statusText"] for item in plain["data"]] == ["success", "fail", "pending", "pending", "fail"]
    page = (await world.org.get(path, params={"expanded_statuses": "true"})).json()
    assert [item["id"] for item in page["data"]] == made
    assert page["done"]
    assert [item["statusText"] for item in page["data"]] == [
        "success",
        "sending",
        "pending",
        "pending",
        "canceled",
    ]
    assert [item["deleted"] for item in page["data"]] == [False] * 4 + [True]
    assert page["data"][1]["description"] == "number 1"
    assert [item["nextAttempt"] is None for item in page["data"]] == [True, False, False, False, True]
    first = (await world.org.get(f"{path}?limit=2")).json()
    assert not first["done"]
    second = (await world.org.get(f"{path}?limit=2&iterator={first['iterator']}")).json()
    assert [item["id"] for item in second["data"]] == made[2:4]
    third = (await world.org.get(f"{path}?limit=2&iterator={second['iterator']}")).json()
    assert ([item["id"] for item in third["data"]], third["done"]) == ([made[4]], True)
    back = (await world.org.get(f"{path}?limit=2&iterator={second['prevIterator']}")).json()
    assert [item["id"] for item in back["data"]] == made[:2]


@pytest.mark.parametrize(
    "query",
    [
        "status=5",
        "status=x",
        "status_code_class=250",
        "iterator=msg_x",
        "limit=999",
        "expanded_statuses=1",
        "channel=%00",
        "tag=%20",
        "event_types=%00",
        "before=x",
    ],
)
async def test_a_bad_query_is_refused(world: World, query: str) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    paths = [f"/app/{app}/attempt/endpoint/{endpoint}", f"/app/{app}/attempt/msg/{message}"]
    if "class" not in query:
        paths.append(f"/app/{app}/endpoint/{endpoint}/msg")
    for path in paths:
        answer = await world.org.get(f"{path}?{query}")
        assert answer.status_code == 422, (path, answer.text)


@pytest.mark.parametrize(
    "ref", ["nothing", "msg_1srOrx2ZWZBpBUvZwXKQmoEYga2", "ep_1srOrx2ZWZBpBUvZwXKQmoEYga2", "%00"]
)
async def test_an_unknown_object_is_not_found(world: World, ref: str) -> None:
    app = await world.application()
    message, endpoint = await world.message(app), await world.endpoint(app)
    for path in (
        f"/app/{app}/attempt/msg/{ref}",
        f"/app/{app}/attempt/endpoint/{ref}",
        f"/app/{app}/endpoint/{ref}/msg",
        f"/app/{app}/msg/{ref}/endpoint",
        f"/app/{app}/msg/{ref}/attempt",
        f"/app/{app}/msg/{message}/attempt/{ref}",
    ):
        answer = await world.org.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["code"] == "not_found"
    assert (await world.org.delete(f"/app/{app}/msg/{message}/attempt/{ref}/content")).status_code == 404
    assert (await world.org.post(f"/app/{app}/msg/{message}/endpoint/{ref}/resend")).status_code == 404
    assert (await world.org.post(f"/app/{app}/msg/{ref}/endpoint/{endpoint}/resend")).status_code == 404


async def test_attempts_are_for_the_application_too_and_expunging_is_not(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app), await world.message(app)
    attempt = await world.attempt(app, endpoint, message)
    holder = world.holder(app)
    for path in reads(app, endpoint, message, attempt):
        assert (await holder.get(path)).status_code == 200, path
    answer = await holder.delete(f"/app/{app}/msg/{message}/attempt/{attempt}/content")
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient access")
    blind = world.holder(app, capabilities=[])
    for path in reads(app, endpoint, message, attempt):
        assert (await blind.get(path)).status_code == 403, path


async def test_outsiders_find_nothing(world: World) -> None:
    app, other = await world.application(), await world.application()
    endpoint, message = await world.endpoint(app, uid="e"), await world.message(app, eventId="m")
    foreign = await world.endpoint(other), await world.message(other)
    attempt = await world.attempt(app, endpoint, message)
    for who in (world.outsider(), world.holder(other)):
        for path in reads(app, endpoint, message, attempt):
            assert (await who.get(path)).status_code == 404, path
    answer = await world.outsider().delete(f"/app/{app}/msg/{message}/attempt/{attempt}/content")
    assert answer.status_code == 404
    # nothing is reached by way of another application, by id or by uid
    for e, m in ((endpoint, message), ("e", "m")):
        for path in reads(other, e, m, attempt):
            assert (await world.org.get(path)).status_code == 404, path
    answer = await world.org.delete(f"/app/{other}/msg/{foreign[1]}/attempt/{attempt}/content")
    assert answer.status_code == 404
    assert (await world.org.get(f"/app/{app}/msg/{message}/attempt/{attempt}")).json()["response"] == "ok"


def reads(app: str, endpoint: str, message: str, attempt: str) -> list[str]:
    return [
        f"/app/{app}/attempt/endpoint/{endpoint}",
        f"/app/{app}/attempt/msg/{message}",
        f"/app/{app}/endpoint/{endpoint}/msg",
        f"/app/{app}/msg/{message}/endpoint",
        f"/app/{app}/msg/{message}/attempt",
        f"/app/{app}/msg/{message}/endpoint/{endpoint}/attempt",
        f"/app/{app}/msg/{message}/attempt/{attempt}",
    ]
