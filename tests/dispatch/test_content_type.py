"""The Content-Type that a message's sender chose is on every request: the first, a retry that is read back
from the table, in order, in a batch, fetched by a listener, and as the log shows it."""

from __future__ import annotations

from typing import Any

import pytest

from angarium.clock import SystemClock
from angarium.core import header_code
from angarium.store.database import Database
from tests.kit.receiver import Received, Receiver, Reply
from tests.kit.stand import standing
from tests.kit.world import product

XML = "application/xml; charset=utf-8"
RAW = {"rawPayload": "<order/>", "headers": {"Content-Type": XML}}


def types(requests: list[Received]) -> list[list[str]]:
    """The values of each request's Content-Type."""
    return [[value for name, value in one.headers if name.lower() == "content-type"] for one in requests]


@pytest.mark.parametrize("fifo", [False, True])
async def test_every_attempt_has_the_content_type_and_the_log_shows_it(
    database: Database, fifo: bool
) -> None:
    async with Receiver() as receiver, standing(database, product("1s"), clock=SystemClock()) as stand:
        receiver.plan(Reply(500))
        await stand.endpoint(receiver.url, fifo=fifo)
        await stand.send("a.b", {}, transformationsParams=RAW)
        requests = await receiver.wait_for(2)
        assert types(requests) == [[XML], [XML]]
        assert {one.body for one in requests} == {b"<order/>"}
        await stand.until_attempts(2)
        shown = await stand.world.fetch("select message_id, id, exchange from attempt")
        for row in shown:
            headers, _ = header_code.decode(
                row["exchange"], message_id=row["message_id"], attempt_id=row["id"]
            )
            assert ("content-type", XML) in headers


async def test_the_content_type_belongs_to_one_message_of_a_batch(database: Database) -> None:
    async with Receiver() as receiver, standing(database, product("1s"), clock=SystemClock()) as stand:
        await stand.endpoint(receiver.url)
        items: list[dict[str, Any]] = [
            {"eventType": "a.b", "payload": {"n": 1}},
            {"eventType": "a.b", "payload": {}, "transformationsParams": RAW},
            {
                "eventType": "a.b",
                "payload": {"n": 2},
                "transformationsParams": {"headers": {"content-type": "a/b"}},
            },
        ]
        await stand.native("POST", "/msg/batch", {"messages": items})
        requests = sorted(await receiver.wait_for(3), key=lambda one: one.body)
        assert types(requests) == [[XML], ["application/json"], ["a/b"]]


async def test_a_listener_gets_the_content_type(database: Database) -> None:
    async with standing(database, product("1s"), clock=SystemClock()) as stand:
        made = await stand.native("POST", "/listener", {"name": "mine"})
        await stand.send("a.b", {}, transformationsParams=RAW)
        fetched = await stand.native("GET", f"/listener/{made['id']}/fetch", wait=30)
        chosen = [value for name, value in fetched["data"][0]["headers"] if name.lower() == "content-type"]
        assert chosen == [XML]
