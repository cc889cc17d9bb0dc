"""Applications over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.api.conftest import Api


async def test_an_application_can_be_created_read_replaced_and_deleted(api: Api) -> None:
    made = await api.post("/app", {"name": "Acme", "throttleRate": 12, "metadata": {"a": "b"}, "unknown": 1})
    assert made["id"].startswith("app_")
    assert made["name"] == "Acme"
    assert made["rateLimit"] == made["throttleRate"] == 12
    assert made["metadata"] == {"a": "b"}
    assert "uid" not in made
    assert made["createdAt"].endswith("Z")
    path = f"/app/{made['id']}"
    assert await api.get(path) == made
    replaced = await api.put(path, {"name": "Acme 2"})
    assert replaced["id"] == made["id"]
    assert replaced["name"] == "Acme 2"
    assert replaced["metadata"] == {}
    assert replaced["rateLimit"] is None
    await api.delete(path)
    assert await api.get(path, status=404) == {"code": "not_found", "detail": "Entity not found"}
    await api.delete(path, status=404)


async def test_put_of_an_unknown_id_makes_a_new_application(api: Api) -> None:
    made = await api.put("/app/nobody", {"name": "New", "uid": "somebody"}, status=201)
    assert made["uid"] == "somebody"
    await api.get("/app/nobody", status=404)
    assert await api.get("/app/somebody") == made


async def test_patch_distinguishes_absent_from_null(api: Api) -> None:
    made = await api.post("/app", {"name": "A", "uid": "u", "rateLimit": 5, "metadata": {"k": "v"}})
    path = f"/app/{made['id']}"

    def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
        return {k: v for k, v in value.items() if k not in (*names, "updatedAt")}

    named = await api.patch(path, {"name": "B"})
    assert named["name"] == "B"
    assert without(named, "name") == without(made, "name")
    unlimited = await api.patch(path, {"throttleRate": None})
    assert unlimited["rateLimit"] is None
    assert unlimited["uid"] == "u"
    limited = await api.patch(path, {"rateLimit": 7})
    assert limited["throttleRate"] == 7
    bare = await api.patch(path, {"uid": None})
    assert "uid" not in bare
    assert bare["throttleRate"] == 7
    assert (await api.patch(path, {"metadata": {"x": "y"}}))["metadata"] == {"x": "y"}
    assert (await api.patch(path, {"metadata": None}))["metadata"] == {}
    assert without(await api.patch(path, {}), "metadata") == without(bare, "metadata")
    await api.patch(path, {"name": None}, status=422)
    await api.patch(path, {"name": ""}, status=422)


async def test_a_uid_can_replace_the_id_and_is_unique_until_deleted(api: Api) -> None:
    one = await api.post("/app", {"name": "1", "uid": "first"})
    assert await api.get("/app/first") == one
    conflict = await api.post("/app", {"name": "2", "uid": "first"}, status=409)
    assert conflict["code"] == "conflict"
    two = await api.post("/app", {"name": "2", "uid": "second"})
    await api.put(f"/app/{two['id']}", {"name": "2", "uid": "first"}, status=409)
    await api.patch(f"/app/{two['id']}", {"uid": "first"}, status=409)
    await api.delete("/app/first")
    taken = await api.patch(f"/app/{two['id']}", {"uid": "first"})
    assert taken["uid"] == "first"
    await api.get("/app/second", status=404)
    await api.put("/app/first", {"name": "2"})
    await api.get("/app/first", status=404)


async def test_an_invalid_uid_is_refused(api: Api) -> None:
    for uid in ("", "a b", "ä", "x" * 257, "app_mine", "a/b"):
        refused = await api.post("/app", {"name": "A", "uid": uid}, status=422)
        assert refused["detail"][0]["loc"] == ["body", "uid"]
    await api.post("/app", {"name": "A", "uid": "x" * 256})


async def test_the_same_uid_in_two_organizations_is_two_applications(
    api: Api, new_organization: Callable[[], Api]
) -> None:
    stranger = new_organization()
    mine = await api.post("/app", {"name": "Mine", "uid": "same"})
    theirs = await stranger.post("/app", {"name": "Theirs", "uid": "same"})
    assert mine["id"] != theirs["id"]
    assert (await api.get("/app/same"))["name"] == "Mine"
    await stranger.get(f"/app/{mine['id']}", status=404)
    await stranger.put(f"/app/{mine['id']}", {"name": "Stolen"}, status=201)
    assert (await api.get("/app/same"))["name"] == "Mine"
    await stranger.delete(f"/app/{mine['id']}", status=404)
    assert [app["name"] for app in (await api.get("/app"))["data"]] == ["Mine"]


async def test_get_if_exists_returns_the_existing_application(api: Api) -> None:
    body = {"name": "A", "uid": "u"}
    made = await api.post("/app", body, get_if_exists=True)
    await api.post("/app", body, status=409)
    assert await api.post("/app", {"name": "B", "uid": "u"}, status=200, get_if_exists="true") == made


async def test_a_list_is_walked_forward_and_back(api: Api) -> None:
    made = [await api.application(f"n{i}") for i in range(10)]

    async def walk(order: str, limit: int) -> list[str]:
        seen: list[str] = []
        page: Any = {"done": False, "iterator": None}
        while not page["done"]:
            query = {} if page["iterator"] is None else {"iterator": page["iterator"]}
            page = await api.get("/app", limit=limit, order=order, **query)
            assert page["data"]
            seen += [app["id"] for app in page["data"]]
        return seen

    for limit in (1, 3, 9, 10, 50):
        assert await walk("ascending", limit) == made
        assert await walk("descending", limit) == made[::-1]
    first = await api.get("/app", limit=4)
    second = await api.get("/app", limit=4, iterator=first["iterator"])
    third = await api.get("/app", limit=4, iterator=second["iterator"])
    assert [first["done"], second["done"], third["done"]] == [False, False, True]
    back = await api.get("/app", limit=4, iterator=third["prevIterator"])
    assert back["data"] == second["data"]
    assert not back["done"]
    back = await api.get("/app", limit=4, iterator=back["prevIterator"])
    assert back["data"] == first["data"]
    assert back["done"]
    empty = await api.get("/app", limit=4, iterator=back["prevIterator"])
    assert empty == {"data": [], "iterator": None, "done": True}


async def test_a_list_refuses_an_invalid_iterator(api: Api) -> None:
    app = await api.application()
    for iterator in ("ep_" + app[4:], "app_short", "app_" + "z" * 27, "nonsense", "--" + app, "app_\x00"):
        refused = await api.get("/app", status=422, iterator=iterator)
        assert refused["detail"][0]["loc"] == ["query", "iterator"]
    for limit in ("0", "251", "300", "-1", "many", "9" * 400):
        refused = await api.get("/app", status=422, limit=limit)
        assert refused["detail"][0]["loc"] == ["query", "limit"]
    await api.get("/app", status=422, order="sideways")


async def test_fields_have_bounds(api: Api) -> None:
    wrong: list[Any] = [
        {},
        {"name": ""},
        {"name": None},
        {"name": 1},
        {"name": "a", "rateLimit": 0},
        {"name": "a", "rateLimit": 65536},
        {"name": "a", "rateLimit": 10**30},
        {"name": "a", "rateLimit": 1.5},
        {"name": "a", "rateLimit": True},
        {"name": "a", "metadata": {"a": 1}},
        {"name": "a", "metadata": {"a": "x" * 4096}},
        {"name": "a", "metadata": []},
        [],
        "name",
        None,
    ]
    for body in wrong:
        assert (await api.post("/app", body, status=422))["detail"]
    await api.post("/app", {"name": "a", "metadata": None, "rateLimit": 65535})


async def test_of_two_concurrent_changes_none_is_lost(api: Api) -> None:
    app = await api.application()
    await api.event_type("e")
    await asyncio.gather(
        api.patch(f"/app/{app}", {"name": "N"}),
        api.patch(f"/app/{app}", {"uid": "u"}),
        api.patch(f"/app/{app}", {"rateLimit": 3}),
        api.patch("/event-type/e", {"description": "D"}),
        api.patch("/event-type/e", {"groupName": "g"}),
        api.patch("/event-type/e", {"deprecated": True}),
    )
    after = await api.get("/app/u")
    assert (after["name"], after["rateLimit"]) == ("N", 3)
    event_type = await api.get("/event-type/e")
    assert (event_type["description"], event_type["groupName"], event_type["deprecated"]) == ("D", "g", True)
