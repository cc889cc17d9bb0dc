"""An application has a limit of endpoints; creating one more is refused with advice."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from angarium import build, keys
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.settings import load
from angarium.store import application as application_store
from angarium.store.database import Database
from tests.kit.at_work import services_of
from tests.kit.patience import PATIENCE
from tests.kit.stand import ORG, URL, Stand, product, standing
from tests.portal.visitor import visiting

HOOK = "http://127.0.0.1:9/hook"
ROOM = 3
FULL = {
    "code": "too_many_endpoints",
    "detail": "Endpoint limit reached (3). Delete endpoints you no longer need, or ask your operator "
    "for a higher limit.",
}
WEBHOOKS = FULL["detail"].replace("Endpoint", "Webhook").replace("endpoint", "webhook")


@pytest.fixture(params=["standard"])
async def stand(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    """The product named by the parameter, with room for three endpoints."""
    async with standing(database, product(request.param), endpoint_limit=ROOM) as made:
        yield made


async def call(stand: Stand, method: str, path: str, body: Any = None) -> httpx.Response:
    """As the operator, whatever comes of it."""
    return await stand.client.request(
        method,
        f"/api/v1/app/{stand.app_id}{path}",
        json=body,
        headers={"authorization": f"Bearer {stand.services.token.for_organization(ORG)}"},
    )


async def fill(stand: Stand, *uids: str) -> list[str]:
    """As many endpoints as there is room for; gives their ids."""
    named = [*uids, *[None] * (ROOM - len(uids))]
    return [await stand.endpoint(HOOK, uid=uid) for uid in named]


async def count(stand: Stand) -> int:
    (row,) = await stand.world.fetch("select count(*) from endpoint where deleted_at is null")
    return int(row[0])


def told(answers: Sequence[httpx.Response]) -> list[int]:
    return sorted(answer.status_code for answer in answers)


# -- the native API


async def test_an_endpoint_above_the_limit_is_refused_until_one_is_deleted(stand: Stand) -> None:
    first, *_ = await fill(stand)
    refused = await call(stand, "POST", "/endpoint", {"url": HOOK})
    assert (refused.status_code, refused.json()) == (400, FULL)
    assert await count(stand) == ROOM
    await stand.native("DELETE", f"/endpoint/{first}")
    await stand.endpoint(HOOK)
    assert (await call(stand, "POST", "/endpoint", {"url": HOOK})).status_code == 400


async def test_an_upsert_at_the_limit_only_replaces(stand: Stand) -> None:
    await fill(stand, "one")
    replaced = await call(stand, "PUT", "/endpoint/one", {"url": HOOK, "uid": "one", "description": "new"})
    assert (replaced.status_code, replaced.json()["description"]) == (200, "new")
    refused = await call(stand, "PUT", "/endpoint/two", {"url": HOOK, "uid": "two"})
    assert (refused.status_code, refused.json()) == (400, FULL)
    assert (await call(stand, "GET", "/endpoint/two")).status_code == 404


async def test_a_taken_uid_is_reported_also_at_the_limit(stand: Stand) -> None:
    await fill(stand, "one")
    assert (await call(stand, "POST", "/endpoint", {"url": HOOK, "uid": "one"})).status_code == 409


async def test_concurrent_creations_never_exceed_the_limit(stand: Stand) -> None:
    await stand.endpoint(HOOK)
    calls = [call(stand, "POST", "/endpoint", {"url": HOOK}) for _ in range(12)]
    upserts = [call(stand, "PUT", f"/endpoint/u{n}", {"url": HOOK, "uid": f"u{n}"}) for n in range(12)]
    answers = await asyncio.gather(*calls, *upserts)
    assert told(answers) == [201] * (ROOM - 1) + [400] * (24 - ROOM + 1)
    assert await count(stand) == ROOM


async def test_listeners_count_as_endpoints_and_an_existing_one_can_start_again(stand: Stand) -> None:
    opened = await stand.native("POST", "/listener", {"name": "laptop"})
    for _ in range(ROOM - 1):
        await stand.endpoint(HOOK)
    assert (await stand.native("POST", "/listener", {"name": "laptop"}))["id"] == opened["id"]
    refused = await call(stand, "POST", "/listener", {"name": "another"})
    assert (refused.status_code, refused.json()) == (400, FULL)


async def test_existing_endpoints_stay_when_the_limit_is_lowered(stand: Stand) -> None:
    made = await fill(stand)
    world, services = stand.world, stand.services
    lower = services_of(world, services.product, services.intake, endpoint_limit=1)
    application = await lower.application.find(ORG, stand.app_id)
    changed = await lower.endpoint.update(application, made[0], lambda draft: draft)
    assert ids.text(ids.ENDPOINT, changed.id) == made[0]
    await stand.send("order.filled")
    (row,) = await world.fetch("select count(*) from delivery")
    assert row[0] == ROOM
    await lower.endpoint.delete(application.id, made[0])


async def test_each_application_has_its_own_limit(stand: Stand) -> None:
    await fill(stand)
    other = await stand.native("POST", "//app", {"name": "other"})
    for _ in range(ROOM):
        await stand.native("POST", f"//app/{other['id']}/endpoint", {"url": HOOK})
    outsider = stand.services.token.for_organization("org_30rb8YdGqMT0qIzpgGwdXfHirMv")
    refused = await stand.client.post(
        f"/api/v1/app/{stand.app_id}/endpoint",
        json={"url": HOOK},
        headers={"authorization": f"Bearer {outsider}"},
    )
    assert refused.status_code == 404, "a stranger does not learn that it is full"


async def test_messages_are_accepted_while_an_endpoint_is_created(stand: Stand) -> None:
    await fill(stand)
    app_id = ids.parse(ids.APPLICATION, stand.app_id)
    assert app_id is not None
    async with asyncio.timeout(PATIENCE), stand.world.database.transaction() as connection:
        await application_store.hold(connection, ORG, app_id)
        await stand.send("order.filled")
        await stand.native("GET", "/endpoint")


async def test_the_setting_is_the_limit_of_a_server(database_url: str) -> None:
    settings = load(
        overrides={
            "endpoint_limit": 1,
            "secret_key": base64.b64encode(os.urandom(32)).decode(),
            "jwt_secret": "x" * 32,
        }
    )
    token = keys.tokens(settings).for_organization(ORG)
    async with (
        build.running(settings, database_url, role="api") as app,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url=f"{URL}/api/v1",
            headers={"authorization": f"Bearer {token}"},
        ) as client,
    ):
        made = (await client.post("/app", json={"name": "app"})).json()["id"]
        place, body = f"/app/{made}/endpoint", {"url": "https://example.com/hook"}
        answers = [await client.post(place, json=body) for _ in range(2)]
    assert told(answers) == [201, 400]
    assert "Endpoint limit reached (1)." in answers[1].json()["detail"]


# -- the products' own APIs


@pytest.mark.parametrize("stand", ["bluum"], indirect=True)
async def test_bluum_reports_the_limit_in_its_own_form(stand: Stand) -> None:
    await fill(stand)
    key = base64.b64encode(next(iter(stand.keys.values())).encode()).decode()
    refused = await stand.client.post(
        "/v1/webhooks",
        json={"url": HOOK, "eventTypeNames": ["order.filled"]},
        headers={"authorization": f"Basic {key}"},
    )
    assert refused.status_code == 400
    assert refused.json() == {
        "error": {"type": "invalid_request_error", "code": "BLUM-400-001", "message": WEBHOOKS}
    }
    assert await count(stand) == ROOM


@pytest.mark.parametrize("stand", ["bluma"], indirect=True)
async def test_bluma_reports_the_limit_in_its_own_form(stand: Stand) -> None:
    await fill(stand)
    refused = await stand.client.post(
        "/api/v1/webhooks",
        json={"url": HOOK, "events": ["video.completed"]},
        headers={"authorization": f"Bearer {stand.keys['webhooks:manage']}"},
    )
    assert refused.status_code == 400
    assert refused.json() == {
        "error": {"type": "invalid_request", "title": "Invalid Request", "status": 400, "detail": WEBHOOKS}
    }
    assert await count(stand) == ROOM


# -- the portal, which is all that Bloom's customers have


@pytest.mark.parametrize("stand", ["standard", "bloom"], indirect=True)
async def test_the_form_reports_the_limit_and_keeps_its_fields(stand: Stand) -> None:
    await fill(stand)
    form = {"url": HOOK, "description": "For the books", "every": "all"}
    async with visiting(stand) as visitor:
        page = (await visitor.post("/endpoints", form, status=400)).text
        assert f'role="alert">{FULL["detail"]}</p>' in page
        assert 'value="For the books"' in page
        assert await count(stand) == ROOM
        (first, *_) = (await stand.native("GET", "/endpoint"))["data"]
        await stand.native("DELETE", f"/endpoint/{first['id']}")
        await visitor.post("/endpoints", form)
        assert await count(stand) == ROOM
    async with visiting(stand, capabilities=[Capability.VIEW]) as reader:
        refused = await reader.post("/endpoints", form, status=403)
        assert "room" not in refused.text
