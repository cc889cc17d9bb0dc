"""Faults of configuration files: each names its place, the value, and what would be accepted."""

from __future__ import annotations

import pytest

from angarium.cli.configuration.fault import ConfigurationError
from angarium.cli.configuration.field import SecretReference
from angarium.cli.configuration.state import ConfigState, read
from angarium.cli.configuration.text import read as read_text

ENDPOINT = ("applications", "acme", "endpoints", "orders")
APP = "angarium: 1\napplications:\n  acme:\n    name: Acme\n"
ORDERS = f"{APP}    endpoints:\n      orders:\n        url: https://example.com/\n"


def stated(*files: str) -> ConfigState:
    state, faults = read([read_text(one.encode(), f"{place}.yaml") for place, one in enumerate(files)])
    faults.check()
    return state


def faults_of(*files: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        stated(*files)
    return [str(one) for one in caught.value.faults]


def test_a_missing_field_has_its_default_unless_it_is_kept() -> None:
    fields = stated(ORDERS).items[ENDPOINT].fields
    assert fields == {
        "url": "https://example.com/", "description": "", "eventTypes": None, "channels": None,
        "throttleRate": None, "fifo": False, "metadata": {},
    }  # fmt: skip


def test_secrets_are_references() -> None:
    more = "        secret: {env: A_B}\n        headers: {X: '1', Y: {file: a/b}, Z: {keep: true}}\n"
    fields = stated(ORDERS + more).items[ENDPOINT].fields
    assert fields["secret"] == SecretReference("env", "A_B")
    assert fields["headers"] == {
        "X": "1",
        "Y": SecretReference("file", "a/b"),
        "Z": SecretReference("keep", "true"),
    }


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("[]", "0.yaml:1: [] is not valid; it must be a mapping that begins with `angarium: 1`"),
        ("x-a: 1", "0.yaml:1: `angarium: 1` is missing; it says which form the file has"),
        ("angarium: 2", "0.yaml:1: angarium: 2 is not valid; it must be 1, the form that this release reads"),
        (
            "angarium: 1\neventType: {}",
            "0.yaml:2: eventType: this field does not exist; did you mean eventTypes?",
        ),
        (
            "angarium: 1\napplications:\n",
            "0.yaml:2: applications: null is not valid; it must be a mapping, with one entry for each "
            "application; write {} for none",
        ),
        (
            "angarium: 1\napplications: {app_x: {name: A}}",
            '0.yaml:2: applications.app_x: "app_x" is not valid; it must be 1 to 256 of a-z A-Z 0-9 - _ ., '
            "not starting with app_",
        ),
        (
            "angarium: 1\napplications:\n  acme:\n    uid: x\n    name: A",
            "0.yaml:4: applications.acme.uid: this field does not exist; choose from name, throttleRate, "
            "metadata, quota, endpoints, keys, contacts",
        ),
        (
            "angarium: 1\napplications:\n  acme: {}",
            "0.yaml:3: applications.acme: `name` is missing: a name to display",
        ),
        (
            f"{APP}    throttleRate: fast",
            '0.yaml:5: applications.acme.throttleRate: "fast" is not valid; it must be a whole number from 1 '
            "to 65,535",
        ),
        (
            f"{APP}    throttleRate: true",
            "0.yaml:5: applications.acme.throttleRate: true is not valid; it must be a whole number from 1 "
            "to 65,535",
        ),
        (
            f"{APP}    metadata: {{plan: 7}}",
            "0.yaml:5: applications.acme.metadata.plan: 7 is not valid; it must be text; write it in quotes",
        ),
        (
            f"{ORDERS}        eventTypes: [order.*, 'or*']",
            '0.yaml:8: applications.acme.endpoints.orders.eventTypes[1]: "or*" is not valid; it must be the '
            "name of an event type, `prefix.*` or `*`",
        ),
        (
            f"{ORDERS}        fifo: 'yes'",
            '0.yaml:8: applications.acme.endpoints.orders.fifo: "yes" is not valid; it must be true or false',
        ),
        (
            "angarium: 1\neventTypes:\n  order.filled: {description: x, schemas: {v1: []}}",
            '0.yaml:3: eventTypes["order.filled"].schemas.v1: [] is not valid; it must be a mapping',
        ),
    ],
)
def test_a_fault_names_file_line_field_value_and_what_is_accepted(file: str, words: str) -> None:
    assert faults_of(file) == [words]


def test_all_faults_are_reported_at_once() -> None:
    assert len(faults_of(f"{APP}    throttleRate: 0\n    metadata: 1\n    nmae: x")) == 3


@pytest.mark.parametrize("value", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "{env: 1x}", "{keep: true}"])
def test_a_secret_that_is_no_reference_is_refused_and_not_shown(value: str) -> None:
    (words,) = faults_of(f"{ORDERS}        secret: {value}")
    assert words.startswith("0.yaml:8: applications.acme.endpoints.orders.secret: ")
    assert "it must be {env: NAME} or {file: PATH}" in words
    assert value not in words


def test_several_files_are_one_state_and_an_object_is_in_one_of_them() -> None:
    types = "angarium: 1\neventTypes: {a.b: {description: x}}"
    assert set(stated(APP, types).items) == {("applications", "acme"), ("eventTypes", "a.b")}
    assert faults_of(APP, APP) == ["1.yaml:3: applications.acme: it is in another file, too: 0.yaml:3"]
    one, other = ("angarium: 1\norganization: {id: org_" + letter + "}" for letter in "ab")
    assert faults_of(one, other) == ['1.yaml:2: organization.id: another file has "org_a"']


def test_names_that_begin_with_x_are_your_own() -> None:
    assert stated(f"x-note: a\n{APP}    x-owner: sales\n").items[("applications", "acme")].fields["name"]
