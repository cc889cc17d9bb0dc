"""POST /msg/batch, by plain HTTP against the running server."""

from __future__ import annotations

import httpx

from tests.e2e.conftest import Hooks, made


async def test_each_of_a_batch_gets_its_result_in_order_and_goes_where_it_is_wanted(
    api: httpx.AsyncClient, hooks: Hooks
) -> None:
    app = await made(api, "/app", {"name": "Batch"})
    await made(api, f"/app/{app}/endpoint", {"url": f"{hooks.root}/ok/all"})
    orders = {"url": f"{hooks.root}/ok/orders", "eventTypes": ["order.*"]}
    await made(api, f"/app/{app}/endpoint", orders)
    messages = [
        {"eventType": "order.paid", "payload": {"n": 0}, "eventId": "batch-0"},
        {"eventType": "no spaces", "payload": {"n": 1}},
        {"eventType": "order.refund.done", "payload": {"n": 2}},
        {"eventType": "order.paid", "payload": {"n": 3}, "eventId": "batch-0"},
        {"eventType": "order.paid", "payload": [4]},
        "not an object",
        {"eventType": "orders.paid", "payload": {"n": 6}},
        {"eventType": "order", "payload": {"n": 7}},
    ]
    answer = await api.post(f"/app/{app}/msg/batch", json={"messages": messages})
    assert answer.status_code == 202, answer.text
    results = answer.json()["results"]
    assert [one["status"] for one in results] == [202, 422, 202, 409, 422, 422, 202, 202]
    for index, one in enumerate(results):
        if one["status"] == 202:
            assert one["payload"] == messages[index]["payload"]  # type: ignore[index]
        elif one["status"] == 422:
            assert all(fault["loc"][:3] == ["body", "messages", f"[{index}]"] for fault in one["detail"]), one
        else:
            assert one["code"] == "conflict"
    ids = {index: one["id"] for index, one in enumerate(results) if one["status"] == 202}
    assert list(ids.values()) == sorted(ids.values())

    requests = await hooks.wait_for(6)
    got = {(ids_of(ids, one.header("webhook-id")), one.path) for one in requests}
    assert got == {
        *((index, "/ok/all") for index in ids),
        (0, "/ok/orders"),
        (2, "/ok/orders"),
    }
    listed = (await api.get(f"/app/{app}/msg", params={"limit": 10})).json()["data"]
    assert [one["id"] for one in listed] == sorted(ids.values(), reverse=True)


def ids_of(ids: dict[int, str], message: str | None) -> int:
    return next(index for index, one in ids.items() if one == message)


async def test_a_thousand_are_one_batch_and_one_more_is_refused(api: httpx.AsyncClient, hooks: Hooks) -> None:
    app = await made(api, "/app", {"name": "Thousand"})
    await made(api, f"/app/{app}/endpoint", {"url": f"{hooks.root}/ok"})
    messages = [{"eventType": "many", "payload": {"n": n}} for n in range(1001)]
    refused = await api.post(f"/app/{app}/msg/batch", json={"messages": messages})
    assert refused.status_code == 422
    answer = await api.post(f"/app/{app}/msg/batch", json={"messages": messages[:1000]})
    assert answer.status_code == 202
    results = answer.json()["results"]
    assert [one["payload"]["n"] for one in results] == list(range(1000))
    requests = await hooks.wait_for(1000)
    assert {one.header("webhook-id") for one in requests} == {one["id"] for one in results}
