"""Event types as OpenAPI and AsyncAPI documents: valid, the same when they are read again, and bounded."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from angarium.cli.catalogue import asyncapi, openapi
from angarium.cli.catalogue import reference as module
from angarium.cli.catalogue.reference import SourceDocument
from angarium.cli.configuration.fault import ConfigurationError, Faults
from angarium.cli.configuration.field import same
from angarium.cli.configuration.noun import EVENT_TYPE, filled
from angarium.cli.configuration.state import ConfigState
from angarium.cli.event_type import read_state
from angarium.core import json_schema

# of the npm package @asyncapi/specs 6.11.1 (Apache-2.0), schemas/3.0.0-without-$id.json
ASYNCAPI = jsonschema_rs.validator_for(
    json.loads(gzip.decompress((Path(__file__).parent / "asyncapi-3.0.0.json.gz").read_bytes()))
)
FORMS = {"openapi": openapi, "asyncapi": asyncapi}
RECURSIVE = {
    "type": "object",
    "properties": {
        "next": {"$ref": "#"},
        "total": {"$ref": "#/$defs/money~1eur"},
        "$ref": {"type": "string"},
        "same": {"$ref": "#/properties/total"},
    },
    "$defs": {"money/eur": {"type": "integer", "not": {"$ref": "#/$defs/100%25"}}, "100%": False},
    "examples": [{"$ref": "#/$defs/money", "total": 1}],
    "default": {"$ref": "#"},
}
SCHEMAS = st.sampled_from(
    [
        {},
        {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{"$ref": "#"}]},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"$ref": "#/items/0"}]},
        {"$id": "urn:x:order", "properties": {"a": {"$ref": "#/definitions/a"}}, "definitions": {"a": True}},
        RECURSIVE,
    ]
)
NAMES = st.sampled_from(["a", "order.filled", "order-x_y", "A.B.C"])
TYPES = st.dictionaries(
    NAMES,
    st.builds(
        lambda words, more: filled(EVENT_TYPE, {"description": words, **more}),
        st.text("ab é\n:", max_size=4),
        st.fixed_dictionaries(
            {},
            optional={
                "schemas": st.dictionaries(st.sampled_from(["1", "2", "v3"]), SCHEMAS, max_size=3),
                "groupName": NAMES,
                "featureFlags": st.just(["a", "b"]),
                "deprecated": st.booleans(),
                "archived": st.booleans(),
            },
        ),
    ),
    min_size=1,
    max_size=3,
)


def read(document: Any) -> dict[str, dict[str, Any]]:
    state, faults = read_state(document, {})
    faults.check()
    return {item.key: dict(item.fields) for item in state.items.values()}


def refused(document: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(document)
    return caught.value.detail


@pytest.mark.parametrize("form", FORMS)
@given(types=TYPES)
def test_what_is_written_is_valid_and_read_as_the_same(form: str, types: dict[str, Any]) -> None:
    document = FORMS[form].written(types, "Shop")
    if form == "openapi":
        OPENAPI_31_VALIDATOR.validate(document)
    else:
        ASYNCAPI.validate(document)
    assert same(read(json.loads(json.dumps(document))), types)


@pytest.mark.parametrize("form", FORMS)
def test_references_in_a_document_lead_where_they_did(form: str) -> None:
    """Another tool that resolves the document's references finds what the schema means."""
    types = {"a.b": filled(EVENT_TYPE, {"description": "", "schemas": {"1": RECURSIVE}})}
    document = FORMS[form].written(types, "Shop")
    if form == "openapi":
        path = "#/webhooks/a.b/post/requestBody/content/application~1json/schema"
    else:
        path = "#/components/messages/a.b/payload/schema"
    assert str(document).count("'$ref': '#/$defs/money', 'total': 1") == 1, "an example is data"
    whole = jsonschema_rs.validator_for({**document, "$ref": path})
    for value, valid in (({"total": 1}, True), ({"total": "1"}, False), ({"next": {"same": "x"}}, False)):
        assert whole.is_valid(value) is valid
        assert jsonschema_rs.validator_for(RECURSIVE).is_valid(value) is valid


OPENAPI = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "tags": [{"name": "Our orders"}],
    "webhooks": {
        "order.filled": {
            "post": {
                "summary": "An order was filled.",
                "tags": ["order"],
                "deprecated": True,
                "requestBody": {"$ref": "#/components/requestBodies/Order"},
                "responses": {"200": {"description": "OK"}},
            }
        },
        "order.line": {"$ref": "#/components/pathItems/line"},
    },
    "components": {
        "requestBodies": {
            "Order": {
                "content": {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/Order"},
                        "examples": {"one": {"value": {"id": "ord_1"}}},
                    }
                }
            }
        },
        "pathItems": {"line": {"post": {"description": "A line.", "tags": ["Our orders"]}}},
        "schemas": {
            "Order": {
                "type": "object",
                "properties": {
                    "id": {"type": "string"},
                    "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
                    "parent": {"$ref": "#/components/schemas/Order"},
                },
            },
            "Line": {"type": "object", "properties": {"of": {"$ref": "#/components/schemas/Order"},
                                                      "next": {"$ref": "#/components/schemas/Line"}}},
        },
    },
}  # fmt: skip


def test_schemas_of_an_openapi_document_become_documents_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = read(OPENAPI)
    order = found["order.filled"]
    schema = order.pop("schemas")["1"]
    assert order == {
        "description": "An order was filled.", "groupName": "order", "featureFlags": [],
        "deprecated": True, "archived": False,
    }  # fmt: skip
    assert json_schema.check(schema) is None
    assert schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
            "parent": {"$ref": "#"},
        },
        "$defs": {
            "Line": {
                "type": "object",
                "properties": {"of": {"$ref": "#"}, "next": {"$ref": "#/$defs/Line"}},
            }
        },
        "examples": [{"id": "ord_1"}],
    }
    assert (found["order.line"]["description"], found["order.line"]["groupName"]) == ("A line.", None)
    assert "order.line: the tag 'Our orders' cannot name a group; left out" in capsys.readouterr().err


def test_messages_of_an_asyncapi_document_are_those_that_are_sent() -> None:
    def message(name: str) -> dict[str, Any]:
        return {"summary": name, "payload": {"$ref": "#/components/schemas/id"}, "examples": [{"payload": 1}]}

    document: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {"title": "Shop", "version": "1"},
        "channels": {
            "orders": {"messages": {"one": {"$ref": "#/components/messages/order.one"}}},
            "other": {"messages": {"order.two": message("two")}},
        },
        "operations": {
            "send": {"action": "send", "channel": {"$ref": "#/channels/orders"}},
            "get": {"action": "receive", "channel": {"$ref": "#/channels/other"}},
        },
        "components": {
            "messages": {"order.one": message("one"), "order.three": message("three")},
            "schemas": {"id": {"type": "integer"}},
        },
    }
    ASYNCAPI.validate(document)
    assert set(read(document)) == {"order.one"}
    assert read(document)["order.one"]["schemas"] == {"1": {"type": "integer", "examples": [1]}}
    del document["operations"]
    assert set(read(document)) == {"order.one", "order.two"}
    del document["channels"]
    assert set(read(document)) == {"order.one", "order.three"}


def hook(schema: Any, **more: Any) -> dict[str, Any]:
    body = {"content": {"application/json": {"schema": schema}}}
    webhooks = {"a.b": {"post": {"requestBody": body, "responses": {}}}}
    return {"openapi": "3.1.0", "webhooks": webhooks, **more}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "the file must begin with `openapi: 3.1.0` or `asyncapi: 3.0.0`"),
        ({"openapi": "3.0.3"}, 'openapi: "3.0.3" is not valid; it must be 3.1'),
        ({"asyncapi": "2.6.0"}, 'asyncapi: "2.6.0" is not valid; it must be 3.0.0'),
        ({"openapi": "3.1.0", "paths": {}}, "the document has no `webhooks`"),
        ({"asyncapi": "3.0.0"}, "the document has no messages"),
        ({"openapi": "3.1.0", "webhooks": {"a b": {"post": {}}}}, '"a b" is not valid; it must be 1 to'),
        ({"openapi": "3.1.0", "webhooks": {"a": {}}}, "webhooks.a: it has no operation"),
        (hook({"$ref": "#/components/schemas/x"}), "'#/components/schemas/x' does not exist in this file"),
        (hook({"$ref": "other.yaml#/x"}), "'other.yaml#/x' is not in this file, and is not fetched"),
        (hook({"not": {"$ref": "https://example.com/x"}}), "is not in this file, and is not fetched"),
        (hook(True), "it must be a JSON Schema, a mapping"),
        (
            hook({"$ref": "#/x/a"}, x={"a": {"$ref": "#/x/b"}, "b": {"$ref": "#/x/a"}}),
            "it leads through more than 50 references",
        ),
        (
            {"asyncapi": "3.0.0", "components": {"messages": {"a": {"payload": {
                "schemaFormat": "application/vnd.apache.avro;version=1.9.0", "schema": {}}}}}},
            "the schemaFormat 'application/vnd.apache.avro;version=1.9.0' is not accepted",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(document: Any, words: str) -> None:
    assert words in refused(document)


def test_references_that_multiply_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_NODES", 1000)
    schemas = {f"s{n}": {"allOf": [{"$ref": f"#/s/s{n + 1}"}] * 3} for n in range(200)} | {"s200": {}}
    assert "have more than 1,000 parts" in refused(hook({"$ref": "#/s/s0"}, s=schemas))


def test_two_event_types_of_a_document_cannot_have_one_name() -> None:
    messages = {key: {"name": "a.b"} for key in ("one", "two")}
    assert "another event type of this file has the name a.b" in refused(
        {"asyncapi": "3.0.0", "components": {"messages": messages}}
    )
    assert SourceDocument({}, Faults()).root == {}
    assert ConfigState().items == {}
