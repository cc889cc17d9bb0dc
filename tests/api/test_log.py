"""The log over the API: filtered, paged, and all that match sent again."""

from __future__ import annotations

from typing import Any

import pytest

from angarium.core.claims import Capability
from tests.api.conftest import Api, Backend
from tests.kit.task import finish_tasks


@pytest.fixture
async def app(api: Api) -> str:
    return await api.application()


async def send(api: Api, app: str, event_type: str) -> str:
    made = await api.post(f"/app/{app}/msg", {"eventType": event_type, "payload": {}}, status=202)
    return str(made["id"])


async def lost(api: Api, app: str) -> Any:
    headers = {"authorization": f"Bearer {api.token}"}
    return (await api.client.get(f"/api/v1/app/{app}/log?status=failed", headers=headers)).json()["data"]


async def test_matches_are_listed_page_by_page(api: Api, app: str) -> None:
    endpoint = await api.endpoint(app)
    sent = [await send(api, app, kind) for kind in ("order.filled", "user.created", "order.accepted")]
    listed = await api.get(f"/app/{app}/log", event_type="order.*", limit=1)
    (line,) = listed["data"]
    assert (line["messageId"], line["endpointId"], line["status"]) == (sent[2], endpoint, "waiting")
    rest = await api.get(f"/app/{app}/log", event_type="order.*", iterator=listed["iterator"])
    assert [one["messageId"] for one in rest["data"]] == [sent[0]]
    assert rest["done"]
    assert await lost(api, app) == []


async def test_all_that_match_are_counted_and_sent_again(api: Api, app: str, backend: Backend) -> None:
    endpoint = await api.endpoint(app)
    for _ in range(3):
        await send(api, app, "order.filled")
    await api.patch(f"/app/{app}/endpoint/{endpoint}", {"disabled": True})
    await api.patch(f"/app/{app}/endpoint/{endpoint}", {"disabled": False})
    wanted: dict[str, Any] = {"status": ["canceled"], "eventType": "order.*"}
    counted = await api.post(f"/app/{app}/log/resend", {"filter": wanted, "dryRun": True}, status=200)
    assert counted == {"messages": 3, "exact": True}
    task = await api.post(f"/app/{app}/log/resend", {"filter": wanted}, status=202)
    await finish_tasks(backend.services.database, backend.clock)
    found = await api.get(f"/app/{app}/task/{task['id']}")
    assert (found["status"], found["data"]["messagesSent"]) == ("finished", 3)
    assert (await api.post(f"/app/{app}/task/{task['id']}/cancel", status=200))["status"] == "finished"


async def test_only_authorized_callers_read_the_log_or_resend(
    api: Api, app: str, new_organization: Any
) -> None:
    await api.endpoint(app)
    task = await api.post(f"/app/{app}/log/resend", {"filter": {"status": ["failed"]}}, status=202)
    reader = api.as_application(app, capabilities=[Capability.VIEW])
    await reader.get(f"/app/{app}/log")
    await reader.post(f"/app/{app}/log/resend", {}, status=403)
    other_app = await api.application()
    for outsider in (api.as_application(other_app), new_organization()):
        await outsider.get(f"/app/{app}/log", status=404)
        await outsider.get(f"/app/{app}/task/{task['id']}", status=404)
        await outsider.post(f"/app/{app}/log/resend", {}, status=404)
    await api.get(f"/app/{other_app}/task/{task['id']}", status=404)


async def test_an_invalid_filter_is_refused_with_a_message(api: Api, app: str) -> None:
    for query in ("event_type=or*", "http_class=9", "endpoint=x", "status=odd", "iterator=x", "tag=a%20b"):
        answer = await api.client.get(
            f"/api/v1/app/{app}/log?{query}", headers={"authorization": f"Bearer {api.token}"}
        )
        assert answer.status_code == 422, query
