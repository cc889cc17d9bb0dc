"""The catalogue of event types."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from angarium.portal import schema_tree
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor

SCHEMA = {
    "type": "object",
    "required": ["id", "lines"],
    "properties": {
        "id": {"type": "string", "description": "Ours <b>."},
        "side": {"enum": ["buy", "sell"]},
        "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/line"}},
        "next": {"$ref": "#"},
        "note": {"type": ["string", "null"], "maxLength": 10},
    },
    "$defs": {"line": {"type": "object", "properties": {"qty": {"type": "number", "minimum": 0}}}},
    "examples": [{"id": "ord_1"}],
}


async def test_the_catalogue_is_listed_by_group_and_can_be_searched(stand: Stand, visitor: Visitor) -> None:
    for name, more in (
        ("order.filled", {}),
        ("order.old", {"deprecated": True}),
        ("transfer.done", {"groupName": "Money"}),
        ("order.gone", {"archived": True}),
    ):
        await stand.native("POST", "//event-type", {"name": name, "description": f"About {name}.", **more})
    page = await visitor.get("/event-types")
    assert re.findall(r'<h2 id="group-\d">([^<]+)<', page) == ["Money", "order"]
    assert page.index("order.filled") < page.index("order.gone") < page.index("order.old")
    assert page.count("Deprecated") == 1
    assert page.count("No longer sent") == 1
    found = await visitor.get("/event-types", q="FILL")
    assert "order.filled" in found
    assert "transfer.done" not in found
    assert "Nothing fits zzz" in await visitor.get("/event-types", q="zzz")


async def test_an_event_type_tells_what_it_holds_and_who_gets_it(stand: Stand, visitor: Visitor) -> None:
    body = {"name": "order.filled", "description": "Filled.", "schemas": {"1": SCHEMA}}
    await stand.native("POST", "//event-type", body)
    await stand.endpoint("http://127.0.0.1:9/gets", eventTypes=["order.*"])
    await stand.endpoint("http://127.0.0.1:9/not", eventTypes=["transfer.*"])
    await stand.endpoint("http://127.0.0.1:9/off", disabled=True)
    page = unescape(await visitor.get("/event-types/order.filled"))
    assert "Ours <b>." in page
    assert 'one of "buy", "sell"' in page
    assert "list of objects" in page
    assert "ord_1" in page
    assert "9/gets" in page
    assert "9/not" not in page
    assert "9/off" in page
    await visitor.get("/event-types/no.such", status=404)


def test_a_schema_becomes_a_tree_of_fields() -> None:
    fields = {field.name: field for field in schema_tree.fields(SCHEMA)}
    assert fields["id"].required
    assert fields["id"].kind == "text"
    assert not fields["side"].required
    assert fields["side"].notes == ('one of "buy", "sell"',)
    assert fields["lines"].kind == "list of objects"
    assert fields["lines"].notes == ("at least 1 entries",)
    assert [one.name for one in fields["lines"].fields] == ["qty"]
    assert fields["note"].kind == "text or nothing (null)"


def test_a_schema_that_refers_to_itself_ends() -> None:
    (field,) = schema_tree.fields({"properties": {"child": {"$ref": "#"}}})
    depth = 0
    while field.fields:
        (field,) = field.fields
        depth += 1
    assert depth < 20
    assert schema_tree.fields({"$ref": "#", "allOf": [{"$ref": "#"}]}) == ()


def test_a_schema_of_any_shape_makes_no_trouble() -> None:
    odd: Any
    for odd in (
        {"properties": []},
        {"properties": {"a": True, "b": 3, "c": {"type": 5, "enum": "x", "oneOf": [1]}}},
        {"required": "id", "properties": {"a": {"items": [{}], "anyOf": [{"type": "string"}, {}]}}},
        {"allOf": [1, {"properties": {"x": {"$ref": "http://elsewhere/x"}}}]},
    ):
        schema_tree.fields(odd)
