"""The plan from one state to another: nothing once it is made, and the same whatever the order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.cli.configuration.fault import Path
from angarium.cli.configuration.field import KEEP, Secret, SecretReference, same
from angarium.cli.configuration.noun import (
    APPLICATION,
    CONTACT,
    ENDPOINT,
    EVENT_TYPE,
    KEY,
    KINDS,
    TOP,
    filled,
)
from angarium.cli.configuration.plan import HIDDEN, Action, Plan, plan
from angarium.cli.configuration.quota import NAMES as LIMITS
from angarium.cli.configuration.state import ConfigItem, ConfigState, read, written
from angarium.cli.configuration.text import ParsedFile

NAMES = st.sampled_from(["a", "b", "c.d", "e-f"])
ADDRESSES = st.sampled_from(["a@example.com", "b.c@example.com"])
WORDS = st.text("ab 0:#é", max_size=3)
SCALARS = st.none() | st.booleans() | st.integers(0, 2) | WORDS
JSON = st.recursive(SCALARS, lambda one: st.lists(one, max_size=2))
REFERENCES = st.sampled_from(
    [SecretReference("env", "A"), SecretReference("env", "B"), SecretReference("file", "c")]
)


def optional(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(values, min_size=1, max_size=3, unique=True).map(sorted)


METADATA = st.dictionaries(NAMES, WORDS, max_size=2)
EVENT_TYPES = st.builds(
    lambda words, more: filled(EVENT_TYPE, {"description": words, **more}),
    WORDS,
    optional(
        {
            "schemas": st.dictionaries(NAMES, st.dictionaries(WORDS, JSON, max_size=2), max_size=2),
            "groupName": NAMES,
            "featureFlags": listed(NAMES),
            "deprecated": st.booleans(),
            "archived": st.booleans(),
        }
    ),
)
QUOTAS = optional(
    {
        name: st.integers(1, 2) if name.endswith("Hard") else st.integers(0, 1) | st.just("unlimited")
        for name in LIMITS
    }
)
APPLICATIONS = st.builds(
    lambda name, more: filled(APPLICATION, {"name": f"A{name}", **more}),
    WORDS,
    optional(
        {
            "throttleRate": st.integers(1, 3),
            "metadata": METADATA,
            "quota": QUOTAS,
        }
    ),
)
ENDPOINTS = st.builds(
    lambda url, more: filled(ENDPOINT, {"url": url, **more}),
    REFERENCES | st.sampled_from(["https://a/", "https://b/"]),
    optional(
        {
            "eventTypes": listed(NAMES),
            "channels": listed(NAMES),
            "throttleRate": st.integers(1, 3),
            "fifo": st.booleans(),
            "metadata": METADATA,
            "disabled": st.booleans(),
            "headers": st.dictionaries(
                st.sampled_from(["X-A", "x-b", "X-C"]), REFERENCES | WORDS, max_size=3
            ),
            "secret": REFERENCES,
        }
    ),
)
KEYS = st.builds(lambda: {"scope": "s"})
CONTACTS = st.builds(lambda more: filled(CONTACT, more), optional({"kinds": listed(st.sampled_from(KINDS))}))


@st.composite
def states(draw: st.DrawFn) -> ConfigState:
    state = ConfigState()
    for noun, fields in ((EVENT_TYPE, EVENT_TYPES), (APPLICATION, APPLICATIONS)):
        if draw(st.booleans()):
            state.sections.add((noun.plural,))
            for name, one in draw(st.dictionaries(NAMES, fields, max_size=3)).items():
                state.add(noun, (noun.plural, name), one)
    for app in list(state.of(APPLICATION)):
        for noun, names, fields in (
            (ENDPOINT, NAMES, ENDPOINTS), (KEY, NAMES, KEYS), (CONTACT, ADDRESSES, CONTACTS)
        ):  # fmt: skip
            if draw(st.booleans()):
                section = (*app.path, noun.plural)
                state.sections.add(section)
                for name, one in draw(st.dictionaries(names, fields, max_size=3)).items():
                    state.add(noun, (*section, name), one)
    return state


def value_of(reference: Any) -> Any:
    return f"value of {reference.name}" if isinstance(reference, SecretReference) else reference


class Server:
    """A server as far as plans are about it. Secret values are stored, and not shown."""

    def __init__(self) -> None:
        self.stored: dict[Path, dict[str, Any]] = {}
        self.nouns: dict[Path, Any] = {}

    def shown(self) -> ConfigState:
        """What it has: all sections, with secrets hidden."""
        state = ConfigState(sections={(noun.plural,) for noun in TOP})
        for path, fields in self.stored.items():
            noun = self.nouns[path]
            if noun is APPLICATION:
                state.sections |= {(*path, child.plural) for child in noun.children}
            one = {name: value for name, value in fields.items() if name != "secret"}
            if "headers" in one:
                one["headers"] = {
                    name: HIDDEN if value.startswith("value of") else value
                    for name, value in one["headers"].items()
                }
            state.add(noun, path, one)
        return state

    def differing(self, wanted: ConfigState) -> set[Path]:
        """What only it can compare."""
        found: set[Path] = set()
        for item in wanted.of(ENDPOINT):
            stored = self.stored.get(item.path)
            if stored is None:
                continue
            for name in ("url", "secret"):
                if name in item.fields and value_of(item.fields[name]) != stored.get(name):
                    found.add((*item.path, name))
            known = {name.lower(): value for name, value in stored.get("headers", {}).items()}
            for name, value in item.fields.get("headers", {}).items():
                if value_of(value) != known.get(name.lower()):
                    found.add((*item.path, "headers", name))
        return found

    def make(self, made: Plan, wanted: ConfigState) -> None:
        for step in made.steps:
            if step.action in (Action.CREATE, Action.UPDATE):
                noun = wanted.items[step.path].noun
                assert step.path[:-2] in ((), *self.stored), "what it is in must be there"
                before = self.stored.get(step.path, {"disabled": False} if noun is ENDPOINT else {})
                assert (step.path in self.stored) == (step.action is Action.UPDATE)
                self.nouns[step.path] = noun
                self.stored[step.path] = before | self._values(step.fields or {})
            elif step.action is Action.ARCHIVE:
                self.stored[step.path]["archived"] = True
            else:
                for path in [one for one in self.stored if one[: len(step.path)] == step.path]:
                    del self.stored[path]

    def _values(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: value_of(value) for name, value in fields.items()}
        if "headers" in found:
            found["headers"] = {name: value_of(value) for name, value in fields["headers"].items()}
        return found

    def has(self, item: ConfigItem) -> bool:
        """Whether an object is as it is wanted."""
        values, stored = self._values(item.fields), self.stored[item.path]
        return all(same(one, stored[name]) for name, one in values.items())

    def plan(self, wanted: ConfigState, *, delete: bool) -> Plan:
        return plan(wanted, self.shown(), self.differing(wanted), delete=delete)


@given(states(), states(), st.booleans())
def test_a_plan_that_is_made_leaves_nothing_to_do(
    first: ConfigState, second: ConfigState, delete: bool
) -> None:
    server = Server()
    for wanted in (first, second, first):
        server.make(server.plan(wanted, delete=delete), wanted)
        assert server.plan(wanted, delete=delete).steps == ()
        for item in wanted.items.values():
            assert server.has(item), item.title


@given(states(), states(), st.integers(0, 9))
def test_a_plan_that_stops_in_the_middle_is_finished_by_the_next(
    first: ConfigState, second: ConfigState, at: int
) -> None:
    server, direct = Server(), Server()
    for one in (server, direct):
        one.make(one.plan(first, delete=True), first)
    whole = server.plan(second, delete=True)
    server.make(Plan(whole.steps[:at]), second)
    server.make(server.plan(second, delete=True), second)
    direct.make(direct.plan(second, delete=True), second)
    assert server.stored == direct.stored


@given(states(), states())
def test_nothing_is_deleted_without_being_asked_for(first: ConfigState, second: ConfigState) -> None:
    server = Server()
    server.make(server.plan(first, delete=False), first)
    made = server.plan(second, delete=False)
    assert made.count(Action.DELETE, Action.ARCHIVE) == 0
    surplus = server.plan(second, delete=True)
    assert len(made.left) == surplus.count(Action.DELETE, Action.ARCHIVE)
    removals = [one for one in surplus.steps if one.action in (Action.DELETE, Action.ARCHIVE)]
    assert tuple(one for one in surplus.steps if one not in removals) == made.steps
    for step in removals:
        assert step.path[:-1] in second.sections


@given(states())
def test_what_is_exported_and_applied_elsewhere_is_exported_again_alike(wanted: ConfigState) -> None:
    for item in list(wanted.items.values()):  # secrets do not travel
        fields = {
            name: "https://a/" if name == "url" else value
            for name, value in item.fields.items()
            if not isinstance(item.noun.field(name).kind, Secret) or name == "url"
        }
        if "headers" in fields:
            headers: dict[str, Any] = dict(item.fields["headers"])
            fields["headers"] = {k: v for k, v in headers.items() if isinstance(v, str)}
        wanted.add(item.noun, item.path, fields)
    first, second = Server(), Server()
    first.make(first.plan(wanted, delete=True), wanted)
    exported = written(first.shown())
    again, faults = read([ParsedFile(exported)])
    faults.check()
    second.make(second.plan(again, delete=True), again)
    assert written(second.shown()) == exported
    assert first.plan(again, delete=True).steps == ()


def test_values_are_the_same_if_they_are_the_same_json() -> None:
    assert same({"a": [1, 1.0]}, {"a": [1.0, 1]})
    unlike = [(True, 1), (0, False), ([1], [1, 2]), ({"a": 1}, {"b": 1}), ({"a": [True]}, {"a": [1]})]
    assert not any(same(one, other) for one, other in unlike)


B = SecretReference("env", "B")
BEFORE = {
    "url": SecretReference("env", "A"), "description": "", "secret": B, "disabled": True,
    "headers": {"X-A": "0", "X-B": B},
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "changed"),
    [
        ("url", "https://b/", ["url"]),
        ("url", "value of A", []),
        ("description", "x", ["description"]),
        ("eventTypes", ["a"], ["eventTypes"]),
        ("channels", ["a"], ["channels"]),
        ("throttleRate", 1, ["throttleRate"]),
        ("fifo", True, ["fifo"]),
        ("metadata", {"a": "b"}, ["metadata"]),
        ("disabled", False, ["disabled"]),
        ("secret", SecretReference("env", "C"), ["secret"]),
        ("secret", SecretReference("file", "B"), []),
        ("headers", {"x-a": "0", "x-b": B}, []),
        ("headers", {"x-a": "0", "x-b": SecretReference(KEEP, "true")}, []),
        ("headers", {"X-A": "1", "X-B": B}, ["headers.X-A"]),
        ("headers", {"X-A": "0", "X-B": SecretReference("env", "C")}, ["headers.X-B"]),
        ("headers", {"X-A": "0", "X-B": "plain"}, ["headers.X-B"]),
        ("headers", {"X-A": B, "X-B": B}, ["headers.X-A"]),
        ("headers", {"X-B": B}, ["headers.X-A"]),
        ("headers", {"X-A": "0", "X-B": B, "X-C": "1"}, ["headers.X-C"]),
        ("headers", {}, ["headers.X-A", "headers.X-B"]),
    ],
)
def test_a_field_that_differs_is_the_only_change(field: str, value: Any, changed: list[str]) -> None:
    server, path = Server(), ("applications", "a", "endpoints", "e")
    for fields in (BEFORE, BEFORE | {field: value}):
        wanted = ConfigState(sections={("applications",), path[:-1]})
        wanted.add(APPLICATION, path[:2], filled(APPLICATION, {"name": "A"}))
        wanted.add(ENDPOINT, path, filled(ENDPOINT, fields))
        made = server.plan(wanted, delete=False)
        if fields is not BEFORE:
            assert [one.field for step in made.steps for one in step.changes] == changed
        else:
            server.make(made, wanted)


def test_what_cannot_be_done_is_a_fault() -> None:
    server, wanted = Server(), ConfigState(sections={("applications",), ("applications", "a", "keys")})
    wanted.add(APPLICATION, ("applications", "a"), filled(APPLICATION, {"name": "A"}))
    wanted.add(KEY, ("applications", "a", "keys", "k"), {"scope": "one"})
    server.make(server.plan(wanted, delete=False), wanted)
    wanted.add(KEY, ("applications", "a", "keys", "k"), {"scope": "two"})
    keep = {"url": "https://a/", "headers": {"X": SecretReference(KEEP, "true")}}
    wanted.add(ENDPOINT, ("applications", "a", "endpoints", "e"), filled(ENDPOINT, keep))
    wanted.organization = {"profile": "other"}
    current = server.shown()
    current.organization = {"profile": "bloom"}
    words = [str(one) for one in plan(wanted, current).faults]
    assert words == [
        "organization.profile: the organization has the profile bloom, which cannot be changed",
        "applications.a.endpoints.e.headers.X: there is no value to keep; give {env: NAME} or {file: PATH}",
        "applications.a.keys.k.scope: the scope of a key cannot be changed from one to two; give the new one "
        "another name",
    ]
