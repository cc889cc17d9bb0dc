"""The catalogue of event types."""

from __future__ import annotations

import re
import sys
from html import unescape
from typing import Any

import pytest
from markupsafe import Markup

from angarium.portal.customer import schema_tree
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
    assert "No event type matches zzz" in await visitor.get("/event-types", q="zzz")


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
    fields = {field.name: field for field in schema_tree.tree(SCHEMA).fields}
    assert fields["id"].required
    assert fields["id"].kind == "text"
    assert not fields["side"].required
    assert [Markup(note).unescape() for note in fields["side"].notes] == ['one of "buy", "sell"']
    assert fields["lines"].kind == "list of objects"
    assert fields["lines"].notes == ("at least 1 entries",)
    assert [one.name for one in fields["lines"].fields] == ["qty"]
    assert fields["note"].kind == "text or null"


def test_a_schema_that_refers_to_itself_is_shown_once_and_marked() -> None:
    (child,) = schema_tree.tree({"properties": {"child": {"$ref": "#"}}}).fields
    assert not child.fields
    assert child.cut
    bare = schema_tree.tree({"$ref": "#", "allOf": [{"$ref": "#"}]})
    assert not bare.fields


def counted(field: schema_tree.SchemaField) -> int:
    return sum(1 + counted(one) for one in field.fields)


def cuts(field: schema_tree.SchemaField) -> int:
    return field.cut + sum(map(cuts, field.fields))


def bounded(schema: dict[str, Any]) -> schema_tree.SchemaField:
    """The tree, made with a bounded number of function calls: the cost of a page on any machine."""
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1
        assert calls < 1_000_000

    sys.setprofile(count)
    try:
        return schema_tree.tree(schema)
    finally:
        sys.setprofile(None)


def mutual(count: int) -> dict[str, Any]:
    """Types that all hold each other."""
    held = {f"p{n}": {"$ref": f"#/definitions/t{n}"} for n in range(count)}
    types = {f"t{n}": {"type": "object", "properties": held} for n in range(count)}
    return {"definitions": types, "$ref": "#/definitions/t0"}


def doubled(depth: int) -> dict[str, Any]:
    """A type that holds the next twice, and so on: few bytes, 2 ** depth fields."""
    types = {
        f"t{n}": {"properties": {name: {"$ref": f"#/definitions/t{n + 1}"} for name in ("a", "b")}}
        for n in range(depth)
    }
    return {"definitions": {**types, f"t{depth}": {"type": "string"}}, "$ref": "#/definitions/t0"}


def composed(depth: int) -> dict[str, Any]:
    types = {f"t{n}": {"allOf": [{"$ref": f"#/definitions/t{n + 1}"}] * 20} for n in range(depth)}
    return {
        "definitions": {**types, f"t{depth}": {"type": "string"}},
        "properties": {"a": {"$ref": "#/definitions/t0"}},
    }


def chosen(depth: int) -> dict[str, Any]:
    schema: Any = {"type": "string"}
    for _ in range(depth):
        schema = {"oneOf": [schema] * 20}
    return {"properties": {"a": schema}}


ENDLESS: list[dict[str, Any]] = [
    {"properties": {f"p{n}": {"$ref": "#"} for n in range(100)}},
    mutual(30),
    doubled(30),
    composed(8),
    chosen(8),
    {"properties": {"a": {"type": "array", "items": {"$ref": "#/properties/a"}}}},
    {"properties": {"a": {"oneOf": [{"$ref": "#/properties/a"}, {"$ref": "#/properties/a"}]}}},
    {"properties": {f"p{n}": {"enum": ["x" * 1000] * 20} for n in range(2000)}},
]


@pytest.mark.parametrize("schema", ENDLESS)
def test_the_cost_of_a_tree_does_not_grow_with_what_a_schema_expands_to(schema: dict[str, Any]) -> None:
    assert 0 < counted(bounded(schema)) <= schema_tree.MAX_FIELDS


def test_what_is_left_out_of_a_tree_is_marked() -> None:
    assert cuts(schema_tree.tree(SCHEMA)) == 1  # `next`, which is the whole again
    wide: dict[str, Any] = {"properties": {f"p{n}": {} for n in range(501)}}
    for schema in (mutual(30), doubled(30), wide):
        assert cuts(schema_tree.tree(schema)) > 0
    assert cuts(schema_tree.tree(doubled(3))) == 0


async def test_a_page_says_where_fields_are_left_out(stand: Stand, visitor: Visitor) -> None:
    many = {"properties": {f"p{n}": {"$ref": "#"} for n in range(600)}}
    schemas: tuple[tuple[str, Any], ...] = (
        ("once", {"properties": {"a": {"$ref": "#"}}}),
        ("many", many),
        ("plain", {"properties": {"a": {}}}),
    )
    for name, schema in schemas:
        await stand.native(
            "POST", "//event-type", {"name": name, "description": "x", "schemas": {"1": schema}}
        )
    assert "… see the JSON Schema for its fields" in await visitor.get("/event-types/once")
    page = await visitor.get("/event-types/many")
    assert "… see the JSON Schema for more fields" in page
    assert page.count("<code>p") == schema_tree.MAX_FIELDS
    assert "see the JSON Schema" not in await visitor.get("/event-types/plain")


def test_a_schema_of_any_shape_makes_no_trouble() -> None:
    odd: Any
    for odd in (
        {"properties": []},
        {"properties": {"a": True, "b": 3, "c": {"type": 5, "enum": "x", "oneOf": [1]}}},
        {"required": "id", "properties": {"a": {"items": [{}], "anyOf": [{"type": "string"}, {}]}}},
        {"allOf": [1, {"properties": {"x": {"$ref": "http://elsewhere/x"}}}]},
    ):
        schema_tree.tree(odd)
