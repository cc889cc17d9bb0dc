"""Creating and reading messages: valid input, and the errors for invalid input."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from angarium.core import ids
from angarium.core.nouns import State
from angarium.store.database import Database
from tests.api.conftest import Backend
from tests.api.world import World, uuid_of
from tests.kit.rows import add_message


@pytest.fixture
def world(backend: Backend, database: Database) -> World:
    return World(backend, database)


async def stored(world: World, app: str, message: str) -> bytes | None:
    async with world.database.connection() as conn:
        payload: bytes | None = await conn.fetchval(
            "select p.body from message m join payload p on p.message_id = m.id"
            " where m.app_id = $1 and m.id = $2", uuid_of(app), uuid_of(message),
        )  # fmt: skip
        return payload


async def post_raw(world: World, app: str, body: bytes | str, **headers: str) -> Any:
    return await world.org.post(f"/app/{app}/msg", content=body, headers=headers)


async def test_a_message_is_accepted_shown_and_listed(world: World) -> None:
    app = await world.application()
    body = {
        "eventType": "order.paid",
        "eventId": "evt-1",
        "payload": {"a": 1},
        "channels": ["c1", "a:b+c"],
        "tags": ["t#1", "x/y"],
    }
    answer = await world.org.post(f"/app/{app}/msg", json=body)
    assert answer.status_code == 202
    made = answer.json()
    assert made == {**body, "id": made["id"], "timestamp": made["timestamp"]}
    assert answer.headers["content-type"] == "application/json"
    assert (await world.org.get(f"/app/{app}/msg/{made['id']}")).json() == made
    assert (await world.org.get(f"/app/{app}/msg/evt-1")).json() == made
    page = (await world.org.get(f"/app/{app}/msg")).json()
    assert page == {"data": [made], "iterator": made["id"], "prevIterator": "-" + made["id"], "done": True}


async def test_the_payload_is_kept_byte_for_byte(world: World) -> None:
    app = await world.application()
    payload = '{ "z" : 1.0,  "a":"\\u00e9é\\/",\n"z":1e2 , "big":12345678901234567890123 }'
    answer = await post_raw(world, app, f'{{"payload": {payload} , "eventType":"a.b"}}')
    assert answer.status_code == 202, answer.text
    assert payload in answer.text
    made = answer.json()["id"]
    assert await stored(world, app, made) == payload.encode()
    assert payload in (await world.org.get(f"/app/{app}/msg/{made}")).text
    assert payload in (await world.org.get(f"/app/{app}/msg")).text


async def test_data_is_another_name_for_payload(world: World) -> None:
    app = await world.application()
    answer = await world.org.post(f"/app/{app}/msg", json={"eventType": "a", "data": {"x": 1}})
    assert answer.status_code == 202
    assert answer.json()["payload"] == {"x": 1}


async def test_without_content_the_payload_is_an_empty_object(world: World) -> None:
    app = await world.application()
    body = {"eventType": "a", "payload": {"x": 1}}
    answer = await world.org.post(f"/app/{app}/msg?with_content=false", json=body)
    assert answer.json()["payload"] == {}
    made = answer.json()["id"]
    for path in (f"/app/{app}/msg/{made}?with_content=false", f"/app/{app}/msg?with_content=false"):
        assert '"payload":{}' in (await world.org.get(path)).text
    assert (await world.org.get(f"/app/{app}/msg/{made}?with_content=true")).json()["payload"] == {"x": 1}


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"eventType": None}, ["body", "eventType"]),
        ({"eventType": "a b"}, ["body", "eventType"]),
        ({"eventType": ""}, ["body", "eventType"]),
        ({"eventType": "x" * 257}, ["body", "eventType"]),
        ({"payload": []}, ["body", "payload"]),
        ({"payload": None}, ["body", "payload"]),
        ({"payload": "text"}, ["body", "payload"]),
        ({"eventId": "msg_1"}, ["body", "eventId"]),
        ({"eventId": "a b"}, ["body", "eventId"]),
        ({"channels": []}, ["body", "channels"]),
        ({"channels": ["c"] * 11}, ["body", "channels"]),
        ({"channels": ["a b"]}, ["body", "channels"]),
        ({"channels": ["a", 1]}, ["body", "channels", "[1]"]),
        ({"tags": ["a b"]}, ["body", "tags"]),
        ({"tags": ["t"] * 11}, ["body", "tags"]),
        ({"payloadRetentionPeriod": 0}, ["body", "payloadRetentionPeriod"]),
        ({"payloadRetentionPeriod": 91}, ["body", "payloadRetentionPeriod"]),
        ({"payloadRetentionPeriod": 10, "payloadRetentionHours": 10}, ["body", "payloadRetentionHours"]),
        ({"payloadRetentionHours": 2161}, ["body", "payloadRetentionHours"]),
        ({"transformationsParams": {"rawPayload": 1}}, ["body", "transformationsParams"]),
        ({"transformationsParams": {"a": None}}, ["body", "transformationsParams", "a"]),
        ({"transformationsParams": {"headers": ["a"]}}, ["body", "transformationsParams", "headers"]),
        *(
            (
                {"transformationsParams": {"headers": headers}},
                ["body", "transformationsParams", "headers", name],
            )
            for headers in (
                {"x-a": "b"},
                {"host": "b"},
                {"content-length": "1"},
                {"webhook-id": "b"},
                {"content-type": 1},
                {"content-type": None},
                {"content-type": ""},
                {"content-type": "json"},
                {"content-type": "a/b\r\nx: y"},
                {"content-type": "a/b\0"},
                {"content-type": "a/\u00e4"},
                {"content-type": "a/" + "b" * 255},
                {"content-type": " a/b"},
                {"content-type": "a/b;"},
            )
            for name in headers
        ),
        ({"deliverAt": "2020-01-01T00:00:00Z"}, ["body", "deliverAt"]),
        ({"deliverAt": "0001-01-01T00:00:00+10:00"}, ["body", "deliverAt"]),
        ({"deliverAt": "tomorrow"}, ["body", "deliverAt"]),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(
    world: World, change: dict[str, Any], loc: list[Any]
) -> None:
    app = await world.application()
    answer = await world.org.post(f"/app/{app}/msg", json={"eventType": "a", "payload": {}, **change})
    assert answer.status_code == 422, answer.text
    assert [fault["loc"] for fault in answer.json()["detail"]] == [loc]
    assert all(fault["msg"] and fault["type"] for fault in answer.json()["detail"])


async def test_missing_fields_are_named(world: World) -> None:
    app = await world.application()
    answer = await world.org.post(f"/app/{app}/msg", json={"payload": {}})
    assert answer.json()["detail"] == [
        {"loc": ["body", "eventType"], "msg": "field required", "type": "value_error.missing"}
    ]
    answer = await world.org.post(f"/app/{app}/msg", json={"eventType": "a"})
    assert answer.json()["detail"][0]["loc"] == ["body", "payload"]


BOMB = b"[" * 400_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xef\xbb\xbf{}",
        b'{"eventType":"a","payload":{"a":"\xff"}}',
        b'{"eventType":"\xff","payload":{}}',
        b'{"eventType":"a","payload":{"a":"\\ud800"}}',
        b'{"eventType":"a","payload":{"a":"\\udc00 and more text"}}',
        b'{"eventType":"a","payload":{"a":"\\uD800 and more text"}}',
        b'{"eventType":"a\\u0000","payload":{}}',
        b'{"eventType":"a","payload":{},"eventId":"\\u0000","channels":["\\u0000"],"tags":["\\u0000"]}',
        b'{"eventType":"a","payload":{"a":NaN}}',
        b'{"eventType":"a","payload":{"a":01}}',
        b'{"eventType":"a","payload":{"a":"\x00"}}',
        b'{"eventType":"a","payload":{"a":1,}}',
        b'{"eventType":"a","payload":{}} x',
        b'{"eventType":"a","payload":{"a":' + BOMB,
        b'{"eventType":"a","unknown":' + BOMB,
        b'{"eventType":"a","payload":{},"transformationsParams":{"a":' + BOMB,
        b'{"eventType":"a","payload":{},"application":{"a":' + BOMB,
    ],
    ids=range(21),
)
async def test_invalid_json_is_refused_with_a_message(world: World, body: bytes) -> None:
    app = await world.application()
    answer = await post_raw(world, app, body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["loc"][0] == "body"
    assert (await world.org.get(f"/app/{app}/msg")).json()["data"] == []


@pytest.mark.parametrize(
    "payload",
    [
        b'{"a":"\\\\u0000 \\ud83d\\ude00"}',
        b'{"a":"\\u0000","\\u0000b":"\\ud83d\\ude00"}',
    ],
    ids=["only looks like a NUL", "NUL"],
)
async def test_payloads_with_rare_but_valid_text_are_kept_as_they_are(world: World, payload: bytes) -> None:
    app = await world.application()
    answer = await post_raw(world, app, b'{"eventType":"a","payload":' + payload + b"}")
    assert answer.status_code == 202, answer.text
    assert await stored(world, app, answer.json()["id"]) == payload


async def test_a_body_of_eight_megabytes_is_too_large(world: World) -> None:
    app = await world.application()
    answer = await world.org.post(
        f"/app/{app}/msg", json={"eventType": "a", "payload": {"a": "x" * 8_000_000}}
    )
    assert answer.status_code == 413
    assert answer.json()["code"] == "payload_too_large"


async def test_an_event_id_is_used_once(world: World) -> None:
    app = await world.application()
    other = await world.application()
    await world.message(app, eventId="one")
    answer = await world.org.post(f"/app/{app}/msg", json={"eventType": "a", "payload": {}, "eventId": "one"})
    assert answer.status_code == 409
    assert answer.json()["code"] == "conflict"
    await world.message(other, eventId="one")


async def test_a_raw_payload_is_sent_as_it_is_and_shown_inside_an_object(world: World) -> None:
    app = await world.application()
    text = "<order>é</order>"
    made = await world.message(app, payload={}, transformationsParams={"rawPayload": text})
    assert await stored(world, app, made) == text.encode()
    assert (await world.org.get(f"/app/{app}/msg/{made}")).json()["payload"] == {"rawPayload": text}
    spaced = '{ "a" :1}'
    made = await world.message(app, payload={}, transformationsParams={"rawPayload": spaced})
    assert await stored(world, app, made) == spaced.encode()
    assert (await world.org.get(f"/app/{app}/msg/{made}")).json()["payload"] == {"a": 1}
    broken = '{"a":'
    made = await world.message(app, payload={}, transformationsParams={"rawPayload": broken})
    assert (await world.org.get(f"/app/{app}/msg/{made}")).json()["payload"] == {"rawPayload": broken}


async def test_the_application_can_be_created_with_the_message(world: World) -> None:
    body: dict[str, Any] = {"eventType": "a", "payload": {}}
    assert (await world.org.post("/app/fresh/msg", json=body)).status_code == 404
    wrong: list[Any] = [
        {"name": "x"},
        {"name": "x", "uid": "other"},
        {"uid": "fresh"},
        {},
        {"name": 1},
        [],
        "x",
    ]
    for application in wrong:
        answer = await world.org.post("/app/fresh/msg", json={**body, "application": application})
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][:2] == ["body", "application"]
        batch = {"messages": [{**body, "application": application}]}
        assert (await world.org.post("/app/fresh/msg/batch", json=batch)).status_code == 404
    answer = await world.org.post(
        "/app/fresh/msg", json={**body, "application": {"name": "x", "uid": "fresh"}}
    )
    assert answer.status_code == 202, answer.text
    assert (await world.org.get("/app/fresh")).json()["name"] == "x"
    answer = await world.org.post(
        "/app/fresh/msg", json={**body, "application": {"name": "y", "uid": "other"}}
    )
    assert answer.status_code == 202
    assert (await world.org.get("/app/fresh")).json()["name"] == "x"


async def test_the_same_idempotency_key_gets_the_first_message_again(world: World) -> None:
    app = await world.application()
    headers = {"idempotency-key": "k1"}
    first = await world.org.post(
        f"/app/{app}/msg", json={"eventType": "a", "payload": {"n": 1}}, headers=headers
    )
    again = await world.org.post(
        f"/app/{app}/msg", json={"eventType": "b", "payload": {"n": 2}}, headers=headers
    )
    assert (again.status_code, again.json()) == (202, first.json())
    other = await world.application()
    elsewhere = await world.org.post(
        f"/app/{other}/msg", json={"eventType": "b", "payload": {}}, headers=headers
    )
    assert elsewhere.json()["id"] != first.json()["id"]
    assert len((await world.org.get(f"/app/{app}/msg")).json()["data"]) == 1


async def test_concurrent_requests_with_one_key_create_one_message(world: World) -> None:
    app = await world.application()
    body = {"eventType": "a", "payload": {}}
    answers = await asyncio.gather(
        *(
            world.org.post(f"/app/{app}/msg", json=body, headers={"idempotency-key": "same"})
            for _ in range(12)
        )
    )
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_a_message_can_be_sent_later(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app)
    at = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    answer = await world.org.post(
        f"/app/{app}/msg", json={"eventType": "a", "payload": {}, "deliverAt": at.isoformat()}
    )
    assert answer.status_code == 202, answer.text
    assert datetime.fromisoformat(answer.json()["deliverAt"]) == at
    assert (await world.delivery(app, endpoint, answer.json()["id"]))["due_at"] == at


async def test_the_payload_is_kept_for_the_requested_period(world: World) -> None:
    app = await world.application()
    for field, amount, span in (
        ("payloadRetentionPeriod", 2, timedelta(days=2)),
        ("payloadRetentionHours", 5, timedelta(hours=5)),
        ("payloadRetentionPeriod", None, timedelta(days=90)),
    ):
        wanted: dict[str, Any] = {field: amount}
        made = await world.message(app, **wanted)
        async with world.database.connection() as conn:
            expires = await conn.fetchval("select expires_at from message where id = $1", uuid_of(made))
        kept = expires - datetime.now(UTC)
        assert span - timedelta(minutes=1) < kept < span + timedelta(hours=2)


async def test_an_expunged_message_has_no_payload_and_no_pending_delivery(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app)
    made, done = await world.message(app, eventId="e1"), await world.message(app)
    await world.complete(app, endpoint, done, State.DELIVERED)
    assert (await world.org.delete(f"/app/{app}/msg/e1/content")).status_code == 204
    assert (await world.org.delete(f"/app/{app}/msg/{done}/content")).status_code == 204
    shown = (await world.org.get(f"/app/{app}/msg/{made}")).json()
    assert shown["payload"] == {"expired": True}
    row = await world.delivery(app, endpoint, made)
    assert (row["state"], row["due_at"]) == (State.CANCELED, None)
    assert (await world.delivery(app, endpoint, done))["state"] == State.DELIVERED


async def test_lists_filter_by_channel_tag_and_event_type(world: World) -> None:
    app = await world.application()
    a = await world.message(app, "user.created", channels=["c1"], tags=["red"])
    b = await world.message(app, "user.deleted", channels=["c1", "c2"])
    c = await world.message(app, "order.paid", tags=["red", "blue"])
    for query, expected in {
        "channel=c1": {a, b},
        "channel=c2": {b},
        "channel=none": set(),
        "tag=red": {a, c},
        "tag=red&channel=c1": {a},
        "event_types=user.created,order.paid": {a, c},
        "event_types=user.created&event_types=order.paid": {a, c},
        "event_types[]=user.created&event_types[]=order.paid": {a, c},
        "event_types[0]=user.created&event_types[1]=user.deleted": {a, b},
        "event_types=user": set(),
    }.items():
        page = (await world.org.get(f"/app/{app}/msg?{query}")).json()
        assert {item["id"] for item in page["data"]} == expected, query


async def test_lists_page_forwards_and_back_over_the_same_pages(world: World) -> None:
    app = await world.application()
    made = [await world.message(app) for _ in range(7)]
    made.reverse()
    pages, query = [], "limit=3"
    while True:
        page = (await world.org.get(f"/app/{app}/msg?{query}")).json()
        pages.append([item["id"] for item in page["data"]])
        if page["done"]:
            break
        query = f"limit=3&iterator={page['iterator']}"
    assert pages == [made[:3], made[3:6], made[6:]]
    back = (await world.org.get(f"/app/{app}/msg?limit=3&iterator={page['prevIterator']}")).json()
    assert [item["id"] for item in back["data"]] == made[3:6]
    assert not back["done"]
    first = (await world.org.get(f"/app/{app}/msg?limit=3&iterator={back['prevIterator']}")).json()
    assert [item["id"] for item in first["data"]] == made[:3]
    assert first["done"]


async def test_before_and_after_cut_the_list_by_time(world: World) -> None:
    app = await world.application()
    made, times = [], []
    for _ in range(5):
        made.append(await world.message(app))
        shown = await world.org.get(f"/app/{app}/msg/{made[-1]}")
        times.append(shown.json()["timestamp"])

    async def listed(**query: Any) -> list[str]:
        page = (await world.org.get(f"/app/{app}/msg", params=query)).json()
        return [item["id"] for item in page["data"]]

    assert await listed(before=times[2]) == [made[1], made[0]]
    assert await listed(after=times[2]) == [made[4], made[3], made[2]]
    assert await listed(after=times[0], before=times[4]) == [made[3], made[2], made[1], made[0]]
    # the page right from the time on, though the list is newest first
    assert await listed(after=times[0], limit=2) == [made[1], made[0]]
    assert await listed(before=times[3], limit=1, iterator=made[2]) == [made[1]]


async def test_lists_go_back_ninety_days_by_default(world: World) -> None:
    app = await world.application()
    now = world.services.clock.now()
    old = ids.new(now - 91 * 86400, bytes(8))
    async with world.database.connection() as conn:
        await add_message(conn, uuid_of(app), old, payload=None)
    fresh = await world.message(app)
    page = (await world.org.get(f"/app/{app}/msg")).json()
    assert [item["id"] for item in page["data"]] == [fresh]
    page = (await world.org.get(f"/app/{app}/msg", params={"iterator": fresh})).json()
    assert [item["id"] for item in page["data"]] == [ids.text(ids.MESSAGE, old)]
    assert page["data"][0]["payload"] == {"expired": True}
    query = {"before": datetime.now(UTC).isoformat()}
    page = (await world.org.get(f"/app/{app}/msg", params=query)).json()
    assert ids.text(ids.MESSAGE, old) in {item["id"] for item in page["data"]}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=251",
        "limit=x",
        "iterator=x",
        "iterator=msg_x",
        "iterator=ep_1srOrx2ZWZBpBUvZwXKQmoEYga2",
        "iterator=msg_zzzzzzzzzzzzzzzzzzzzzzzzzzz",
        "before=yesterday",
        "after=%00",
        "channel=%00",
        "channel=a%20b",
        "tag=%00",
        "event_types=a,%00",
        "with_content=maybe",
    ],
)
async def test_a_bad_query_is_refused(world: World, query: str) -> None:
    app = await world.application()
    answer = await world.org.get(f"/app/{app}/msg?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["loc"][0] == "query"


@pytest.mark.parametrize("ref", ["nothing", "msg_1srOrx2ZWZBpBUvZwXKQmoEYga2", "a%00b", "%F0%9F%98%80"])
async def test_an_unknown_object_is_not_found(world: World, ref: str) -> None:
    app = await world.application()
    assert (await world.org.get(f"/app/{app}/msg/{ref}")).status_code == 404
    assert (await world.org.delete(f"/app/{app}/msg/{ref}/content")).status_code == 404
    assert (await world.org.get(f"/app/{ref}/msg")).status_code == 404
    answer = await world.org.post(f"/app/{ref}/msg", json={"eventType": "a", "payload": {}})
    assert answer.status_code == 404
    answer = await world.org.post(
        f"/app/{ref}/msg/batch", json={"messages": [{"eventType": "a", "payload": {}}]}
    )
    assert answer.status_code == 404


async def test_a_deleted_application_accepts_no_messages(world: World) -> None:
    app = await world.application()
    await world.org.delete(f"/app/{app}")
    assert (
        await world.org.post(f"/app/{app}/msg", json={"eventType": "a", "payload": {}})
    ).status_code == 404


async def test_a_batch_has_one_result_each_in_order(world: World) -> None:
    app = await world.application()
    await world.message(app, eventId="taken")
    messages: list[Any] = [
        {"eventType": "a", "payload": {"n": 0}},
        {"eventType": "a b", "payload": {}},
        {"eventType": "a", "payload": {"n": 2}, "eventId": "e2"},
        {"eventType": "a", "payload": {}, "eventId": "taken"},
        "not a message",
        {"eventType": "a", "payload": {}, "eventId": "e2"},
        {"eventType": "a", "payload": {"n": 6}},
    ]
    answer = await world.org.post(f"/app/{app}/msg/batch", json={"messages": messages})
    assert answer.status_code == 202, answer.text
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [202, 422, 202, 409, 422, 409, 202]
    assert [results[i]["payload"]["n"] for i in (0, 2, 6)] == [0, 2, 6]
    assert results[1]["detail"][0]["loc"] == ["body", "messages", "[1]", "eventType"]
    assert results[3]["code"] == "conflict"
    assert results[4]["code"] == "validation"
    listed = (await world.org.get(f"/app/{app}/msg")).json()["data"]
    assert {results[i]["id"] for i in (0, 2, 6)} < {item["id"] for item in listed}


async def test_a_batch_sent_twice_with_one_key_is_stored_once(world: World) -> None:
    app = await world.application()
    body = {"messages": [{"eventType": "a", "payload": {"n": n}} for n in range(20)]}
    headers = {"idempotency-key": "batch"}
    first = await world.org.post(f"/app/{app}/msg/batch", json=body, headers=headers)
    again = await world.org.post(f"/app/{app}/msg/batch", json=body, headers=headers)
    assert again.json() == first.json()
    assert len((await world.org.get(f"/app/{app}/msg")).json()["data"]) == 20


async def test_a_batch_has_one_to_a_thousand_messages(world: World) -> None:
    app = await world.application()
    for count, status in ((0, 422), (1000, 202), (1001, 422)):
        body = {"messages": [{"eventType": "a", "payload": {}}] * count}
        answer = await world.org.post(f"/app/{app}/msg/batch", json=body)
        assert answer.status_code == status
    assert (await world.org.post(f"/app/{app}/msg/batch", json={})).status_code == 422
    assert (await world.org.post(f"/app/{app}/msg/batch", content=b'{"messages":[' + BOMB)).status_code == 422


async def test_a_batch_is_received_in_the_order_it_was_given(world: World) -> None:
    app = await world.application()
    body = {"messages": [{"eventType": "a", "payload": {"n": n}} for n in range(200)]}
    results = (await world.org.post(f"/app/{app}/msg/batch", json=body)).json()["results"]
    made = [result["id"] for result in results]
    assert made == sorted(made)


async def test_reading_is_for_the_application_too_and_writing_is_not(world: World) -> None:
    app = await world.application()
    made = await world.message(app)
    holder = world.holder(app)
    assert (await holder.get(f"/app/{app}/msg")).status_code == 200
    assert (await holder.get(f"/app/{app}/msg/{made}")).status_code == 200
    body = {"eventType": "a", "payload": {}}
    for answer in (
        await holder.post(f"/app/{app}/msg", json=body),
        await holder.post(f"/app/{app}/msg/batch", json={"messages": [body]}),
        await holder.delete(f"/app/{app}/msg/{made}/content"),
    ):
        assert answer.status_code == 403
        assert answer.json()["code"] == "insufficient access"


async def test_outsiders_find_nothing(world: World) -> None:
    app = await world.application(uid="mine")
    made = await world.message(app, eventId="e1")
    other = await world.application()
    outsider, neighbour = world.outsider(), world.holder(other)
    body = {"eventType": "a", "payload": {}}
    for ref in (app, "mine"):
        for message in (made, "e1"):
            for who in (outsider, neighbour):
                assert (await who.get(f"/app/{ref}/msg/{message}")).status_code == 404
            assert (await outsider.delete(f"/app/{ref}/msg/{message}/content")).status_code == 404
        for who in (outsider, neighbour):
            assert (await who.get(f"/app/{ref}/msg")).status_code == 404
        assert (await outsider.post(f"/app/{ref}/msg", json=body)).status_code == 404
        assert (await outsider.post(f"/app/{ref}/msg/batch", json={"messages": [body]})).status_code == 404
    # a message of one application is not found by way of another
    for message in (made, "e1"):
        assert (await world.org.get(f"/app/{other}/msg/{message}")).status_code == 404
        assert (await world.org.delete(f"/app/{other}/msg/{message}/content")).status_code == 404
    assert (await world.client("nonsense").get(f"/app/{app}/msg")).status_code == 401
    assert (await world.client("nonsense").post(f"/app/{app}/msg", json=body)).status_code == 401
    assert (await stored(world, app, made)) == b'{"n":1}' or json.loads(await stored(world, app, made) or b"")
