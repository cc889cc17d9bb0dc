"""The sandbox: routes that a profile declares, which create messages as the real product would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from angarium import profiles
from angarium.core.profile_scenario import Counter, Scenario, ScenarioStep
from angarium.core.signature import Signer
from angarium.store.database import Database
from tests.dialects.bluum import ACCOUNT, Stand, Tenant, bluum, standing
from tests.kit.clock import ManualClock
from tests.kit.receiver import Receiver, Reply


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def stand(database: Database) -> AsyncIterator[Stand]:
    async with standing(database, clock=ManualClock()) as stand:
        yield stand


async def play(stand: Stand, receiver: Receiver) -> list[dict[str, Any]]:
    """Go through virtual time until nothing is pending. Returns the events in the order of arrival."""
    while await stand.to_next_attempt() is not None:
        pass
    return [json.loads(request.body) for request in receiver.requests]


async def subscribed(stand: Stand, receiver: Receiver) -> Tenant:
    tenant, _ = await stand.tenant()
    await tenant.webhook(receiver.url, "order.*", "transfer.*")
    return tenant


async def test_an_order_is_accepted_and_soon_after_filled(stand: Stand, receiver: Receiver) -> None:
    tenant = await subscribed(stand, receiver)
    start = stand.world.clock.now()
    order = await tenant.order()
    assert order["id"].startswith("ord_")
    assert len(order["id"]) == 20
    assert (order["object"], order["account_id"], order["qty"]) == ("order", ACCOUNT, "1")
    accepted, filled = await play(stand, receiver)
    assert [accepted["event"], filled["event"]] == ["order.accepted", "order.filled"]
    assert accepted["data"]["id"] == filled["data"]["id"] == order["id"], "data.id is the order's"
    assert accepted["id"] != filled["id"], "and the event's id is another: dedupe on that"
    assert filled["data"] == {
        "id": order["id"],
        "account_id": ACCOUNT,
        "symbol": "AAPL",
        "side": "buy",
        "status": "filled",
        "filled_qty": "1",
        "average_price": "178.50",
    }
    assert accepted["timestamp"] < filled["timestamp"]
    assert stand.world.clock.now() - start == pytest.approx(2.0)


async def test_acceptance_5_the_documented_dedupe_by_data_id_would_lose_the_second_event(
    stand: Stand, receiver: Receiver
) -> None:
    tenant = await subscribed(stand, receiver)
    await tenant.order()
    events = await play(stand, receiver)
    as_documented, as_advised = ({event["data"]["id"] for event in events}, {event["id"] for event in events})
    assert (len(as_documented), len(as_advised)) == (1, 2)


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("REJECT", ["order.rejected"]),
        ("CANCEL", ["order.accepted", "order.canceled"]),
        ("PARTIAL", ["order.accepted", "order.partially_filled", "order.filled"]),
    ],
)
async def test_rejected_canceled_and_partially_filled_orders_are_provoked_by_the_symbol(
    stand: Stand, receiver: Receiver, symbol: str, expected: list[str]
) -> None:
    tenant = await subscribed(stand, receiver)
    await tenant.order(symbol=symbol, qty=1)
    events = await play(stand, receiver)
    assert [event["event"] for event in events] == expected
    assert all(isinstance(event["data"]["filled_qty"], str) for event in events)


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize("kind", ["deposit", "withdrawal"])
@pytest.mark.parametrize("end", ["completed", "failed"])
async def test_deposits_and_withdrawals_are_initiated_and_then_completed_or_failed(
    stand: Stand, receiver: Receiver, prefix: str, kind: str, end: str
) -> None:
    tenant = await subscribed(stand, receiver)
    body = {"account_id": ACCOUNT, "amount": "250.00"} | ({"simulate": end} if end == "failed" else {})
    made = await tenant.call("POST", f"/transfers/{kind}s", body, status=201, prefix=prefix)
    first, second = await play(stand, receiver)
    assert [first["event"], second["event"]] == [f"transfer.{kind}.initiated", f"transfer.{kind}.{end}"]
    for event in (first, second):
        assert event["data"]["id"] == made["id"]
        assert event["data"]["account_id"] == ACCOUNT
        assert event["data"]["amount"] == "250.00"


async def test_what_is_missing_or_not_possible_is_said_in_the_products_own_form(stand: Stand) -> None:
    tenant, _ = await stand.tenant()
    path = f"/trading/accounts/{ACCOUNT}/orders"
    error = (await tenant.call("POST", path, {"symbol": "AAPL", "side": "buy"}, status=400))["error"]
    assert error == {
        "type": "invalid_request_error",
        "code": "BLUM-400-002",
        "message": "type is required; time_in_force is required; qty is required",
        "param": "type",
    }
    body = {"symbol": "AAPL", "side": "hold", "type": "market", "time_in_force": "day", "qty": "1"}
    error = (await tenant.call("POST", path, body, status=400))["error"]
    assert (error["code"], error["param"]) == ("BLUM-400-004", "side")
    assert "buy, sell" in error["message"]
    for wrong in (b"[]", b"{", b'"x"'):
        error = (await tenant.call("POST", path, wrong, status=400))["error"]
        assert error["code"].startswith("BLUM-400-")
    answer = await stand.client.post(f"/v1{path}", json=body)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_sandbox_messages_are_signed_and_retried_as_in_production(
    stand: Stand, receiver: Receiver
) -> None:
    tenant, _ = await stand.tenant()
    made = await tenant.webhook(receiver.url, "order.*")
    receiver.plan(Reply(500))
    start = stand.world.clock.now()
    await tenant.order(symbol="REJECT")
    first, second = await play(stand, receiver)
    assert first == second
    assert 54 <= stand.world.clock.now() - start <= 66.1
    signer = Signer(made["secret"])
    for request in receiver.requests:
        at = int(request.header("webhook-timestamp") or 0)
        assert request.header("webhook-signature") == signer.sign(first["id"], at, request.body)


async def test_investors_may_trade(stand: Stand, receiver: Receiver) -> None:
    tenant, investor = await stand.tenant()
    await tenant.webhook(receiver.url, "order.*")
    await investor.order()
    assert len(await play(stand, receiver)) == 2


async def test_promise_6_events_go_to_the_callers_own_application_only(
    stand: Stand, receiver: Receiver
) -> None:
    outsider, _ = await stand.tenant("outsider")
    await outsider.webhook(receiver.url, "*")
    tenant, _ = await stand.tenant()
    await tenant.order()
    assert await play(stand, receiver) == []


async def test_steps_to_come_are_in_the_database_before_the_answer(stand: Stand) -> None:
    """Nothing of a scenario is held in memory, so a restart loses none of it."""
    tenant, _ = await stand.tenant()
    await tenant.webhook("http://127.0.0.1:9/", "order.*")
    await tenant.order()
    rows = await stand.world.fetch("select event_type from message order by id")
    assert [row["event_type"] for row in rows] == ["order.accepted", "order.filled"]
    (row,) = await stand.world.fetch(
        "select d.due_at from delivery d join message m on m.id = d.message_id"
        " where m.event_type = 'order.filled'"
    )
    assert row["due_at"].timestamp() == pytest.approx(stand.world.clock.now() + 2)


async def test_a_counter_is_kept_for_each_application_and_never_falls_below_nothing(
    database: Database, receiver: Receiver
) -> None:
    """As Bluma's credits do: `low` when it falls below ten, `exhausted` when it reaches zero."""
    scenario = Scenario(
        name="buy",
        path="/things/{thing}",
        counter=Counter("credits", 14, 5),
        make={"id": "thing_{uuid}"},
        response={"id": "{id}", "credits": "{credits}", "before": "{credits_before}"},
        steps=(
            ScenarioStep("order.accepted", when={"credits_before": {"above": 0}}, data={"thing": "{thing}"}),
            ScenarioStep(
                "order.canceled",
                when={"credits": {"below": 10, "above": 0}, "credits_before": {"least": 10}},
            ),
            ScenarioStep("order.rejected", when={"credits": 0, "credits_before": {"above": 0}}),
        ),
    )
    product = bluum(msgspec.structs.replace(profiles.load("bluum"), scenarios=(scenario,)))
    async with standing(database, product=product, clock=ManualClock()) as stand:
        tenant = await subscribed(stand, receiver)
        other, _ = await stand.tenant("other")
        answers = [await tenant.call("POST", "/things/a", status=201) for _ in range(4)]
        assert [one["credits"] for one in answers] == [9, 4, 0, 0]
        assert [one["before"] for one in answers] == [14, 9, 4, 0]
        assert (await other.call("POST", "/things/b", status=201))["credits"] == 9
        events = [event["event"] for event in await play(stand, receiver)]
        assert sorted(events) == ["order.accepted"] * 3 + ["order.canceled", "order.rejected"]


async def test_a_counter_counts_every_one_of_many_calls_at_once(database: Database) -> None:
    scenario = Scenario(
        name="buy", path="/things", counter=Counter("credits", 30, 1), response={"left": "{credits}"}
    )
    product = bluum(msgspec.structs.replace(profiles.load("bluum"), scenarios=(scenario,)))
    async with standing(database, product=product) as stand:
        tenant, _ = await stand.tenant()
        answers = await asyncio.gather(*(tenant.call("POST", "/things", status=201) for _ in range(20)))
        assert sorted(one["left"] for one in answers) == list(range(10, 30))
