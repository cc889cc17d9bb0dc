"""Event types over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from angarium.core.json_schema import MAX_BYTES, MAX_DEPTH
from angarium.service.event_type import MAX_VERSIONS
from tests.api.conftest import Api

SCHEMA = {"type": "object", "properties": {"id": {"type": "string"}}}


async def test_an_event_type_can_be_created_read_listed_and_archived(api: Api) -> None:
    body = {"name": "order.filled", "description": "Filled.", "schemas": {"1": SCHEMA}, "groupName": "order"}
    made = await api.post("/event-type", body)
    assert made["schemas"] == {"1": SCHEMA}
    assert made["archived"] is made["deprecated"] is False
    assert made["featureFlags"] is None
    assert made["groupName"] == "order"
    assert await api.get("/event-type/order.filled") == made
    assert (await api.get("/event-type"))["data"] == [{**made, "schemas": None}]
    assert (await api.get("/event-type", with_content=True))["data"] == [made]
    conflict = await api.post("/event-type", body, status=409)
    assert conflict["code"] == "event_type_exists"
    await api.delete("/event-type/order.filled")
    assert (await api.get("/event-type/order.filled"))["archived"] is True
    assert (await api.get("/event-type"))["data"] == []
    assert len((await api.get("/event-type", include_archived=True))["data"]) == 1
    again = await api.post("/event-type", {"name": "order.filled", "description": "Again."})
    assert again["archived"] is False
    assert again["description"] == "Again."
    await api.delete("/event-type/order.filled", expunge=True)
    await api.get("/event-type/order.filled", status=404)
    await api.delete("/event-type/order.filled", status=404)


async def test_put_creates_or_replaces(api: Api) -> None:
    made = await api.put("/event-type/a.b", {"description": "One", "featureFlags": ["beta"]}, status=201)
    assert made["featureFlag"] == "beta"
    replaced = await api.put("/event-type/a.b", {"description": "Two"})
    assert replaced["description"] == "Two"
    assert replaced["featureFlags"] is None
    assert replaced["featureFlag"] is None
    assert replaced["createdAt"] == made["createdAt"]
    await api.put("/event-type/a%20b", {"description": "No"}, status=422)
    await api.put("/event-type/a%00b", {"description": "No"}, status=422)


async def test_patch_changes_one_thing_at_a_time(api: Api) -> None:
    await api.event_type("e", schemas={"1": SCHEMA}, featureFlag="old")
    before = await api.get("/event-type/e")
    for change, expected in (
        ({"description": "New"}, {"description": "New"}),
        ({"deprecated": True}, {"deprecated": True}),
        ({"archived": True}, {"archived": True}),
        ({"schemas": None}, {"schemas": None}),
        ({"featureFlags": ["a", "b"]}, {"featureFlags": ["a", "b"], "featureFlag": "a"}),
        ({"featureFlag": "c"}, {"featureFlags": ["c"], "featureFlag": "c"}),
        ({"groupName": "g"}, {"groupName": "g"}),
        ({"groupName": None}, {"groupName": None}),
        ({}, {}),
    ):
        after = await api.patch("/event-type/e", change)
        before = {**before, **expected, "updatedAt": after["updatedAt"]}
        assert after == before
    cleared = await api.patch("/event-type/e", {"featureFlag": None})
    assert cleared["featureFlags"] is None
    await api.patch("/event-type/nobody", {"description": "x"}, status=404)
    await api.patch("/event-type/e", {"description": None}, status=422)


async def test_an_application_sees_event_types_of_its_feature_flags(
    api: Api, new_organization: Callable[[], Api]
) -> None:
    app = await api.application()
    await api.event_type("open")
    await api.event_type("secret", featureFlags=["beta", "gamma"])
    plain, tester = api.as_application(app), api.as_application(app, feature_flags=["gamma"])

    async def names(caller: Api) -> list[str]:
        return [one["name"] for one in (await caller.get("/event-type"))["data"]]

    assert await names(api) == ["open", "secret"]
    assert await names(tester) == ["open", "secret"]
    assert await names(plain) == ["open"]
    await plain.get("/event-type/secret", status=404)
    await tester.get("/event-type/secret")
    await tester.post("/event-type", {"name": "mine", "description": ""}, status=403)
    assert await names(new_organization()) == []


async def test_a_list_is_by_name_and_walked_both_ways(api: Api) -> None:
    made = sorted(["-odd", "B", "a", "a.b", "z", "_x", "0"], key=str.encode)
    for name in made:
        await api.event_type(name)
    seen: list[str] = []
    pages: list[Any] = []
    query: dict[str, Any] = {}
    while not pages or not pages[-1]["done"]:
        pages.append(await api.get("/event-type", limit=3, **query))
        seen += [one["name"] for one in pages[-1]["data"]]
        query = {"iterator": pages[-1]["iterator"]}
    assert seen == made
    for later, earlier in zip(pages[:0:-1], pages[-2::-1], strict=True):
        back = await api.get("/event-type", limit=3, iterator=later["prevIterator"])
        assert back["data"] == earlier["data"]
    one = await api.get("/event-type", limit=1)
    assert (await api.get("/event-type", limit=1, iterator=one["iterator"]))["data"][0]["name"] == made[1]
    await api.get("/event-type", status=422, iterator="not a name")


async def test_a_schema_must_be_a_json_schema(api: Api) -> None:
    wrong: list[Any] = [
        {"1": {"type": "no such type"}},
        {"1": {"minimum": "a"}},
        {"1": []},
        {"1": "text"},
        {"1": {"$schema": "http://127.0.0.1:9/mine", "type": 5}},
        [],
    ]
    for schemas in wrong:
        refused = await api.post(
            "/event-type", {"name": "e", "description": "", "schemas": schemas}, status=422
        )
        assert refused["detail"][0]["loc"][:2] == ["body", "schemas"], schemas
    await api.event_type("wide", schemas={"1": {"const": 10**400, "default": 1e300}})
    assert (await api.get("/event-type/wide"))["schemas"]["1"]["const"] == 10**400
    await api.event_type("e", schemas={"1": SCHEMA, "2": {"$schema": "http://127.0.0.1:9/mine"}})
    await api.patch("/event-type/e", {"schemas": {"1": {"type": 1}}}, status=422)


async def test_an_unknown_reference_is_refused_with_its_location(api: Api) -> None:
    await api.event_type("e", schemas={"1": SCHEMA})
    for text in (
        "#/definitions/x",
        "#x",
        "https://example.com/schema",
        "http://127.0.0.1:9/schema",
        "x.json",
    ):
        body = {"description": "", "schemas": {"1": SCHEMA, "2": {"properties": {"a": {"$ref": text}}}}}
        for refused in (
            await api.post("/event-type", {"name": "new", **body}, status=422),
            await api.put("/event-type/e", body, status=422),
            await api.put("/event-type/new", body, status=422),
            await api.patch("/event-type/e", {"schemas": body["schemas"]}, status=422),
        ):
            (fault,) = refused["detail"]
            assert fault["loc"] == ["body", "schemas", "2", "properties", "a", "$ref"]
            assert text in fault["msg"]
    assert (await api.get("/event-type/e"))["schemas"] == {"1": SCHEMA}
    await api.get("/event-type/new", status=404)


async def test_the_number_size_and_depth_of_schemas_are_limited(api: Api) -> None:
    deep: dict[str, Any] = {}
    for _ in range(MAX_DEPTH):
        deep = {"not": deep}
    wrong: list[tuple[dict[str, Any], list[str]]] = [
        ({str(n): {} for n in range(MAX_VERSIONS + 1)}, ["body", "schemas"]),
        ({"1": {"title": "x" * MAX_BYTES}}, ["body", "schemas", "1"]),
        ({"1": deep}, ["body", "schemas", "1"]),
    ]
    for schemas, loc in wrong:
        body = {"name": "e", "description": "", "schemas": schemas}
        refused = await api.post("/event-type", body, status=422)
        assert refused["detail"][0]["loc"] == loc
    await api.event_type("e", schemas={str(n): deep["not"] for n in range(MAX_VERSIONS)})


async def test_an_invalid_name_is_refused(api: Api) -> None:
    for name in ("", "a b", "x" * 257, "a/b", "é", None, 5):
        await api.post("/event-type", {"name": name, "description": ""}, status=422)
    await api.post("/event-type", {"name": "a"}, status=422)
    await api.get("/event-type/a%20b", status=404)
