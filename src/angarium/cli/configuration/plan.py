"""Compares what an organization should have with what it has: the steps that make it so.

Pure: the same states give the same plan. The order of steps lets each of them succeed: what others need is
created first, and deleted last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from angarium.cli.configuration.fault import Fault, Path
from angarium.cli.configuration.field import KEEP, Noun, Secret, SecretReference, same
from angarium.cli.configuration.noun import APPLICATION, CONTACT, ENDPOINT, EVENT_TYPE, KEY
from angarium.cli.configuration.quota import NAMES, Quota
from angarium.cli.configuration.state import PART, ConfigItem, ConfigState

ORDER: Final = (EVENT_TYPE, APPLICATION, CONTACT, ENDPOINT, KEY)
PROFILE: Final = (PART, "profile")
NO_PROFILE: Final = "standard"
_PARTS: Final = ("headers", "quota")  # fields whose parts change one by one


class Action(StrEnum):
    """What a step does. Event types are archived instead of deleted."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    ARCHIVE = "archive"


class Hidden:
    """A value that the server does not show, such as that of a header with credentials."""

    def __repr__(self) -> str:
        return "(secret)"


HIDDEN: Final = Hidden()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that changes. A missing value is None, a secret HIDDEN or a SecretReference."""

    field: str
    before: Any
    after: Any

    @property
    def root(self) -> str:
        """The field of the object: `headers` of `headers.X-Shop`."""
        return self.field.partition(".")[0]

    @property
    def secret(self) -> bool:
        """Whether its values are not shown. Headers often carry credentials, whatever their names are."""
        return self.field.startswith("headers.") or any(
            isinstance(one, Hidden | SecretReference) for one in (self.before, self.after)
        )


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A change of one object. `fields`: all that it should have, for create and update."""

    action: Action
    kind: str
    title: str
    path: Path
    changes: tuple[FieldChange, ...] = ()
    fields: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are made. `left`: what is not in the files and stays."""

    steps: tuple[PlanStep, ...] = ()
    left: tuple[str, ...] = ()
    faults: tuple[Fault, ...] = ()

    def count(self, *actions: Action) -> int:
        return sum(step.action in actions for step in self.steps)


def plan(
    wanted: ConfigState, current: ConfigState, differing: Collection[Path] = (), *, delete: bool = False
) -> Plan:
    """The steps from `current` to `wanted`.

    `differing`: paths of values that only the server can compare, and that differ. `delete`: also delete
    what is not wanted, in the sections that `wanted` has.
    """
    steps, faults = _organization(wanted, current)
    for noun in ORDER:
        for item in sorted(wanted.of(noun), key=lambda one: one.path):
            before = current.items.get(item.path)
            if before is None:
                changes = tuple(_created(item))
                faults += _valueless(item, {})
                steps.append(_step(Action.CREATE, item, changes, item.fields))
            elif changes := tuple(_changed(item, before, differing)):
                faults += _fixed(item, changes) + _valueless(item, before.fields.get("headers") or {})
                steps.append(_step(Action.UPDATE, item, changes, item.fields))
    left = [item for noun in reversed(ORDER) for item in _surplus(noun, wanted, current)]
    if delete:
        removals = [_step(_removal(item.noun), item) for item in left]
        # an application has few contacts at most, so those that go make room for new ones
        steps = [one for one in removals if one.kind == CONTACT.name] + steps
        steps += [one for one in removals if one.kind != CONTACT.name]
    return Plan(tuple(steps), () if delete else tuple(item.title for item in left), tuple(faults))


def _organization(wanted: ConfigState, current: ConfigState) -> tuple[list[PlanStep], list[Fault]]:
    profile, has = wanted.organization.get("profile"), current.organization.get("profile", NO_PROFILE)
    if profile is None or profile == has:
        return [], []
    change = FieldChange("profile", has, profile)
    faults = [] if has == NO_PROFILE else [
        Fault(PROFILE, f"the organization has the profile {has}, which cannot be changed")
    ]  # fmt: skip
    return [PlanStep(Action.UPDATE, PART, PART, (PART,), (change,), {"profile": profile})], faults


def _step(
    action: Action,
    item: ConfigItem,
    changes: tuple[FieldChange, ...] = (),
    fields: Mapping[str, Any] | None = None,
) -> PlanStep:
    return PlanStep(action, item.noun.name, item.title, item.path, changes, fields)


def _created(item: ConfigItem) -> list[FieldChange]:
    found = [
        FieldChange(one.name, None, item.fields[one.name])
        for one in item.noun.fields
        if one.name in item.fields
        and one.name not in _PARTS
        and (one.required or not same(item.fields[one.name], one.default))
    ]
    return found + [
        FieldChange(f"{part}.{name}", None, value)
        for part in _PARTS
        for name, value in (item.fields.get(part) or {}).items()
    ]


def _changed(item: ConfigItem, before: ConfigItem, differing: Collection[Path]) -> list[FieldChange]:
    found = []
    for one in item.noun.fields:
        if one.name not in item.fields:
            continue
        path, value, old = (*item.path, one.name), item.fields[one.name], before.fields.get(one.name)
        if one.name == "headers":
            found += _headers(path, value, old or {}, differing)
        elif isinstance(one.kind, Quota):
            found += _quota(value, old or {})
        elif isinstance(one.kind, Secret):
            if path in differing:
                found.append(FieldChange(one.name, HIDDEN if old is None else old, value))
        elif not same(value, old):
            found.append(FieldChange(one.name, old, value))
    return found


def _quota(wanted: Mapping[str, Any], current: Mapping[str, Any]) -> list[FieldChange]:
    return [
        FieldChange(f"quota.{name}", current.get(name), wanted.get(name))
        for name in NAMES
        if wanted.get(name) != current.get(name)
    ]


def _headers(
    path: Path, wanted: Mapping[str, Any], current: Mapping[str, Any], differing: Collection[Path]
) -> list[FieldChange]:
    """Names of headers are compared without case."""
    found, old = [], {name.lower(): value for name, value in current.items()}
    for name, value in wanted.items():
        before = old.get(name.lower())
        if before is not None and isinstance(value, SecretReference) and value.kind == KEEP:
            continue
        by_text = isinstance(value, str) and isinstance(before, str)
        if (value != before) if by_text or before is None else (*path, name) in differing:
            found.append(FieldChange(f"headers.{name}", before, value))
    gone = old.keys() - {name.lower() for name in wanted}
    return found + [
        FieldChange(f"headers.{name}", value, None) for name, value in current.items() if name.lower() in gone
    ]


def kept_headers(headers: Mapping[str, Any] | None) -> list[str]:
    """Names of headers whose values stay."""
    return [
        name
        for name, value in (headers or {}).items()
        if isinstance(value, SecretReference) and value.kind == KEEP
    ]


def _valueless(item: ConfigItem, headers: Mapping[str, Any]) -> list[Fault]:
    """Headers whose values should stay, and that are not there."""
    there = {name.lower() for name in headers}
    words = "there is no value to keep; give {env: NAME} or {file: PATH}"
    names = [name for name in kept_headers(item.fields.get("headers")) if name.lower() not in there]
    return [Fault((*item.path, "headers", name), words) for name in names]


def _fixed(item: ConfigItem, changes: tuple[FieldChange, ...]) -> list[Fault]:
    return [
        Fault(
            (*item.path, one.field),
            f"the {one.field} of a {item.noun.name} cannot be changed from {one.before} to {one.after}; give "
            "the new one another name",
        )
        for one in changes
        if item.noun.field(one.root).fixed
    ]


def _surplus(noun: Noun, wanted: ConfigState, current: ConfigState) -> list[ConfigItem]:
    """What is there and in a section of the files, but not in the files. What is archived is gone already."""
    return [
        item
        for item in sorted(current.of(noun), key=lambda one: one.path)
        if item.path[:-1] in wanted.sections
        and item.path not in wanted.items
        and not item.fields.get("archived")
    ]


def _removal(noun: Noun) -> Action:
    return Action.ARCHIVE if noun is EVENT_TYPE else Action.DELETE
