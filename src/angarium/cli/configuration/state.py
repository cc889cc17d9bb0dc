"""Reads what an organization should have from the values of files, and writes what it has as such a value.

A state is flat: objects by path. An object is in a section, such as the endpoints of an application. Only
the sections that a state has are compared, so a file may be about event types alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from angarium.cli.configuration.fault import Faults, Path, shown
from angarium.cli.configuration.field import INVALID, ConfigField, Noun, SecretReference
from angarium.cli.configuration.noun import ORGANIZATION, TOP, VERSION, filled
from angarium.cli.configuration.text import ParsedFile

FORM: Final = "angarium"
PART: Final = "organization"


@dataclass(frozen=True, slots=True)
class ConfigItem:
    """An object: its noun, its path such as ("applications", "acme"), and its fields."""

    noun: Noun
    path: Path
    fields: Mapping[str, Any]

    @property
    def key(self) -> str:
        return str(self.path[-1])

    @property
    def title(self) -> str:
        """How plans name it: `endpoint acme/orders`."""
        return f"{self.noun.name} {'/'.join(str(one) for one in self.path[1::2])}"


@dataclass(slots=True)
class ConfigState:
    """What an organization has or should have. `organization`: its fields. `sections`: their paths."""

    organization: dict[str, Any] = field(default_factory=dict)
    items: dict[Path, ConfigItem] = field(default_factory=dict)
    sections: set[Path] = field(default_factory=set)

    def add(self, noun: Noun, path: Path, fields: Mapping[str, Any]) -> None:
        self.items[path] = ConfigItem(noun, path, fields)

    def of(self, noun: Noun) -> Iterator[ConfigItem]:
        return (one for one in self.items.values() if one.noun is noun)


def read(texts: list[ParsedFile]) -> tuple[ConfigState, Faults]:
    """The state that files describe together, and their faults. An object must be in one file only."""
    state, faults = ConfigState(), Faults()
    for text in texts:
        before, faults.places = faults.places, text.places
        _document(text.value, state, faults, before)
        # paths are of one document: what several files have is a section, for which any place will do
        faults.places = before | text.places
    return state, faults


def written(state: ConfigState) -> dict[str, Any]:
    """The state as the value of a file: sorted, without defaults."""
    found: dict[str, Any] = {FORM: VERSION}
    if state.organization:
        found[PART] = dict(state.organization)
    order = [noun.plural for noun in TOP]
    for section in sorted(state.sections, key=lambda path: (len(path), order.index(str(path[0])), path)):
        inside: Any = found
        for part in section[:-1]:
            inside = inside[part]
        inside[section[-1]] = {}
        for item in sorted(state.items.values(), key=lambda one: one.path):
            if item.path[:-1] == section:
                inside[section[-1]][item.key] = _shortened(item)
    return found


def _shortened(item: ConfigItem) -> dict[str, Any]:
    return {
        one.name: _plain(item.fields[one.name])
        for one in item.noun.fields
        if one.name in item.fields and (one.kept or one.required or item.fields[one.name] != one.default)
    }


def _plain(value: Any) -> Any:
    if isinstance(value, SecretReference):
        return {value.kind: True if value.kind == "keep" else value.name}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return value


def _document(value: Any, state: ConfigState, faults: Faults, before: Mapping[Path, Any]) -> None:
    if not isinstance(value, dict):
        faults.wrong((), value, f"a mapping that begins with `{FORM}: {VERSION}`")
        return
    if FORM not in value:
        faults.add((), f"`{FORM}: {VERSION}` is missing; it says which form the file has")
    elif value[FORM] != VERSION or isinstance(value[FORM], bool):
        faults.wrong((FORM,), value[FORM], f"{VERSION}, the form that this release reads")
    faults.unknown(value, [FORM, PART, *(noun.plural for noun in TOP)], ())
    if PART in value:
        _organization(value[PART], state, faults)
    for noun in TOP:
        if noun.plural in value:
            _section(noun, value[noun.plural], (noun.plural,), state, faults, before)


def _organization(value: Any, state: ConfigState, faults: Faults) -> None:
    if not isinstance(value, dict):
        faults.wrong((PART,), value, f"a mapping with {_list(ORGANIZATION)}")
        return
    faults.unknown(value, ORGANIZATION, (PART,))
    for name, one in ORGANIZATION.items():
        if value.get(name) is None:
            continue
        found = one.kind.read(value[name], (PART, name), faults)
        if found is not INVALID and state.organization.setdefault(name, found) != found:
            faults.add((PART, name), f"another file has {shown(state.organization[name])}")


def _section(
    noun: Noun, value: Any, path: Path, state: ConfigState, faults: Faults, before: Mapping[Path, Any]
) -> None:
    if not isinstance(value, dict):
        hint = "; write {} for none" if value is None else ""
        faults.wrong(path, value, f"a mapping, with one entry for each {noun.name}{hint}")
        return
    state.sections.add(path)
    for key, given in value.items():
        written_at, place = (*path, key), (*path, noun.normal(key))
        if place in state.items:
            other = before.get(written_at)
            words = "it is there twice; capital letters do not count"
            faults.add(written_at, words if other is None else f"it is in another file, too: {other}")
            continue
        if noun.key.read(key, written_at, faults) is INVALID:
            continue
        if not isinstance(given, dict):
            faults.wrong(written_at, given, f"a mapping with the fields of the {noun.name}")
            continue
        faults.unknown(given, noun.names, written_at)
        state.add(noun, place, filled(noun, _fields(noun, given, written_at, faults)))
        for child in noun.children:
            if child.plural in given:
                _section(child, given[child.plural], (*place, child.plural), state, faults, before)
    if noun.most is not None and len(value) > noun.most:
        faults.add(path, f"it has {len(value):,} entries; at most {noun.most} are accepted")


def _fields(noun: Noun, given: dict[str, Any], place: Path, faults: Faults) -> dict[str, Any]:
    found = {}
    for one in noun.fields:
        value = given.get(one.name)
        if value is None:
            if one.required:
                faults.add(place, f"`{one.name}` is missing: {_sentence(one)}")
            continue
        value = one.kind.read(value, (*place, one.name), faults)
        if value is not INVALID:
            found[one.name] = value
    return found


def _list(names: Any) -> str:
    return ", ".join(names)


def _sentence(one: ConfigField) -> str:
    return one.words[:1].lower() + one.words[1:].partition(". ")[0].rstrip(".")
