"""Endpoints over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from angarium.core.errors import Invalid
from angarium.core.ids import ENDPOINT, parse, text
from angarium.service.endpoint_field import EndpointDraft
from angarium.store.connection import Connection
from tests.api.conftest import Api, Backend
from tests.kit.task import finish_tasks

URL = "http://localhost:9/hook"


async def test_a_new_endpoint_has_every_field_in_both_spellings(api: Api) -> None:
    app = await api.application()
    made = await api.post(f"/app/{app}/endpoint", {"url": "http://EXAMPLE.com"})
    assert made.pop("id").startswith("ep_")
    assert made.pop("createdAt") == made.pop("updatedAt")
    assert made == {
        "uid": None,
        "url": "http://example.com/",
        "description": "",
        "version": 1,
        "rateLimit": None,
        "throttleRate": None,
        "eventTypes": None,
        "filterTypes": None,
        "channels": None,
        "metadata": {},
        "disabled": False,
        "fifo": False,
    }


async def test_an_endpoint_can_be_created_read_replaced_and_deleted(api: Api) -> None:
    app, other = await api.application(), await api.application()
    made = await api.post(f"/app/{app}/endpoint", {"url": URL, "metadata": {"k": "v"}, "description": "d"})
    path = f"/app/{app}/endpoint/{made['id']}"
    assert await api.get(path) == made
    await api.get(f"/app/{other}/endpoint/{made['id']}", status=404)
    secret = await api.get(f"{path}/secret")
    replaced = await api.put(path, {"url": "https://Example.COM/X"})
    assert replaced["url"] == "https://example.com/X"
    assert replaced["metadata"] == {}
    assert await api.get(f"{path}/secret") == secret
    new = await api.put(f"/app/{app}/endpoint/nobody", {"url": URL, "uid": "somebody"}, status=201)
    assert await api.get(f"/app/{app}/endpoint/somebody") == new
    await api.delete(path)
    await api.get(path, status=404)
    await api.delete(path, status=404)


async def test_patch_sets_and_unsets_each_field_alone(api: Api) -> None:
    app = await api.application()
    await api.event_type("order.filled")
    before = await api.post(f"/app/{app}/endpoint", {"url": URL})
    path = f"/app/{app}/endpoint/{before['id']}"
    types = {"eventTypes": ["order.filled"], "filterTypes": ["order.filled"]}
    none = {"eventTypes": None, "filterTypes": None}
    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"url": "http://localhost/y"}, {"url": "http://localhost/y"}),
        ({"description": "d"}, {"description": "d"}),
        ({"version": 2}, {"version": 2}),
        ({"throttleRate": 5}, {"throttleRate": 5, "rateLimit": 5}),
        ({"rateLimit": 6}, {"throttleRate": 6, "rateLimit": 6}),
        ({"rateLimit": None}, {"throttleRate": None, "rateLimit": None}),
        ({"uid": "u"}, {"uid": "u"}),
        ({"eventTypes": ["order.filled", "order.filled"]}, types),
        ({"eventTypes": None}, none),
        ({"filterTypes": ["order.filled"]}, types),
        ({"filterTypes": None}, none),
        ({"channels": ["a", "b:c"]}, {"channels": ["a", "b:c"]}),
        ({"channels": None}, {"channels": None}),
        ({"metadata": {"k": "v"}}, {"metadata": {"k": "v"}}),
        ({"metadata": None}, {"metadata": {}}),
        ({"disabled": True}, {"disabled": True}),
        ({"disabled": False}, {"disabled": False}),
        ({"fifo": True}, {"fifo": True}),
        ({}, {}),
    ]
    for change, expected in steps:
        after = await api.patch(path, change)
        before = {**before, **expected, "updatedAt": after["updatedAt"]}
        assert after == before, change
    assert (await api.patch(path, {"uid": None}))["uid"] is None
    for wrong in ({"url": None}, {"url": "ftp://x"}, {"disabled": None}, {"disabled": 1}, {"version": 0}):
        await api.patch(path, wrong, status=422)


async def test_a_list_is_newest_first_and_walked_both_ways(api: Api) -> None:
    app = await api.application()
    made = [await api.endpoint(app) for _ in range(5)]
    stranger = await api.application()
    await api.endpoint(stranger)

    def ids(page: Any) -> list[str]:
        return [one["id"] for one in page["data"]]

    path = f"/app/{app}/endpoint"
    assert ids(await api.get(path)) == made[::-1]
    assert ids(await api.get(path, order="ascending")) == made
    first = await api.get(path, limit=2)
    second = await api.get(path, limit=2, iterator=first["iterator"])
    assert ids(second) == [made[2], made[1]]
    assert ids(await api.get(path, limit=2, iterator=second["prevIterator"])) == ids(first)
    await api.get(path, status=422, iterator=app)
    await api.get("/app/nobody/endpoint", status=404)


async def test_a_uid_is_unique_in_the_application_until_deleted(api: Api) -> None:
    app, other = await api.application(), await api.application()
    one = await api.endpoint(app, uid="u")
    await api.endpoint(other, uid="u")
    two = await api.endpoint(app)
    await api.post(f"/app/{app}/endpoint", {"url": URL, "uid": "u"}, status=409)
    await api.put(f"/app/{app}/endpoint/{two}", {"url": URL, "uid": "u"}, status=409)
    await api.patch(f"/app/{app}/endpoint/{two}", {"uid": "u"}, status=409)
    await api.post(f"/app/{app}/endpoint", {"url": URL, "uid": "ep_x"}, status=422)
    await api.delete(f"/app/{app}/endpoint/u")
    await api.patch(f"/app/{app}/endpoint/{two}", {"uid": "u"})
    assert (await api.get(f"/app/{app}/endpoint/u"))["id"] == two != one


@pytest.mark.parametrize("field", ["eventTypes", "filterTypes", "channels"])
async def test_an_empty_filter_is_refused_wherever_it_is_written_and_changes_nothing(
    api: Api, field: str
) -> None:
    app = await api.application()
    await api.event_type("order.filled")
    path = f"/app/{app}/endpoint"
    before = await api.post(path, {"url": URL, "eventTypes": ["order.filled"], "channels": ["a"]})
    one = f"{path}/{before['id']}"
    for method, place in (("POST", path), ("PUT", one), ("PUT", f"{path}/unknown"), ("PATCH", one)):
        refused = await api.call(method, place, {"url": URL, field: []}, status=422)
        assert [fault["loc"] for fault in refused["detail"]] == [["body", field]], method
    assert await api.get(one) == before
    assert len((await api.get(path))["data"]) == 1


@pytest.mark.parametrize("empty", [{"event_types": ()}, {"channels": ()}], ids=["event types", "channels"])
async def test_no_interface_can_store_an_empty_filter(
    api: Api, backend: Backend, empty: dict[str, Any]
) -> None:
    """Pages, commands and products' own APIs come by the service, past the checks of this API's bodies."""
    app = await backend.services.application.find(api.org_id, await api.application())
    with pytest.raises(Invalid):
        await backend.services.endpoint.create(app, EndpointDraft(URL, **empty))
    made = await backend.services.endpoint.create(app, EndpointDraft(URL, event_types=("order.*",)))
    ref = text(ENDPOINT, made.id)
    with pytest.raises(Invalid):
        await backend.services.endpoint.update(app, ref, lambda draft: replace(draft, **empty))
    with pytest.raises(Invalid):
        await backend.services.endpoint.upsert(app, ref, EndpointDraft(URL, **empty), headers=None)
    assert await backend.services.endpoint.find(app.id, ref) == made


async def test_two_names_of_one_filter_must_agree(api: Api) -> None:
    app = await api.application()
    for name in ("order.filled", "order.made"):
        await api.event_type(name)
    path = f"/app/{app}/endpoint"
    made = await api.post(path, {"url": URL, "eventTypes": ["order.made"], "filterTypes": ["order.made"]})
    one = f"{path}/{made['id']}"
    differ = {"url": URL, "eventTypes": ["order.made"], "filterTypes": ["order.filled"]}
    for method, place in (("POST", path), ("PUT", one), ("PATCH", one)):
        refused = await api.call(method, place, differ, status=422)
        assert [fault["loc"] for fault in refused["detail"]] == [["body", "filterTypes"]], method
    await api.patch(one, {"eventTypes": None, "filterTypes": ["order.filled"]}, status=422)
    assert (await api.get(one))["eventTypes"] == ["order.made"]
    # what was read can be written back
    assert (await api.put(one, await api.get(one)))["filterTypes"] == ["order.made"]


async def test_event_types_must_exist_and_wildcards_be_well_formed(api: Api) -> None:
    app = await api.application()
    path = f"/app/{app}/endpoint"
    for name in ("eventTypes", "filterTypes"):
        await api.post(path, {"url": URL, name: []}, status=422)
        refused = await api.post(path, {"url": URL, name: ["order.filled"]}, status=422)
        assert refused["detail"][0]["loc"] == ["body", "eventTypes"]
    await api.event_type("order.filled")
    endpoint = await api.endpoint(app, filterTypes=["order.filled"])
    assert (await api.get(f"{path}/{endpoint}"))["eventTypes"] == ["order.filled"]
    wild = await api.endpoint(app, eventTypes=["order.*", "*"])
    assert (await api.get(f"{path}/{wild}"))["filterTypes"] == ["order.*", "*"]
    for wrong in ("order.", "*.filled", "order*", "or der.*", ".*", "**"):
        await api.post(path, {"url": URL, "eventTypes": [wrong + " "]}, status=422)
    for wrong in ("*.filled", "order*", ".*", "**"):
        await api.post(path, {"url": URL, "eventTypes": [wrong]}, status=422)
    await api.delete("/event-type/order.filled")
    await api.post(path, {"url": URL, "eventTypes": ["order.filled"]}, status=422)
    # what was chosen before it was archived does not stand in the way of another change
    await api.patch(f"{path}/{endpoint}", {"description": "still fine"})
    await api.put(f"{path}/{endpoint}", {"url": URL})
    assert (await api.get(f"{path}/{endpoint}"))["eventTypes"] is None


async def test_channels_need_no_registration_but_have_a_format(api: Api) -> None:
    path = f"/app/{await api.application()}/endpoint"
    for wrong in ([], ["a b"], ["x"] + [f"c{i}" for i in range(10)], ["x" * 129], [""], "a"):
        await api.post(path, {"url": URL, "channels": wrong}, status=422)
    made = await api.post(path, {"url": URL, "channels": ["a", "b"]})
    assert made["channels"] == ["a", "b"]


async def test_the_rate_limit_is_kept_and_put_without_it_clears_it(api: Api) -> None:
    app = await api.application()
    for limit in (1, 9, 65535):
        endpoint = await api.endpoint(app, rateLimit=limit)
        path = f"/app/{app}/endpoint/{endpoint}"
        assert (await api.get(path))["throttleRate"] == limit
        assert (await api.put(path, {"url": URL}))["rateLimit"] is None
    await api.post(f"/app/{app}/endpoint", {"url": URL, "rateLimit": 0}, status=422)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com",
        "http://",
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://2130706433.1.1.1.1/",
        "http://x/" + "y" * 65_536,
        "http://exa mple.com",
        5,
        None,
    ],
)
async def test_a_url_that_cannot_be_sent_to_is_refused(api: Api, url: object) -> None:
    app = await api.application()
    refused = await api.post(f"/app/{app}/endpoint", {"url": url}, status=422)
    assert refused["detail"][0]["loc"] == ["body", "url"]


async def test_of_two_concurrent_changes_none_is_lost(api: Api) -> None:
    import asyncio

    app = await api.application()
    endpoint = await api.endpoint(app)
    path = f"/app/{app}/endpoint/{endpoint}"
    await asyncio.gather(
        api.patch(path, {"description": "d"}),
        api.patch(path, {"metadata": {"k": "v"}}),
        api.patch(path, {"rateLimit": 3}),
        api.call("PATCH", f"{path}/headers", {"headers": {"X-A": "1"}}, status=204),
        api.call("PATCH", f"{path}/headers", {"headers": {"X-B": "2"}}, status=204),
    )
    after = await api.get(path)
    assert (after["description"], after["metadata"], after["rateLimit"]) == ("d", {"k": "v"}, 3)
    assert (await api.get(f"{path}/headers"))["headers"] == {"X-A": "1", "X-B": "2"}


async def test_every_change_notifies_the_dispatcher(api: Api, backend: Backend) -> None:
    app = await api.application()
    endpoint = await api.endpoint(app)
    uuid = parse("ep_", endpoint)
    assert uuid is not None
    path = f"/app/{app}/endpoint/{endpoint}"
    heard: list[str] = []
    connection = await backend.services.database.dedicated()
    try:
        await connection.add_listener("angarium", lambda *args: heard.append(args[-1]))
        for change in (
            api.patch(path, {"description": "d"}),
            api.put(path, {"url": URL}),
            api.put(f"{path}/headers", {"headers": {}}, status=204),
            api.post(f"{path}/secret/rotate", {}, status=204),
            api.patch(f"/app/{app}", {"rateLimit": 4}),
            api.delete(path),
        ):
            heard.clear()
            before = await _revision(connection, uuid)
            await change
            await connection.fetchval("select 1")  # what was notified arrives before this answer
            assert heard == [f"e:{uuid.hex}"]
            assert await _revision(connection, uuid) == before + 1
    finally:
        await connection.close()


async def _revision(connection: Connection, endpoint_id: UUID) -> int:
    return int(await connection.fetchval("select revision from endpoint where id = $1", endpoint_id))


async def test_disabling_and_deleting_cancel_queued_deliveries(api: Api, backend: Backend) -> None:
    app = await api.application()
    disabled, deleted, kept = [await api.endpoint(app) for _ in range(3)]
    await api.post(f"/app/{app}/msg", {"eventType": "e", "payload": {}}, status=202)
    await api.patch(f"/app/{app}/endpoint/{disabled}", {"disabled": True})
    await api.delete(f"/app/{app}/endpoint/{deleted}")
    async with backend.services.database.connection() as connection:
        rows = await connection.fetch("select endpoint_id, state, due_at from delivery")
    found = {row["endpoint_id"]: (row["state"], row["due_at"] is None) for row in rows}
    assert found == {
        parse("ep_", disabled): (4, True),
        parse("ep_", deleted): (4, True),
        parse("ep_", kept): (1, False),
    }
    stats = await api.get(f"/app/{app}/endpoint/{disabled}/stats")
    assert stats == {"success": 0, "pending": 0, "sending": 0, "fail": 0, "canceled": 1}


async def test_deleting_an_application_cancels_its_queued_deliveries(api: Api, backend: Backend) -> None:
    app = await api.application(uid="gone")
    for _ in range(3):
        await api.endpoint(app)
    await api.post(f"/app/{app}/msg", {"eventType": "e", "payload": {}}, status=202)
    await api.delete(f"/app/{app}")
    await finish_tasks(backend.services.database, backend.clock)
    async with backend.services.database.connection() as connection:
        states = await connection.fetch("select state from delivery where due_at is null")
    assert [row["state"] for row in states] == [4, 4, 4]
    await api.get(f"/app/{app}/endpoint", status=404)
    await api.post(f"/app/{app}/msg", {"eventType": "e", "payload": {}}, status=404)
    await api.application(uid="gone")


async def test_queued_deliveries_are_placed_when_the_order_becomes_first_in_first_out(
    api: Api, backend: Backend
) -> None:
    app = await api.application()
    endpoint = await api.endpoint(app)
    await api.post(f"/app/{app}/msg", {"eventType": "e", "payload": {}}, status=202)

    async def place() -> int | None:
        async with backend.services.database.connection() as connection:
            found: int | None = await connection.fetchval("select seq from pending")
            return found

    assert await place() is None
    await api.patch(f"/app/{app}/endpoint/{endpoint}", {"fifo": True})
    assert await place() == 0


async def test_enabling_resets_the_failures(api: Api, backend: Backend) -> None:
    app = await api.application()
    endpoint = await api.endpoint(app, disabled=True)
    async with backend.services.database.connection() as connection:
        await connection.execute(
            "insert into endpoint_health (app_id, endpoint_id, failures) values ($1, $2, 9)",
            parse("app_", app),
            parse("ep_", endpoint),
        )
    await api.patch(f"/app/{app}/endpoint/{endpoint}", {"disabled": False})
    async with backend.services.database.connection() as connection:
        assert await connection.fetchval("select count(*) from endpoint_health") == 0


async def test_statistics_cover_at_most_28_days(api: Api) -> None:
    app = await api.application()
    path = f"/app/{app}/endpoint/{await api.endpoint(app)}/stats"
    assert await api.get(path) == {"success": 0, "pending": 0, "sending": 0, "fail": 0, "canceled": 0}
    for since, until in (
        ("2020-01-01T00:00:00Z", "2020-02-15T00:00:00Z"),
        ("2020-01-02T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("2020-01-02T00:00:00Z", "2999-01-01T00:00:00Z"),
    ):
        refused = await api.get(path, status=400, since=since, until=until)
        assert refused["code"] == "invalid_range"
    await api.get(path, since="2020-01-01T00:00:00Z", until="2020-01-29T00:00:00Z")
    await api.get(path, since="0001-01-01T00:00:00Z", until="0001-01-02T00:00:00Z")
    await api.get(path, status=422, since="0001-01-01T00:00:00+14:00", until="0001-01-02T00:00:00+14:00")
    await api.get(path, status=422, since="yesterday")


async def test_an_example_is_sent_to_one_endpoint_only(api: Api, backend: Backend) -> None:
    app = await api.application()
    chosen, _ = await api.endpoint(app), await api.endpoint(app)
    path = f"/app/{app}/endpoint/{chosen}/send-example"
    sent = await api.post(path, {"eventType": "svix.ping"}, status=202)
    assert sent["payload"] == {"success": True}
    await api.event_type("a", schemas={"1": {"type": "object", "examples": [{"n": 1}, {"n": 2}]}})
    assert (await api.post(path, {"eventType": "a"}, status=202))["payload"] == {"n": 1}
    assert (await api.post(path, {"eventType": "a", "exampleIndex": 1}, status=202))["payload"] == {"n": 2}
    await api.event_type("b", schemas={"1": {"example": {"m": 1}}})
    assert (await api.post(path, {"eventType": "b"}, status=202))["payload"] == {"m": 1}
    await api.event_type("c")
    for wrong in ({"eventType": "c"}, {"eventType": "a", "exampleIndex": 2}):
        assert (await api.post(path, wrong, status=400))["code"] == "invalid_scheme"
    assert (await api.post(path, {"eventType": "no"}, status=404))["code"] == "not_found"
    assert {owed.endpoint_id for owed in backend.new_deliveries} == {parse("ep_", chosen)}


async def test_an_unauthenticated_caller_reaches_nothing(
    api: Api, new_organization: Callable[[], Api]
) -> None:
    app = await api.application()
    endpoint = await api.endpoint(app)
    path = f"/app/{app}/endpoint/{endpoint}"
    other = await api.application()
    for outsider in (new_organization(), api.as_application(other)):
        for part in ("", "/secret", "/headers", "/stats"):
            await outsider.get(path + part, status=404)
        await outsider.put(path, {"url": URL}, status=404)
        await outsider.patch(path, {"description": "mine"}, status=404)
        await outsider.delete(path, status=404)
        await outsider.put(f"{path}/headers", {"headers": {}}, status=404)
        await outsider.post(f"{path}/secret/rotate", {}, status=404)
        await outsider.get(f"/app/{app}/endpoint", status=404)
        await outsider.post(f"/app/{app}/endpoint", {"url": URL}, status=404)
    assert (await api.get(path))["description"] == ""
