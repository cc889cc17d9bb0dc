"""Limits and usage over the API: who may see and change them, and what a refusal looks like."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from angarium.core import ids
from angarium.core.quota import QuotaLimits
from angarium.store.database import Database
from tests.kit.clock import ManualClock
from tests.kit.stand import ORG, Stand, product, standing

HOOK = "http://127.0.0.1:9/hook"
OUTSIDER = "org_30rb8YdGqMT0qIzpgGwdXfHirMv"
LATE = 1_796_083_200.0 - 3600.0  # an hour before December 2026
MESSAGE = {"eventType": "order.filled", "payload": {"n": 1}}
NONE = {"soft": None, "hard": None}


@pytest.fixture
async def stand(database: Database) -> AsyncIterator[Stand]:
    quota = QuotaLimits(messages_soft=2, messages_hard=3, endpoints_hard=2)
    async with standing(database, product("standard"), clock=ManualClock(LATE), quota=quota) as made:
        yield made


async def call(stand: Stand, method: str, path: str, body: Any = None, **who: str) -> httpx.Response:
    """As the operator, or as the holder of a token."""
    token = who.get("token") or stand.services.token.for_organization(ORG)
    headers = {"authorization": f"Bearer {token}"}
    if "key" in who:
        headers["idempotency-key"] = who["key"]
    return await stand.client.request(method, f"/api/v1{path}", json=body, headers=headers)


def own_token(stand: Stand) -> str:
    app_id = ids.parse(ids.APPLICATION, stand.app_id)
    assert app_id is not None
    return stand.services.token.for_application(ORG, app_id)


async def fold(stand: Stand) -> None:
    await stand.services.usage._folder.fold()


async def test_an_application_reads_its_limits_and_use_with_its_own_token(stand: Stand) -> None:
    await stand.send("order.filled")
    await stand.endpoint(HOOK)
    answer = await call(stand, "GET", f"/app/{stand.app_id}/quota", token=own_token(stand))
    assert answer.json() == {
        "month": "2026-11",
        "endsAt": "2026-12-01T00:00:00.000000Z",
        "messages": {"used": 1, "soft": 2, "hard": 3},
        "endpoints": {"used": 1, "soft": None, "hard": 2},
        "own": {},
    }


async def test_only_the_operator_changes_limits(stand: Stand) -> None:
    path = f"/app/{stand.app_id}/quota"
    limits = {"messagesHard": 10, "endpointsHard": "unlimited"}
    assert (await call(stand, "PATCH", path, limits, token=own_token(stand))).status_code == 403
    outsider = stand.services.token.for_organization(OUTSIDER)
    for method in ("GET", "PATCH"):
        assert (await call(stand, method, path, limits, token=outsider)).status_code == 404
    changed = (await call(stand, "PATCH", path, limits)).json()
    assert changed["own"] == limits
    assert (changed["messages"]["hard"], changed["endpoints"]["hard"]) == (10, None)
    cleared = (await call(stand, "PATCH", path, {"endpointsHard": None})).json()
    assert (cleared["own"], cleared["endpoints"]["hard"]) == ({"messagesHard": 10}, 2)
    records = (await call(stand, "GET", "/audit?action=application.quota.changed")).json()["data"]
    said = [(record["before"], record["after"]) for record in records]
    assert len(said) == 2, "of the same moment, so in any order"
    assert ({}, limits) in said
    assert ({"endpointsHard": "unlimited"}, {}) in said


@pytest.mark.parametrize("value", [-1, 1.5, "10", "many", True, [1], 10**16])
async def test_a_limit_is_a_number_or_unlimited(stand: Stand, value: Any) -> None:
    answer = await call(stand, "PATCH", f"/app/{stand.app_id}/quota", {"messagesHard": value})
    assert answer.status_code == 422
    assert "messagesHard" in str(answer.json()["detail"][0]["loc"])


async def test_a_message_above_the_limit_is_refused_with_what_the_sender_must_know(stand: Stand) -> None:
    path = f"/app/{stand.app_id}/msg"
    token = stand.services.token.for_organization(ORG)  # keys belong to a token
    first = await call(stand, "POST", path, MESSAGE, key="k1", token=token)
    await stand.send("order.filled")
    await stand.send("order.filled")
    await fold(stand)
    refused = await call(stand, "POST", path, MESSAGE)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3600")
    assert refused.json() == {
        "code": "message_limit_reached",
        "detail": "Message limit of the month reached: 3 of 3 used. "
        "The next month begins at 2026-12-01T00:00:00Z.",
        "limit": 3,
        "used": 3,
        "endsAt": "2026-12-01T00:00:00Z",
    }
    batch = await call(stand, "POST", f"{path}/batch", {"messages": [MESSAGE]})
    assert batch.status_code == 202
    assert batch.json()["results"] == [{"status": 429, **refused.json()}]
    again = await call(stand, "POST", path, MESSAGE, key="k1", token=token)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])


async def test_an_endpoint_above_the_limit_of_its_application_is_refused(stand: Stand) -> None:
    await call(stand, "PATCH", f"/app/{stand.app_id}/quota", {"endpointsHard": 1})
    await stand.endpoint(HOOK)
    for method, path in (("POST", "/endpoint"), ("PUT", "/endpoint/new"), ("POST", "/listener")):
        body = {"name": "laptop"} if path == "/listener" else {"url": HOOK, "uid": "new"}
        refused = await call(stand, method, f"/app/{stand.app_id}{path}", body)
        assert (refused.status_code, refused.json()["code"]) == (400, "too_many_endpoints"), path
        assert "Endpoint limit reached (1)." in refused.json()["detail"]
    await call(stand, "PATCH", f"/app/{stand.app_id}/quota", {"endpointsHard": "unlimited"})
    for _ in range(3):
        await stand.endpoint(HOOK)


async def test_usage_is_listed_by_month_and_application_in_pages(stand: Stand) -> None:
    other = (await call(stand, "POST", "/app", {"name": "Other", "uid": "other"})).json()["id"]
    await stand.send("order.filled")
    await call(stand, "POST", f"/app/{other}/msg", MESSAGE)
    assert isinstance(stand.world.clock, ManualClock)
    await stand.world.clock.advance_to(LATE + 7200.0)
    await call(stand, "POST", f"/app/{other}/msg", MESSAGE)
    rows, iterator, pages = [], "", 0
    while True:
        page = (await call(stand, "GET", f"/usage?limit=1{iterator}")).json()
        rows += page["data"]
        pages += 1
        if page["done"]:
            break
        iterator = f"&iterator={page['iterator']}"
    assert pages == 3
    assert [row["month"] for row in rows] == ["2026-11", "2026-11", "2026-12"]
    assert sorted((row["month"], row["applicationUid"], row["messages"]) for row in rows) == [
        ("2026-11", "customer", 1),
        ("2026-11", "other", 1),
        ("2026-12", "other", 1),
    ]
    newest = (await call(stand, "GET", "/usage?order=descending")).json()["data"]
    assert newest == rows[::-1]
    one = (await call(stand, "GET", "/usage?application=other&since=2026-12&until=2026-12")).json()["data"]
    assert one == rows[2:]
    assert (await call(stand, "GET", "/usage?since=2026-13")).status_code == 422
    outsider = stand.services.token.for_organization(OUTSIDER)
    assert (await call(stand, "GET", f"/usage?application={other}", token=outsider)).json()["data"] == []
    assert (await call(stand, "GET", "/usage", token=own_token(stand))).status_code == 403
