"""The JSON Schema of configuration files accepts what the command accepts, and is in the documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from angarium.api.native.quota import QuotaPatch
from angarium.cli.configuration.fault import ConfigurationError
from angarium.cli.configuration.json_schema import schema
from angarium.cli.configuration.noun import CONTACT, KINDS, TOP
from angarium.cli.configuration.quota import MAX_ENDPOINTS, MAX_MESSAGES, NAMES
from angarium.cli.configuration.state import read
from angarium.cli.configuration.text import ParsedFile
from angarium.core.alert import ALL_KINDS
from angarium.core.contact import MAX_CONTACTS
from angarium.core.quota import MOST, MOST_ENDPOINTS
from tests.kit.command import run

DOCUMENT = Path(__file__).parents[3] / "docs" / "configuration.schema.json"
VALIDATOR = jsonschema_rs.validator_for(schema())


def accepted(value: Any) -> bool:
    try:
        _, faults = read([ParsedFile(value)])
        faults.check()
    except ConfigurationError:
        return False
    return True


def test_the_published_schema_is_the_one_that_the_command_prints() -> None:
    assert DOCUMENT.read_text() == run("apply", "--schema").stdout, (
        "run: angarium apply --schema > docs/configuration.schema.json"
    )


def test_the_limits_and_kinds_are_those_of_the_server() -> None:
    assert sorted(ALL_KINDS) == sorted(KINDS)
    assert CONTACT.most == MAX_CONTACTS
    assert (MAX_MESSAGES, MAX_ENDPOINTS) == (MOST, MOST_ENDPOINTS)
    assert set(NAMES) == {field_name(one) for one in QuotaPatch.model_fields}


def field_name(name: str) -> str:
    noun, level = name.split("_")
    return noun + level.title()


def properties(part: Any, at: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = []
    if isinstance(part, dict):
        for name, one in part.get("properties", {}).items():
            found.append((f"{at}.{name}", one))
        for name, one in part.items():
            if name not in ("examples", "default", "const"):
                found += properties(one, f"{at}.{name}")
    elif isinstance(part, list):
        for one in part:
            found += properties(one, at)
    return found


def test_every_property_has_a_description_and_a_valid_example() -> None:
    jsonschema_rs.meta.validate(schema())
    found = properties(schema())
    assert len(found) > 30
    for at, one in found:
        assert one["description"].endswith("."), at
        assert one["examples"], at
        for example in one["examples"]:
            assert jsonschema_rs.is_valid(one, example), (at, example)


def whole() -> dict[str, Any]:
    """A file with every field."""
    value: dict[str, Any] = {"angarium": 1, "organization": {"id": "org_a", "profile": "bloom"}}
    for noun in TOP:
        one = {field.name: field.example for field in noun.fields}
        for child in noun.children:
            one[child.plural] = {child.sample: {field.name: field.example for field in child.fields}}
        value[noun.plural] = {noun.sample: one}
    return value


def changed(value: Any, path: tuple[str, ...], new: Any) -> Any:
    copy = json.loads(json.dumps(value))
    inside = copy
    for part in path[:-1]:
        inside = inside[part]
    inside[path[-1]] = new
    return copy


APP = ("applications", "acme")
ENDPOINT = (*APP, "endpoints", "orders")


def test_a_file_with_every_field_is_accepted_by_both() -> None:
    assert accepted(whole())
    assert VALIDATOR.is_valid(whole())


@pytest.mark.parametrize(
    ("path", "new", "valid"),
    [
        (("angarium",), 2, False),
        (("angarium",), True, False),
        (("other",), 1, False),
        (("x-other",), 1, True),
        (("organization", "id"), "acme", False),
        (("eventTypes", "a b"), {"description": "x"}, False),
        (("eventTypes", "a.b"), {}, False),
        (("eventTypes", "a.b"), {"description": "x", "schemas": None, "groupName": None}, True),
        ((*APP, "throttleRate"), 0, False),
        ((*APP, "throttleRate"), "1", False),
        ((*APP, "throttleRate"), None, True),
        ((*APP, "name"), "", False),
        ((*APP, "name"), None, False),
        ((*APP, "metadata"), {"a": 1}, False),
        ((*APP, "keys"), {"": {"scope": "a"}}, False),
        ((*APP, "endpoints"), None, False),
        ((*APP, "endpoints"), {}, True),
        ((*APP, "endpoints", "ep_x"), {"url": "https://a/"}, False),
        ((*APP, "quota"), {}, True),
        ((*APP, "quota"), {"messagesSoft": 0, "endpointsHard": "unlimited", "messagesHard": None}, True),
        ((*APP, "quota"), {"messages": 1}, False),
        ((*APP, "quota"), {"x-note": 1}, True),
        ((*APP, "quota"), {"messagesHard": -1}, False),
        ((*APP, "quota"), {"messagesHard": "100"}, False),
        ((*APP, "quota"), {"messagesHard": True}, False),
        ((*APP, "quota"), {"messagesHard": 10**15}, True),
        ((*APP, "quota"), {"messagesHard": 10**15 + 1}, False),
        ((*APP, "quota"), {"endpointsSoft": 10**6 + 1}, False),
        ((*APP, "contacts"), {}, True),
        ((*APP, "contacts"), {"dev@example.com": {}}, True),
        ((*APP, "contacts"), {"Dev@Example.com": {"kinds": ["quota.hard", "quota.soft"]}}, True),
        ((*APP, "contacts"), {"dev": {}}, False),
        ((*APP, "contacts"), {"dev@example.com\nBcc: x@example.com": {}}, False),
        ((*APP, "contacts"), {f"{'a' * 65}@example.com": {}}, False),
        ((*APP, "contacts"), {"dev@example.com": {"kinds": []}}, False),
        ((*APP, "contacts"), {"dev@example.com": {"kinds": ["endpoint_disabled"]}}, False),
        ((*APP, "contacts"), {f"dev{n}@example.com": {} for n in range(10)}, True),
        ((*APP, "contacts"), {f"dev{n}@example.com": {} for n in range(11)}, False),
        ((*ENDPOINT, "secret"), "whsec_x", False),
        ((*ENDPOINT, "secret"), {"env": "A", "file": "b"}, False),
        ((*ENDPOINT, "secret"), {"env": "A-B"}, False),
        ((*ENDPOINT, "secret"), {"file": "/run/secrets/a"}, True),
        ((*ENDPOINT, "headers"), {"A": {"keep": True}, "B": "x", "C": {"env": "X"}}, True),
        ((*ENDPOINT, "headers"), {"A": {"keep": False}}, False),
        ((*ENDPOINT, "url"), {"env": "URL"}, True),
        ((*ENDPOINT, "url"), {"keep": True}, False),
        ((*ENDPOINT, "eventTypes"), [], False),
        ((*ENDPOINT, "eventTypes"), ["order.*", "a"], True),
        ((*ENDPOINT, "eventTypes"), ["order.*.x"], False),
        ((*ENDPOINT, "channels"), ["a"] * 11, False),
        ((*ENDPOINT, "disabled"), "yes", False),
    ],
)
def test_the_schema_and_the_command_agree(path: tuple[str, ...], new: Any, valid: bool) -> None:
    value = changed(whole(), path, new)
    assert (VALIDATOR.is_valid(value), accepted(value)) == (valid, valid)
