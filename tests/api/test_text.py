"""Texts for people have an end, which the API's description shows; longer ones that there are may stay."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from angarium.core.nouns import MAX_NAME, MAX_TEXT
from angarium.store.database import Database
from tests.api.conftest import Api

LONG = "n" * (MAX_NAME + 1)
LONGER = "d" * (MAX_TEXT + 1)


def fault(field: str, most: str) -> dict[str, Any]:
    words = f"Must be at most {most} characters long."
    return {"detail": [{"loc": ["body", field], "msg": words, "type": "value_error"}]}


async def write(database: Database, statement: str, *values: object) -> None:
    """What an earlier release took."""
    async with database.connection() as connection:
        assert await connection.execute(statement, *values) == "UPDATE 1"


@pytest.mark.parametrize("character", ["n", "é", "馬", "🐎"])
async def test_a_name_has_at_most_256_characters_of_whatever_kind(api: Api, character: str) -> None:
    made = await api.post("/app", {"name": character * MAX_NAME, "uid": "one"})
    assert made["name"] == character * MAX_NAME
    too_long = {"name": character * (MAX_NAME + 1)}
    assert await api.post("/app", too_long, status=422) == fault("name", "256")
    assert await api.patch("/app/one", too_long, status=422) == fault("name", "256")
    await api.call("PUT", "/app/one", too_long, status=422)
    await api.call("PUT", "/app/two", too_long, status=422)
    link = {"application": {"uid": "three", **too_long}}
    await api.post("/auth/app-portal-access/three", link, status=422)
    assert [one["name"] for one in (await api.get("/app"))["data"]] == [character * MAX_NAME]


async def test_an_existing_longer_name_stays_until_it_is_changed(api: Api, database: Database) -> None:
    await api.post("/app", {"name": "short", "uid": "one"})
    await write(database, "update application set name = $1 where uid = 'one'", LONG)
    same = {"name": LONG, "uid": "one"}
    await api.put("/app/one", {**same, "metadata": {"a": "b"}})
    await api.patch("/app/one", {"rateLimit": 5})
    await api.post("/app", same, status=200, get_if_exists=True)
    await api.post("/auth/app-portal-access/one", {"application": same}, status=200)
    assert (await api.get("/app/one"))["name"] == LONG
    await api.patch("/app/one", {"name": LONG[:-1] + "x"}, status=422)
    await api.patch("/app/one", {"name": "short"})
    await api.patch("/app/one", {"name": LONG}, status=422)


async def test_a_description_of_an_event_type_has_at_most_10000_characters(api: Api) -> None:
    at = "/event-type/order.filled"
    made = await api.post("/event-type", {"name": "order.filled", "description": "é" * MAX_TEXT})
    assert len(made["description"]) == MAX_TEXT
    wrong = fault("description", "10,000")
    assert await api.patch(at, {"description": LONGER}, status=422) == wrong
    assert await api.put(at, {"description": LONGER}, status=422) == wrong
    assert await api.put("/event-type/new", {"description": LONGER}, status=422) == wrong
    assert await api.post("/event-type", {"name": "new", "description": LONGER}, status=422) == wrong
    await api.get("/event-type/new", status=404)


async def test_an_existing_longer_description_stays_until_it_is_changed(api: Api, database: Database) -> None:
    at = "/event-type/order.filled"
    await api.event_type("order.filled")
    await write(database, "update event_type set description = $1", LONGER)
    await api.patch(at, {"deprecated": True})
    await api.put(at, {"description": LONGER, "groupName": "order"})
    await api.delete(at)
    assert (await api.get(at))["description"] == LONGER
    await api.patch(at, {"description": LONGER + "x"}, status=422)


async def test_an_impossible_message_id_is_neither_searched_nor_stored(api: Api) -> None:
    app = await api.application()
    wanted = {"filter": {"message": "m" * 257}}
    refused = await api.post(f"/app/{app}/log/resend", wanted, status=422)
    assert refused["detail"][0]["msg"] == "Not a valid message id."
    await api.post(f"/app/{app}/log/resend", {"filter": {"message": "m" * 256}, "dryRun": True}, status=200)


async def test_the_description_of_the_api_shows_how_long_texts_may_be(client: httpx.AsyncClient) -> None:
    schemas = (await client.get("/api/v1/openapi.json")).json()["components"]["schemas"]
    shown = {
        (schema, field): schemas[schema]["properties"][field].get("maxLength")
        for schema, field in (
            ("ApplicationIn", "name"),
            ("ApplicationPatch", "name"),
            ("EventTypeIn", "description"),
            ("EventTypeUpsertIn", "description"),
            ("EventTypePatch", "description"),
            ("EndpointIn", "description"),
            ("EndpointUpsertIn", "description"),
            ("EndpointPatch", "description"),
            ("EndpointIn", "url"),
            ("EndpointPatch", "url"),
        )
    }
    assert set(shown.values()) == {MAX_NAME, MAX_TEXT, 65_536}, shown
    assert {most for (_, field), most in shown.items() if field == "description"} == {MAX_TEXT}
    assert {most for (_, field), most in shown.items() if field == "name"} == {MAX_NAME}
