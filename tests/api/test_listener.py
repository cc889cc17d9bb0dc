"""A listener fetches the deliveries of its endpoint, and its responses appear in the log like others."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from angarium.core.claims import Capability
from angarium.core.signature import verify
from angarium.service.listener import MAX_OF_APPLICATION
from angarium.store import listener as store
from tests.api.conftest import Api, Backend
from tests.kit.patience import PATIENCE
from tests.kit.task import finish_tasks


class Listener:
    """What the command does."""

    def __init__(self, api: Api, app: str, opened: dict[str, Any]) -> None:
        self.api = api
        self.place = f"/app/{app}/listener/{opened['id']}"
        self.secret = opened["secret"]
        self.id = opened["id"]

    async def fetch(self, **query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.api.get(f"{self.place}/fetch", **query))["data"]
        return found

    async def answer(self, fetched: dict[str, Any], status: int, **more: Any) -> None:
        body = {"receipt": fetched["receipt"], "statusCode": status, "durationMs": 3, **more}
        await self.api.post(f"{self.place}/answer", {"data": [body]}, status=204)


async def listening(api: Api, app: str, **more: Any) -> Listener:
    return Listener(api, app, await api.post(f"/app/{app}/listener", {"name": "laptop", **more}, status=200))


async def send(api: Api, app: str, event_type: str = "a.b", **more: Any) -> str:
    made = await api.post(
        f"/app/{app}/msg", {"eventType": event_type, "payload": {"n": 1}, **more}, status=202
    )
    return str(made["id"])


@pytest.fixture
async def app(api: Api, backend: Backend) -> str:
    """An application in a time that stands still, so that no wait, lease or retry is over by itself."""
    backend.clock.stop()
    return await api.application()


async def test_a_fetched_delivery_equals_a_sent_one_and_its_response_is_logged(api: Api, app: str) -> None:
    listener = await listening(api, app)
    message = await send(api, app)
    (fetched,) = await listener.fetch()
    headers = {name.lower(): value for name, value in fetched["headers"]}
    body = base64.b64decode(fetched["body"])
    assert body == b'{"n":1}'
    assert headers["webhook-id"] == message == fetched["messageId"]
    verify(body, headers, [str(listener.secret)], now=time.time())
    assert await listener.fetch() == [], "it is leased"
    await listener.answer(fetched, 500, body=base64.b64encode(b"no").decode(), headers=[["Server", "mine"]])
    (attempt,) = (await api.get(f"/app/{app}/attempt/msg/{message}"))["data"]
    assert (attempt["responseStatusCode"], attempt["response"]) == (500, "no")


async def test_a_failure_is_retried_on_schedule_and_a_resend_arrives(
    api: Api, app: str, backend: Backend
) -> None:
    listener = await listening(api, app)
    message = await send(api, app)
    await listener.answer((await listener.fetch())[0], 0, error="connection refused")
    (attempt,) = (await api.get(f"/app/{app}/attempt/msg/{message}"))["data"]
    assert (attempt["responseStatusCode"], attempt["status"]) == (0, 2)
    assert await listener.fetch() == []
    backend.clock.ahead = 8.0
    (again,) = await listener.fetch()
    assert (again["messageId"], again["attempt"]) == (message, 2)
    await listener.answer(again, 204)
    backend.clock.ahead = 90000.0
    assert await listener.fetch() == []
    await api.post(f"/app/{app}/msg/{message}/endpoint/{listener.id}/resend", status=202)
    (resent,) = await listener.fetch()
    assert resent["attempt"] == 3
    await listener.answer(resent, 200)
    assert await listener.fetch() == []


async def test_a_listener_that_dies_with_a_delivery_gets_it_again(
    api: Api, app: str, backend: Backend
) -> None:
    listener = await listening(api, app)
    message = await send(api, app)
    (lost,) = await listener.fetch()
    backend.clock.ahead = 61.0
    (again,) = await listener.fetch()
    assert again["messageId"] == message
    await listener.answer(again, 200)
    await listener.answer(lost, 500)  # late: recorded, and undoes nothing
    backend.clock.ahead = 90000.0
    assert await listener.fetch() == []


async def test_a_repeated_report_is_recorded_once(api: Api, app: str) -> None:
    listener = await listening(api, app)
    message = await send(api, app)
    (fetched,) = await listener.fetch()
    for _ in range(2):
        await listener.answer(fetched, 200)
    assert len((await api.get(f"/app/{app}/attempt/msg/{message}"))["data"]) == 1


async def test_the_same_name_is_the_same_listener_and_its_filter_is_the_last(api: Api, app: str) -> None:
    one = await listening(api, app)
    await send(api, app, "order.filled")
    two = await listening(api, app, eventTypes=["user.*"])
    assert (one.id, one.secret) == (two.id, two.secret)
    await send(api, app, "order.filled")
    await send(api, app, "user.created")
    assert [one["eventType"] for one in await two.fetch()] == ["order.filled", "user.created"]


async def test_fetching_waits_for_the_next_message(api: Api, app: str) -> None:
    listener = await listening(api, app)
    async with asyncio.TaskGroup() as group, asyncio.timeout(PATIENCE):
        waiting = group.create_task(listener.fetch(wait=15))
        await asyncio.sleep(0)
        message = await send(api, app)
    assert [one["messageId"] for one in waiting.result()] == [message]


async def test_waiting_listeners_are_limited_by_application(
    api: Api, app: str, backend: Backend, client: httpx.AsyncClient, new_organization: Callable[[], Api]
) -> None:
    listener = await listening(api, app)
    others = [(api, await api.application()), (stranger := new_organization(), await stranger.application())]

    async def fetch() -> httpx.Response:
        return await client.get(
            f"/api/v1{listener.place}/fetch?wait=25", headers={"authorization": f"Bearer {api.token}"}
        )

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        fetching = [group.create_task(fetch()) for _ in range(MAX_OF_APPLICATION + 7)]
        refused: list[asyncio.Task[httpx.Response]] = []
        while len(refused) < 7:
            await asyncio.sleep(0.01)
            refused = [one for one in fetching if one.done()]
        for one in refused:
            answer = one.result()
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
            assert answer.json() == {
                "code": "too_many_listeners",
                "detail": "Limit of waiting listeners reached for this application (20). "
                "Stop a listener you no longer need.",
            }
        for other, place in others:
            served = await listening(other, place)
            message = await send(other, place)
            assert [fetched["messageId"] for fetched in await served.fetch()] == [message]
        assert len([one for one in fetching if one.done()]) == 7, "the others continue to wait"
        backend.clock.ahead = 60.0
    assert sorted(one.result().status_code for one in fetching) == [200] * MAX_OF_APPLICATION + [429] * 7
    message = await send(api, app)
    assert [fetched["messageId"] for fetched in await listener.fetch()] == [message], "there is room again"


async def test_listening_requires_permission_to_manage_endpoints(
    api: Api, app: str, new_organization: Any
) -> None:
    listener = await listening(api, app)
    reader = api.as_application(app, capabilities=[Capability.VIEW])
    await reader.post(f"/app/{app}/listener", {"name": "x"}, status=403)
    await reader.get(f"{listener.place}/fetch", status=403)
    blind = api.as_application(app, capabilities=[Capability.VIEW, Capability.MANAGE_ENDPOINT])
    assert (await listening(blind, app)).secret is None
    other = api.as_application(await api.application())
    await other.get(f"{listener.place}/fetch", status=404)
    await new_organization().get(f"{listener.place}/fetch", status=404)
    ordinary = await api.endpoint(app)
    await api.get(f"/app/{app}/listener/{ordinary}/fetch", status=404)


async def test_the_url_of_a_listener_cannot_change_and_invalid_receipts_are_refused(
    api: Api, app: str
) -> None:
    listener = await listening(api, app)
    await api.patch(f"/app/{app}/endpoint/{listener.id}", {"url": "http://localhost/x"}, status=422)
    await api.patch(f"/app/{app}/endpoint/{listener.id}", {"description": "mine"})
    for receipt in ("", "x", "W10", "é", base64.urlsafe_b64encode(b'["x",1,2,3,null,1]').decode()):
        body = {"data": [{"receipt": receipt, "statusCode": 200}]}
        await api.post(f"{listener.place}/answer", body, status=422)


async def test_a_silent_listener_is_disabled_and_catches_up_when_it_starts_again(
    api: Api, app: str, backend: Backend
) -> None:
    listener = await listening(api, app)
    message = await send(api, app)

    async def given_up() -> int:
        async with backend.services.database.transaction() as connection:
            return await store.disable_silent(connection, backend.clock.now(), 10)

    assert await given_up() == 0
    backend.clock.ahead = 8 * 86400.0
    assert await given_up() == 1
    assert await given_up() == 0
    await api.get(f"{listener.place}/fetch", status=400)
    again = await listening(api, app)
    await finish_tasks(backend.services.database, backend.clock)
    assert [one["messageId"] for one in await again.fetch()] == [message]
