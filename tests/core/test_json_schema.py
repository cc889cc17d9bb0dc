"""What a JSON Schema may refer to, how large it may be, and that no walk through one is endless."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest

from angarium.core.json_schema import MAX_BYTES, MAX_DEPTH, affordable, check, draft_of
from angarium.core.nouns import EventType
from angarium.service.event_type import misfit

EPOCH = datetime.fromtimestamp(0, UTC)
DRAFT_4 = "http://json-schema.org/draft-04/schema"
DRAFT_6 = "http://json-schema.org/draft-06/schema"
DRAFT_7 = "http://json-schema.org/draft-07/schema"
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"
DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"

LEADING: list[dict[str, Any]] = [
    {"$ref": "#"},
    {"properties": {"a": {"$ref": "#/properties/b"}, "b": True}},
    {"properties": {"a": {"$ref": "#/definitions/x%20y~1z~0"}}, "definitions": {"x y/z~": {}}},
    {"properties": {"a": {"$ref": "#/allOf/1"}}, "allOf": [{}, {"type": "object"}]},
    {"properties": {"a": {"$ref": "#/components/schemas/x"}}, "components": {"schemas": {"x": {}}}},
    {"properties": {"a": {"$ref": "http://json-schema.org/draft-07/schema#"}}},
    {"properties": {"a": {"$ref": "#here"}}, "definitions": {"x": {"$id": "#here"}}},
    {"$schema": DRAFT_2020, "properties": {"a": {"$ref": "#here"}}, "$defs": {"x": {"$anchor": "here"}}},
    {
        "$schema": DRAFT_2020,
        "$id": "https://example.com/a/root",
        "properties": {"a": {"$ref": "part#/$defs/y"}, "b": {"$ref": "/a/root#/$defs/x"}},
        "$defs": {"x": {"$id": "part", "$defs": {"y": {"$ref": "#/$defs/z"}, "z": {}}}},
    },
    {"$schema": DRAFT_2020, "$dynamicAnchor": "node", "properties": {"a": {"$dynamicRef": "#node"}}},
    {"$schema": DRAFT_4, "properties": {"a": {"$ref": "#here"}}, "definitions": {"x": {"id": "#here"}}},
    {"$schema": DRAFT_6, "properties": {"a": {"$ref": "#here"}}, "definitions": {"x": {"$id": "#here"}}},
    {
        "$schema": f"{DRAFT_4}#",
        "id": "https://example.com/root",
        "properties": {"a": {"$ref": "part#/definitions/y"}},
        "definitions": {"x": {"id": "part", "definitions": {"y": {}}}},
    },
    {  # to draft 7, a name beside a reference is none
        "definitions": {"x": {"$id": "https://example.com/part", "$ref": "#/definitions/y"}, "y": {}},
    },
    {
        "$schema": DRAFT_2020,
        "$defs": {"x": {"$id": "urn:example:x", "$ref": "#/$defs/y", "$defs": {"y": {}}}},
    },
    {"properties": {"a": {"$ref": "#/allOf/000001"}}, "allOf": [{}, {}]},
    # what only looks like a reference
    {"properties": {"$ref": {"type": "string"}}},
    {"const": {"$ref": "#/nowhere"}, "enum": [{"$ref": "#/nowhere"}], "default": {"$ref": "#/nowhere"}},
    {"examples": [{"$ref": "#/nowhere"}], "x-ours": {"$ref": "#/nowhere"}},
]

NOWHERE: list[tuple[dict[str, Any], tuple[str | int, ...]]] = [
    ({"$ref": "#/definitions/x"}, ("$ref",)),
    ({"properties": {"a": {"$ref": "#/definitions/x"}}}, ("properties", "a", "$ref")),
    ({"definitions": {"x": {"$ref": "#/definitions/y"}}}, ("definitions", "x", "$ref")),
    ({"allOf": [{}, {"items": [{"$ref": "#nope"}]}]}, ("allOf", 1, "items", 0, "$ref")),
    (
        {"additionalProperties": {"not": {"$ref": "#/title"}}, "title": "x"},
        ("additionalProperties", "not", "$ref"),
    ),
    ({"properties": {"a": {"$ref": "#/allOf/1"}}, "allOf": [{}]}, ("properties", "a", "$ref")),
    *(
        ({"allOf": [{}, {"$ref": f"#/allOf/{index}"}]}, ("allOf", 1, "$ref"))
        for index in ("2", "x", "-1", "+1", "1_0", "", "0000001", "%D9%A1", "%C2%B2")
    ),
    ({"not": {"$ref": "#/title/0"}, "title": "x"}, ("not", "$ref")),
    ({"not": {"$ref": "#/x-ours/0"}, "x-ours": True}, ("not", "$ref")),
    *(
        (
            {
                "$schema": named,
                "properties": {"a": {"$ref": "#here"}},
                "definitions": {"x": {"$id": "#here", "$ref": "#/definitions/y"}, "y": {}},
            },
            ("properties", "a", "$ref"),
        )
        for named in (DRAFT_6, f"{DRAFT_6}#", DRAFT_7, f"{DRAFT_7}#")
    ),
    (
        {"$schema": DRAFT_4, "not": {"$ref": "#here"}, "definitions": {"x": {"$id": "#here"}}},
        ("not", "$ref"),
    ),
    (
        {"$schema": DRAFT_6, "not": {"$ref": "#here"}, "definitions": {"x": {"id": "#here"}}},
        ("not", "$ref"),
    ),
    ({"$ref": "https://example.com/schema"}, ("$ref",)),
    ({"$ref": "http://127.0.0.1:9/schema#/definitions/x"}, ("$ref",)),
    ({"$ref": "other.json"}, ("$ref",)),
    ({"$ref": f"{DRAFT_7}X"}, ("$ref",)),
    ({"$ref": "file:///etc/passwd"}, ("$ref",)),
    ({"$ref": "urn:example:x"}, ("$ref",)),
    ({"$ref": "http://[::1"}, ("$ref",)),
    (
        {"patternProperties": {"^a": {"dependencies": {"b": {"$ref": "#/x"}}}}},
        ("patternProperties", "^a", "dependencies", "b", "$ref"),
    ),
    ({"$schema": DRAFT_2020, "prefixItems": [{"$dynamicRef": "#nope"}]}, ("prefixItems", 0, "$dynamicRef")),
    (
        {"properties": {"a": {"$ref": "#/components/x"}}, "components": {"x": {"items": {"$ref": "#/y"}}}},
        ("components", "x", "items", "$ref"),
    ),
    (
        {"$schema": DRAFT_2020, "$defs": {"x": {"$id": "part", "$ref": "#/$defs/x"}}},
        ("$defs", "x", "$ref"),
    ),
]


@pytest.mark.parametrize("schema", LEADING)
def test_a_reference_may_lead_to_any_schema_in_its_document(schema: dict[str, Any]) -> None:
    assert check(schema) is None
    jsonschema_rs.validator_for({"$schema": "http://json-schema.org/draft-07/schema#", **schema})


@pytest.mark.parametrize(("schema", "place"), NOWHERE)
def test_a_reference_to_nowhere_is_refused_with_its_place(
    schema: dict[str, Any], place: tuple[str | int, ...]
) -> None:
    fault = check(schema)
    assert fault is not None
    assert fault.place == place


@pytest.mark.parametrize("draft", [DRAFT_4, DRAFT_6, DRAFT_7, DRAFT_2019, DRAFT_2020])
def test_an_id_is_refused_exactly_if_a_validator_cannot_be_built_with_it(draft: str) -> None:
    keyword = "id" if draft == DRAFT_4 else "$id"
    for name in (
        "http://[", "http://[::", "http://a b/", "http://%zz/", "http://a/{b}", "http://a\\b/", "http://é/",
        "::", "1:2", "a b", "%", "^", "<a>", "\0", "é", "/[", "http://a@b@c/", "http://a/#%zz", "http://a/#x",
        "", "a", "//", "/..", "urn:", "urn:x:y", "x:", "http://", "http://[::1]/", "http://a:99999/", "?",
        *(("#x", "#x y", "#[") if draft == DRAFT_4 else ("#",)),
    ):  # fmt: skip
        for where in ((), ("properties", "a"), ("definitions", "b", "items")):
            named: dict[str, Any] = {keyword: name, "type": "object"}
            schema = named
            for step in reversed(where):
                schema = {step: schema}
            schema = {"$schema": draft, **schema}
            fault = check(schema)
            assert (fault is None) == buildable(schema), (name, fault)
            if fault is not None:
                place = (*where, keyword)  # or what holds it, where the meta-schema has alternatives
                assert fault.place == place[: len(fault.place)]
                assert fault.place == place or draft not in (DRAFT_4, DRAFT_2020)


def buildable(schema: dict[str, Any]) -> bool:
    try:
        jsonschema_rs.validator_for(schema)
    except ValueError:
        return False
    return True


def test_an_invalid_id_is_found_in_a_schema_reached_by_reference() -> None:
    schema = {"$schema": DRAFT_2020, "$ref": "#/components/x", "components": {"x": {"$id": "http://["}}}
    assert check(schema) == (
        ("components", "x", "$id"), "'http://[' is not a valid $id: it must be a URI reference (RFC 3986)."
    )  # fmt: skip
    schema["components"] = {"x": {"$id": "a"}, "y": {"$id": "http://["}}
    assert check(schema) is None, "what is no schema is not looked at"


def test_the_first_invalid_id_is_reported_before_an_unknown_reference() -> None:
    schema: dict[str, Any] = {"$schema": DRAFT_2020, "$id": "a b", "items": {"$id": "c d"}, "$ref": "#/x"}
    assert (fault := check(schema)) is not None
    assert fault.place == ("$id",)
    assert (fault := check(schema | {"$id": "e" * 300 + " "})) is not None
    assert fault.words == f"'{'e' * 200}' is not a valid $id: it must be a URI reference (RFC 3986)."


def test_an_id_beside_a_reference_does_not_count_in_old_drafts() -> None:
    schema = {"$schema": DRAFT_4, "items": {"id": "a b", "$ref": "#"}}
    assert check(schema) is None
    assert buildable(schema)


@pytest.mark.parametrize(
    ("schema", "place", "words"),
    [
        ({"type": "nothing"}, ("type",), '"nothing"'),
        ({"properties": {"a": {"minimum": "x"}}}, ("properties", "a", "minimum"), 'not of type "number"'),
        ({"$schema": DRAFT_2020, "allOf": [{"$ref": 1}]}, ("allOf", 0, "$ref"), 'not of type "string"'),
        ({"title": "\ud800"}, (), "surrogates not allowed"),
        ({"const": 10**5_000}, (), ""),
    ],
)
def test_an_invalid_schema_is_refused_with_its_location_and_one_line(
    schema: dict[str, Any], place: tuple[str | int, ...], words: str
) -> None:
    fault = check(schema)
    assert fault is not None
    assert fault.place == place
    assert fault.words.startswith("Not a valid JSON Schema: ")
    assert words in fault.words
    assert "\n" not in fault.words


def test_the_length_of_an_error_does_not_depend_on_the_quoted_value() -> None:
    head = "Not a valid JSON Schema: "
    assert check({"type": "y" * 1_000}) == (("type",), f'{head}"{"y" * 299}')
    assert check({"$ref": "#" + "y" * 1_000}) == (
        ("$ref",),
        f"'#{'y' * 199}' does not point to a schema in this document.",
    )
    assert check({"$ref": "y" * 1_000}) == (
        ("$ref",),
        f"'{'y' * 200}' is not in this document. External schemas are not fetched.",
    )


def hidden(levels: int, *, reference: str) -> dict[str, Any]:
    """Doubled at each level, in a place that no keyword names, below a schema with an id of its own."""
    doubled = {f"t{n}": {"allOf": [{"$ref": f"#/x-more/t{n + 1}"}] * 2} for n in range(levels)}
    part = {"$id": "part", "x-more": {**doubled, f"t{levels}": {"type": "string"}}}
    return {"$schema": DRAFT_2020, "$ref": reference, "$defs": {"p": part}, "x-more": {"t1": {}}}


def test_schemas_reached_by_reference_resolve_references_relative_to_their_place() -> None:
    schema = hidden(40, reference="part#/x-more/t0")
    assert check(schema) is None
    assert not affordable(schema, "text", 50_000)
    assert affordable(hidden(8, reference="part#/x-more/t0"), "text", 50_000)


def test_a_pointer_through_a_schema_with_an_id_of_its_own_is_a_fault() -> None:
    """Validators differ in what a reference behind it is relative to, so its cost cannot be told."""
    for reference in ("#/$defs/p/x-more/t0", "#/$defs/p/x-more"):
        fault = check(hidden(40, reference=reference))
        assert fault is not None
        assert fault.place == ("$ref",)
        assert "passes through a schema with its own $id" in fault.words
    assert check(hidden(3, reference="#/$defs/p")) is None
    assert check({"$schema": DRAFT_2020, "$ref": "#/allOf/0/not/x", "allOf": [{"not": {"x": {}}}]}) is None


def test_an_error_behind_a_reference_has_the_location_of_either_end() -> None:
    behind = {"$id": "part", "x-more": {"y": {"items": {"$ref": "#/nowhere"}}}}
    schema = {
        "$schema": DRAFT_2020,
        "$id": "https://example.com/root",
        "properties": {"a": {"$ref": "part#/x-more/y"}},
        "$defs": {"x": behind},
    }
    fault = check(schema)
    assert fault is not None
    assert fault.place == ("properties", "a", "$ref", "items", "$ref")


@pytest.mark.parametrize(
    "keyword",
    [
        *("not", "if", "then", "else", "additionalProperties", "unevaluatedProperties", "propertyNames"),
        *("items", "additionalItems", "unevaluatedItems", "contains", "contentSchema"),
    ],
)
def test_a_subschema_may_stand_alone(keyword: str) -> None:
    fault = check({keyword: {"$ref": "#/nowhere"}})
    assert fault is not None
    assert fault.place == (keyword, "$ref")


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf", "prefixItems", "items"])
def test_a_subschema_may_stand_in_a_list(keyword: str) -> None:
    fault = check({keyword: [{}, True, {"$ref": "#/nowhere"}]})
    assert fault is not None
    assert fault.place == (keyword, 2, "$ref")


@pytest.mark.parametrize(
    "keyword",
    [
        *("dependentSchemas", "dependencies", "properties", "patternProperties", "definitions", "$defs"),
    ],
)
def test_a_subschema_may_stand_under_a_name(keyword: str) -> None:
    fault = check({keyword: {"a": {}, "b": {"$ref": "#/nowhere"}, "c": True}})
    assert fault is not None
    assert fault.place == (keyword, "b", "$ref")


@pytest.mark.parametrize("draft", ["2019-09", "2020-12"])
@pytest.mark.parametrize("mark", ["", "#"])
def test_a_schema_may_name_its_draft_with_a_fragment(draft: str, mark: str) -> None:
    name = f"https://json-schema.org/draft/{draft}/schema{mark}"
    assert draft_of({"$schema": name}) == name


def test_a_schema_of_an_unknown_draft_is_one_of_draft_7() -> None:
    for named in (
        {},
        {"$schema": 7},
        {"$schema": "https://example.com/schema"},
        {"$schema": "#"},
        {"$schema": f"{DRAFT_2020}X"},
    ):
        assert draft_of(named) == DRAFT_7
    assert [draft_of({"$schema": DRAFT_7.replace("7", n)})[-8] for n in "3467"] == ["7", "4", "6", "7"]


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth - 1):
        schema = {"not": schema}
    return schema


def test_a_schema_has_a_size_and_a_depth() -> None:
    for depth, refused in ((MAX_DEPTH, False), (MAX_DEPTH + 1, True), (100_000, True)):
        fault = check(nested(depth))
        words = f"The schema is nested more than {MAX_DEPTH} levels deep."
        assert fault == (((), words) if refused else None)
    frame = len('{"title":""}')
    assert check({"title": "x" * (MAX_BYTES - frame)}) is None
    assert check({"title": "x" * (MAX_BYTES - frame + 1)}) == (
        (),
        "The schema has 262,145 bytes; the limit is 262,144.",
    )


TWICE: dict[str, Any] = {
    "definitions": {"x": {"properties": {"x": {"allOf": [{"$ref": "#/definitions/x"}] * 2}}}},
    "$ref": "#/definitions/x",
}
DOUBLED: dict[str, Any] = {
    "definitions": {
        **{f"t{n}": {"allOf": [{"$ref": f"#/definitions/t{n + 1}"}] * 2} for n in range(40)},
        "t40": {"type": "string"},
    },
    "$ref": "#/definitions/t0",
}
LINKED: dict[str, Any] = {"properties": {"x": {"$ref": "#"}}, "required": ["n"]}


def inside(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"n": 1}
    for _ in range(depth):
        value = {"n": 1, "x": value}
    return value


def test_a_validation_without_end_is_not_started() -> None:
    assert not affordable(TWICE, inside(60), 50_000)
    assert not affordable(DOUBLED, "text", 50_000)
    assert not affordable({"$ref": "#"}, {}, 50_000)
    assert not affordable(
        {"patternProperties": {f"{n}": True for n in range(500)}},
        {f"k{n}": 1 for n in range(200)},
        50_000,
    )
    assert affordable(TWICE, inside(8), 50_000)
    assert affordable(LINKED, inside(500), 50_000)


def cost(schema: dict[str, Any], value: Any) -> int:
    return next(budget for budget in range(100) if affordable(schema, value, budget))


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({}, 1, 0),
        ({"type": "object", "const": {"not": {}}, "title": "not"}, {"title": 1}, 0),
        # those for the value itself
        ({"not": {}}, 1, 1),
        ({"if": {}, "then": True, "else": False}, "x", 3),
        ({"allOf": [{}, {}], "anyOf": [{}], "oneOf": [True]}, [], 4),
        ({"dependentSchemas": {"a": {}, "b": {}}, "dependencies": {"a": {}}}, {"a": 1}, 3),
        ({"$ref": "#/definitions/x", "definitions": {"x": {}, "y": {}}}, 1, 1),
        ({"$ref": "#/definitions/x", "definitions": {"x": {"not": {}}}}, 1, 2),
        ({"$ref": "#/nowhere"}, 1, 0),
        ({"$ref": "#/x-ours/a", "x-ours": {"a": {"$ref": "#/x-ours/b"}, "b": {"not": {}}}}, 1, 3),
        (
            {
                "$schema": DRAFT_2020,
                "$id": "https://example.com/root",
                "$ref": "part",
                "$defs": {"x": {"$id": "part", "$ref": "#/$defs/y", "$defs": {"y": {"not": {}}}}},
            },
            1,
            3,
        ),
        # those for the members of an object
        ({"properties": {"a": {}, "b": {}}}, {"a": 1, "c": 1}, 1),
        ({"patternProperties": {"a": {}, "b": {}}}, {"a": 1, "b": 1, "c": 1}, 6),
        ({"additionalProperties": {}}, {"a": 1, "b": 1}, 2),
        ({"unevaluatedProperties": {}}, {"a": 1, "b": 1}, 2),
        ({"propertyNames": {}}, {"a": 1, "b": 1}, 2),
        ({"properties": {"0": {}}, "additionalProperties": {}, "patternProperties": {"": {}}}, ["0"], 0),
        # those for the entries of an array
        ({"items": {}}, [1, 2], 2),
        ({"items": [{}, {}, {}]}, [1, 2], 2),
        ({"prefixItems": [{}, True, {}]}, [1, 2], 2),
        ({"additionalItems": {}}, [1, 2, 3], 3),
        ({"unevaluatedItems": {}}, [1, 2, 3], 3),
        ({"contains": {}}, [1, 2, 3], 3),
        ({"items": {}, "prefixItems": [{}], "contains": {}}, {"a": 1}, 0),
        # and what they hold, each with its part of the value
        ({"not": {"not": {"not": {}}}}, 1, 3),
        ({"properties": {"a": {"items": {"not": {}}}}}, {"a": [1, 2]}, 5),
        ({"items": [{}, {"properties": {"a": {"not": {}}}}]}, [{"a": 1}, {"a": 1}], 4),
        ({"additionalProperties": {"items": {}}}, {"a": [1], "b": [1, 2]}, 5),
        ({"patternProperties": {"x": {"items": {}}}}, {"a": [1, 2]}, 3),
        ({"items": {"items": {}}}, [[1], [1, 2]], 5),
        ({"properties": {"a": {"$ref": "#"}}}, {"a": {"a": {"a": 1}}}, 6),
        # not evaluated
        ({"contentSchema": {"not": {}}}, "x", 0),
    ],
)
def test_the_cost_of_a_validation_is_the_number_of_subschemas_at_places(
    schema: dict[str, Any], value: Any, expected: int
) -> None:
    assert cost(schema, value) == expected


def test_a_payload_is_validated_if_the_cost_is_bounded() -> None:
    wrong = inside(20)
    del wrong["x"]["x"]["n"]
    assert misfit(_type(LINKED), inside(20)) is None
    assert misfit(_type(LINKED), wrong) == 'x.x: "n" is a required property'
    for schema in (TWICE, DOUBLED, {"allOf": [{"$ref": "#"}]}):
        assert misfit(_type(schema), inside(60)) is None


def test_a_schema_of_an_unknown_draft_validates_as_draft_7() -> None:
    schema = {"$schema": "https://example.com/ours", "items": [{"type": "string"}]}
    assert check(schema) is None
    assert misfit(_type(schema), ["a"]) is None
    assert misfit(_type(schema), [1]) == '0: 1 is not of type "string"'


def _type(schema: dict[str, Any]) -> EventType:
    return EventType("org_1", "a.b", "", {"1": schema}, False, False, (), None, EPOCH, EPOCH)
