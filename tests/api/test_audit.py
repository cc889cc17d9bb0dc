"""Who did what: every change has its record, in the same transaction, and no record is ever changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from angarium.core import ids
from angarium.core.audit import SYSTEM, AuditEvent
from angarium.core.errors import NotFound, StoreUnavailable
from angarium.core.profile_table import Portal
from angarium.service.application import ApplicationDraft
from angarium.service.endpoint_field import EndpointDraft
from angarium.service.login import FAILURES
from angarium.store import audit as store
from angarium.store.database import Database
from tests.api.conftest import Api, Backend

SECRET = "whsec_" + "YSBzZWNyZXQgdGhhdCBub2JvZHkgc2VlcyAuLg=="


async def actions(api: Api, **wanted: Any) -> list[str]:
    return [one["action"] for one in (await api.get("/audit", **wanted))["data"]]


async def newest(api: Api, action: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get("/audit", action=action))["data"][0]
    return found


async def test_every_change_over_the_api_has_its_record(api: Api) -> None:
    app = await api.application("First", uid="first")
    await api.patch(f"/app/{app}", {"name": "Second"})
    await api.event_type("order.filled")
    await api.patch("/event-type/order.filled", {"description": "Other words."})
    endpoint = await api.endpoint(app, headers={"X-Token": "tender"}, secret=SECRET)
    at = f"/app/{app}/endpoint/{endpoint}"
    await api.patch(at, {"url": "http://localhost:9/other?key=hush", "description": "Ours"})
    await api.call("PATCH", f"{at}/headers", {"headers": {"X-Token": "tougher"}}, status=204)
    await api.post(f"{at}/secret/rotate", {}, status=204)
    await api.patch(at, {"disabled": True})
    await api.patch(at, {"disabled": False})
    sent = await api.post(f"/app/{app}/msg", {"eventType": "order.filled", "payload": {}}, status=202)
    await api.post(f"/app/{app}/msg/{sent['id']}/endpoint/{endpoint}/resend", status=202)
    await api.post(f"{at}/send-example", {"eventType": "svix.ping"}, status=202)
    await api.delete(f"/app/{app}/msg/{sent['id']}/content")
    await api.post(f"/auth/app-portal-access/{app}", {"readOnly": True}, status=200)
    await api.post(f"/auth/app/{app}/expire-all", {}, status=204)
    await api.delete(at)
    await api.delete("/event-type/order.filled", expunge=True)
    await api.delete(f"/app/{app}")
    assert (await actions(api))[::-1] == [
        "application.created",
        "application.updated",
        "event_type.created",
        "event_type.updated",
        "endpoint.created",
        "endpoint.updated",
        "endpoint.headers.changed",
        "endpoint.secret.rotated",
        "endpoint.disabled",
        "endpoint.enabled",
        "message.resent",
        "endpoint.test.sent",
        "message.expunged",
        "portal_link.made",
        "token.all_ended",
        "endpoint.deleted",
        "event_type.expunged",
        "application.deleted",
    ]


async def test_a_record_says_who_and_what_and_from_where_and_no_secret(api: Api) -> None:
    app = await api.application("First")
    endpoint = await api.endpoint(app, headers={"X-Token": "tender"}, secret=SECRET)
    at = f"/app/{app}/endpoint/{endpoint}"
    await api.patch(at, {"url": "http://localhost:9/other?key=hush", "description": "Ours"})
    await api.put(f"{at}/headers", {"headers": {"X-Token": "tougher", "X-More": "m"}}, status=204)
    await api.post(f"{at}/secret/rotate", {}, status=204)
    changed = await newest(api, "endpoint.updated")
    assert changed["actor"]["kind"] == "organization-token"
    assert changed["actor"]["address"] == "127.0.0.1"
    assert changed["applicationId"] == app
    assert changed["target"] == endpoint
    assert changed["before"] == {"description": "", "url": "http://localhost:9/hook"}
    assert changed["after"]["description"] == "Ours"
    assert changed["after"]["url"].startswith("http://localhost:9/other?#")
    headers = await newest(api, "endpoint.headers.changed")
    assert headers["before"] == {"headers": ["X-Token"]}
    assert headers["after"] == {"headers": ["X-More", "X-Token"], "headersSet": ["X-More", "X-Token"]}
    everything = str(await api.get("/audit"))
    for hidden in ("hush", "tender", "tougher", SECRET, SECRET.removeprefix("whsec_"), api.token):
        assert hidden not in everything


async def test_a_request_that_changes_nothing_is_not_recorded(api: Api) -> None:
    app = await api.application("First", uid="first")
    await api.patch(f"/app/{app}", {"name": "First"})
    await api.put("/app/first", {"name": "First", "uid": "first"})
    assert await actions(api) == ["application.created"]


async def test_records_are_found_by_application_action_and_time(api: Api) -> None:
    one, other = await api.application("One", uid="one"), await api.application("Other")
    await api.endpoint(one)
    await api.delete(f"/app/{other}")
    assert await actions(api, application=one) == ["endpoint.created", "application.created"]
    assert await actions(api, application="one") == ["endpoint.created", "application.created"]
    # by its id also what was deleted is found
    assert await actions(api, application=other) == ["application.deleted", "application.created"]
    assert await actions(api, application="nobody") == []
    assert await actions(api, action="application") == ["application.deleted"] + ["application.created"] * 2
    assert await actions(api, action="application.deleted") == ["application.deleted"]
    assert await actions(api, action="app") == []
    times = [record["timestamp"] for record in (await api.get("/audit"))["data"]]
    assert await actions(api, until=times[0]) == (await actions(api))[1:]
    assert await actions(api, since="2020-01-01T00:00:00Z", until="2021-01-01T00:00:00Z") == []
    await api.get("/audit", status=422, action="not an action")
    await api.get("/audit", status=422, iterator="audit_nonsense")


async def test_pages_lead_through_all_records_and_back(api: Api) -> None:
    for number in range(7):
        await api.application(f"App {number}")
    everything = [one["id"] for one in (await api.get("/audit"))["data"]]
    seen: list[str] = []
    iterator = None
    while True:
        page = await api.get("/audit", limit=3, **({"iterator": iterator} if iterator else {}))
        seen += [one["id"] for one in page["data"]]
        if page["done"]:
            break
        iterator = page["iterator"]
    assert seen == everything
    back = await api.get("/audit", limit=3, iterator=page["prevIterator"])
    assert [one["id"] for one in back["data"]] == everything[3:6]


async def test_only_the_organization_reads_its_records(api: Api, new_organization: Callable[[], Api]) -> None:
    app = await api.application("First")
    assert await actions(new_organization()) == []
    assert await actions(new_organization(), application=app) == []
    await api.as_application(app).get("/audit", status=403)


async def _count(database: Database, table: str) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval(f"select count(*) from {table}"))


async def test_a_change_whose_record_cannot_be_written_is_not_made(
    api: Api, backend: Backend, database: Database
) -> None:
    app = await api.application("First", uid="first")
    endpoint = await api.endpoint(app)
    async with database.connection() as connection:
        await connection.execute(
            "create function refuse() returns trigger language plpgsql as "
            "$$ begin raise exception 'no room' using errcode = '53100'; end $$"
        )
        for table in ("audit", "angarium.audit"):
            await connection.execute(
                f"create trigger refuse before insert on {table} for each row execute function refuse()"
            )
    at = f"/app/{app}/endpoint/{endpoint}"
    before = await api.get(at)
    await api.post("/app", {"name": "Second"}, status=503)
    await api.post(f"/app/{app}/endpoint", {"url": "http://localhost:9/x"}, status=503)
    await api.call("PATCH", at, {"description": "New"}, status=503)
    await api.post(f"{at}/secret/rotate", {}, status=503)
    await api.call("DELETE", at, status=503)
    await api.post("/event-type", {"name": "a.b", "description": ""}, status=503)
    await api.post(f"{at}/send-example", {"eventType": "svix.ping"}, status=503)
    await api.post(f"/auth/app-portal-access/{app}", {}, status=503)
    assert await api.get(at) == before
    assert await _count(database, "application") == 1
    assert await _count(database, "endpoint") == 1
    assert await _count(database, "event_type") == 0
    assert await _count(database, "message") == 0
    assert await _count(database, "audit") == 2


async def test_a_change_that_is_not_committed_leaves_no_record(
    backend: Backend, database: Database, api: Api
) -> None:
    app = await api.application("First")
    made = await backend.services.application.find(api.org_id, app)
    async with database.connection() as connection:
        # refuses at the commit itself, after everything was written
        await connection.execute(
            "create function late() returns trigger language plpgsql as "
            "$$ begin raise exception 'no room' using errcode = '53100'; end $$"
        )
        await connection.execute(
            "create constraint trigger late after insert or update on endpoint "
            "deferrable initially deferred for each row execute function late()"
        )
    with pytest.raises(StoreUnavailable):
        await backend.services.endpoint.create(made, EndpointDraft(url="http://localhost:9/x"))
    assert await _count(database, "endpoint") == 0
    assert await actions(api) == ["application.created"]


async def test_automatic_changes_have_the_system_as_actor(database: Database) -> None:
    app_id = ids.new(1.7e9, os.urandom(8))
    audit_event = AuditEvent(
        "org_x", app_id, "endpoint.disabled", "ep_x", {"disabled": False}, {"disabled": True}
    )
    async with database.transaction() as connection:
        await store.record(connection, ids.new(1.7e9, os.urandom(8)), SYSTEM, audit_event)
    async with database.connection() as connection:
        assert await connection.fetchval("select actor from audit") == "system"


async def test_revoking_a_key_revokes_its_links(backend: Backend, api: Api) -> None:
    services = backend.services
    application = await services.application.create(api.org_id, ApplicationDraft("First"))
    shown = services.api_key.draw("sk_live_", with_secret=False)
    await services.api_key.register(
        shown, org_id=api.org_id, app_id=application.id, scope="organization", name="k"
    )
    (key,) = await services.api_key.keys(api.org_id)
    theirs = await services.portal_link.give(
        api.org_id, application.id, Portal(), origin=(await services.api_key.verify(shown.key)).origin
    )
    mine = services.token.verify(api.token).origin
    others = await services.portal_link.give(api.org_id, application.id, Portal(), origin=mine)
    session = await services.portal_link.open(theirs.key)
    await services.api_key.revoke(api.org_id, key.id)
    for claims in (session.claims, services.token.verify(theirs.token)):
        with pytest.raises(Exception, match="Invalid token"):
            await services.token.check_live(claims)
    await services.token.check_live(services.token.verify(others.token))
    assert await actions(api, action="api_key") == ["api_key.revoked", "api_key.made"]


async def test_guesses_are_throttled_and_valid_calls_are_not(api: Api, backend: Backend) -> None:
    async def guess(number: int) -> Any:
        return await api.client.get("/api/v1/app", headers={"authorization": f"Bearer guess-{number}"})

    backend.clock.stop()
    answers = [await guess(number) for number in range(FAILURES + 5)]
    assert [one.status_code for one in answers] == [401] * FAILURES + [429] * 5
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    await api.get("/app")
    key = await api.client.post("/login/session", json={"key": "bm9uc2Vuc2U"})
    assert key.status_code == 429
    assert int(key.headers["retry-after"]) >= 1


async def test_the_login_throttle_recovers_with_time_and_is_bounded(backend: Backend) -> None:
    from angarium.core.errors import NotAuthenticated, TooManyFailures
    from angarium.service import audit, login
    from tests.kit.clock import ManualClock

    clock = ManualClock()
    watch = login.LoginThrottle(clock)

    def fail(address: str | None) -> None:
        audit.arrived(address)
        with watch.watching("token"):
            raise NotAuthenticated

    for _ in range(FAILURES):
        with pytest.raises(NotAuthenticated):
            fail("192.0.2.1")
    with pytest.raises(TooManyFailures):
        fail("192.0.2.1")
    with pytest.raises(NotAuthenticated):
        fail("192.0.2.2")
    await clock.advance_to(clock.now() + login.EVERY * 2)
    with pytest.raises(NotAuthenticated):
        fail("192.0.2.1")
    # one IPv6 network is one neighbour
    for number in range(FAILURES):
        with pytest.raises(NotAuthenticated):
            fail(f"2001:db8::{number:x}")
    with pytest.raises(TooManyFailures):
        fail("2001:db8::ffff")
    for number in range(login.MOST_KNOWN + 100):
        with pytest.raises(NotAuthenticated):
            fail(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(watch._empty_at) == login.MOST_KNOWN
    with pytest.raises(NotAuthenticated):
        fail("not an address " * 100)
    with pytest.raises(NotFound), watch.watching("token"):
        raise NotFound
