"""Play's inboxes over the API."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from angarium.store.database import Database
from angarium.testing import sign
from tests.api.conftest import Api
from tests.kit.patience import until

BODY = '{"n": "ü"}'.encode()


@pytest.fixture
async def app(api: Api) -> str:
    return await api.application()


@pytest.fixture
async def inbox(api: Api, app: str) -> dict[str, Any]:
    made: dict[str, Any] = await api.post(f"/app/{app}/inbox")
    return made


async def arrive(client: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]) -> int:
    answer = await client.post(urlsplit(url).path, content=body, headers=headers)
    return answer.status_code


def signed(body: bytes, secret: str) -> dict[str, str]:
    """As our server signs: with the names of Svix's and of Standard Webhooks."""
    return {**sign(body, secret, "svix"), **sign(body, secret)}


async def test_an_inbox_responds_as_configured_and_can_be_deleted(
    api: Api, client: httpx.AsyncClient, app: str, inbox: dict[str, Any]
) -> None:
    path = f"/app/{app}/inbox/{inbox['id']}"
    assert (inbox["status"], inbox["delay"], inbox["failures"]) == (200, 0, 0)
    assert await arrive(client, inbox["url"], BODY, {}) == 200
    told = await api.patch(path, {"status": 410})
    assert told == {**inbox, "status": 410, "expiresAt": told["expiresAt"]}
    assert (await api.patch(path, {"failures": 100}))["status"] == 410
    assert await arrive(client, inbox["url"], BODY, {}) == 500
    for wrong in ({"status": 299}, {"delay": -1}, {"delay": 3600}, {"failures": 101}, {"status": "200"}):
        await api.patch(path, wrong, status=422)
    await api.delete(path)
    await api.delete(path, status=404)
    assert await arrive(client, inbox["url"], BODY, {}) == 404


async def test_two_concurrent_changes_of_an_inbox_are_both_applied(
    api: Api, app: str, inbox: dict[str, Any], database: Database
) -> None:
    path = f"/app/{app}/inbox/{inbox['id']}"
    async with asyncio.TaskGroup() as group, database.transaction() as holding:
        await holding.execute("select from play_inbox for update")
        for change in ({"status": 410}, {"failures": 7}):
            group.create_task(api.patch(path, change))

        async def both_wait() -> bool:
            async with (
                database.connection() as connection
            ):  # of its own: a transaction sees the first look again
                waiting = await connection.fetchval(
                    "select count(*) from pg_stat_activity"
                    " where wait_event_type = 'Lock' and datname = current_database()"
                )
            return bool(waiting == 2)

        await until(both_wait)
    now = await api.patch(path, {})
    assert (now["status"], now["failures"]) == (410, 7)


async def test_requests_are_read_after_a_cursor_without_gaps(
    api: Api, client: httpx.AsyncClient, app: str, inbox: dict[str, Any], backend: Any
) -> None:
    path = f"/app/{app}/inbox/{inbox['id']}/request"
    empty = await api.get(path)
    assert empty == {"data": [], "iterator": None, "done": True}
    for number in range(5):
        backend.clock.ahead = -number / 5  # as of a second process whose clock is behind
        assert await arrive(client, inbox["url"], str(number).encode(), {}) == 200
    seen: list[bytes] = []
    page = empty
    for done in (False, False, True):
        page = await api.get(path, limit=2, **({"after": page["iterator"]} if page["iterator"] else {}))
        assert page["done"] is done
        seen += [base64.b64decode(one["body"]) for one in page["data"]]
    assert seen == [b"0", b"1", b"2", b"3", b"4"]
    assert (await api.get(path, after=page["iterator"]))["data"] == []
    await api.get(path, after="nonsense", status=422)
    await api.get(path, limit=1000, status=422)
    await api.get(f"/app/{app}/inbox/nonsense/request", status=404)


async def test_a_request_is_shown_completely_and_verified_with_the_endpoints_secret(
    api: Api, client: httpx.AsyncClient, app: str, inbox: dict[str, Any]
) -> None:
    path = f"/app/{app}/inbox/{inbox['id']}/request"
    endpoint = await api.endpoint(app, inbox["url"])
    secret = (await api.get(f"/app/{app}/endpoint/{endpoint}/secret"))["key"]
    await arrive(client, inbox["url"], BODY, {**signed(BODY, secret), "authorization": "Bearer mine"})
    await arrive(client, inbox["url"], BODY, {})
    good, bad = (await api.get(path))["data"]
    assert (good["verified"], bad["verified"]) == (True, False)
    assert base64.b64decode(good["body"]) == BODY
    assert (good["method"], good["size"], good["status"]) == ("POST", len(BODY), 200)
    assert dict(good["headers"])["webhook-id"].startswith("msg_")
    assert "mine" not in str(good["headers"])


async def test_an_application_has_at_most_twenty_inboxes(api: Api, app: str) -> None:
    for _ in range(20):
        await api.post(f"/app/{app}/inbox")
    await api.post(f"/app/{app}/inbox", status=409)
