"""Reads and checks a profile: how the webhooks of one product look.

`angarium.profiles` reads the files. `profile_table.py` and `profile_scenario.py` define their tables. This
module checks that the values are consistent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from angarium.core import json_schema, patterns
from angarium.core import scenario as scenario_rules
from angarium.core.envelope import check_name, check_value
from angarium.core.profile_scenario import Scenario
from angarium.core.profile_table import (
    DeliveryTable,
    DisableTable,
    EventTypeRule,
    Ids,
    Management,
    Portal,
    QuotaTable,
    Secrets,
    SigningTable,
    Table,
)

_STEP: Final = re.compile(r"\.(\w+)|\[([0-9]+)\]")
PARTS: Final = ("{id}", "{type}", "{time}", "{data}")


class ProfileError(ValueError):
    """A profile is invalid. `where` is the path to the value."""

    def __init__(self, where: tuple[str | int, ...], words: str) -> None:
        super().__init__(words)
        self.where = where
        self.words = words


class Profile(Table, frozen=True):
    """One product."""

    name: str
    """Name of the product in settings and commands."""
    title: str
    """Name of the product for its customers."""
    summary: str = ""
    """Description of its events, in one sentence."""
    management: Management = Management()
    """The API of the product's customers."""
    ids: Ids = Ids()
    """Prefixes of ids."""
    envelope: dict[str, str] = msgspec.field(default_factory=dict)
    """The body: keys in order, each with one of `{id}`, `{type}`, `{time}`, `{data}`. Empty: the payload
    is the body."""
    signing: tuple[SigningTable, ...] = (SigningTable(family="webhook"), SigningTable(family="svix"))
    """How requests are signed, in one or more ways."""
    delivery: DeliveryTable = DeliveryTable()
    """Attempts."""
    disable: DisableTable = DisableTable()
    """When endpoints are disabled."""
    secrets: Secrets = Secrets()
    """Signing secrets."""
    portal: Portal = Portal()
    """Links into the portal."""
    quota: QuotaTable = QuotaTable()
    """Limits of applications."""
    events: tuple[EventTypeRule, ...] = ()
    """The catalogue of event types."""
    scenarios: tuple[Scenario, ...] = ()
    """Routes of the sandbox."""

    def check(self) -> None:
        """Raise ProfileError for errors that the types do not catch."""
        if not patterns.is_event_type(self.name):
            raise ProfileError(("name",), "may contain only letters, digits, '-', '_' and '.'")
        self._check_envelope()
        self._check_signing()
        self._check_headers()
        self._check_numbers()
        self._check_events()
        self._check_scenarios({event.name for event in self.events})

    def _check_envelope(self) -> None:
        for key, value in self.envelope.items():
            if value not in PARTS:
                raise ProfileError(("envelope", key), f"must be one of {', '.join(PARTS)}, not {value!r}")
        if self.envelope and "{data}" not in self.envelope.values():
            raise ProfileError(("envelope",), "one key must hold {data}; otherwise the payload is lost")

    def _check_signing(self) -> None:
        if not self.signing:
            raise ProfileError(("signing",), "at least one scheme is required")
        for index, scheme in enumerate(self.signing):
            if (scheme.family is None) == (scheme.header is None):
                raise ProfileError(("signing", index), "must have either a family or a header")
            if scheme.format.count("{signature}") != 1 or scheme.format.count("{timestamp}") > 1:
                raise ProfileError(
                    ("signing", index, "format"),
                    "must contain {signature} once, and {timestamp} at most once",
                )
            if scheme.signed.count("{body}") != 1:
                raise ProfileError(("signing", index, "signed"), "must contain {body} once")

    def _check_headers(self) -> None:
        for index, scheme in enumerate(self.signing):
            if scheme.family is not None:
                _ask(("signing", index, "family"), check_name, f"{scheme.family}-signature")
            if scheme.header is not None:
                _ask(("signing", index, "header"), check_name, scheme.header)
                _ask(("signing", index, "format"), check_value, scheme.format)
        for name, value in self.delivery.headers.items():
            _ask(("delivery", "headers", name), check_name, name)
            _ask(("delivery", "headers", name), check_value, value)
        _ask(("delivery", "user_agent"), check_value, self.delivery.user_agent or "")
        _ask(("ids", "message"), check_value, self.ids.message)

    def _check_numbers(self) -> None:
        _ask(("delivery", "retries"), self.delivery.schedule)
        _ask(("delivery", "timeout"), lambda: self.delivery.timeout_seconds)
        _ask(("disable", "all_failing_for"), lambda: self.disable.failing_seconds)
        _ask(("secrets", "overlap"), lambda: self.secrets.overlap_seconds)
        _ask(("portal", "link_lifetime"), lambda: self.portal.lifetime_seconds)
        if not 200 <= self.management.create_status <= 299:
            raise ProfileError(("management", "create_status"), "must be from 200 to 299")
        least, greatest = self.delivery.jitter
        if not -1.0 < least <= greatest <= 1.0:
            raise ProfileError(
                ("delivery", "jitter"),
                "must be two fractions greater than -1 and at most 1, the smaller one first",
            )
        if self.delivery.max_body < 1:
            raise ProfileError(("delivery", "max_body"), "must be at least 1")
        if not 0.0 < self.delivery.timeout_seconds <= 60.0:
            raise ProfileError(("delivery", "timeout"), "must be greater than 0 and at most 60s")
        if self.disable.consecutive_attempts is not None and self.disable.consecutive_attempts < 1:
            raise ProfileError(("disable", "consecutive_attempts"), "must be at least 1")
        self._check_quota()
        for index, part in enumerate(self.disable.warn_at):
            if not 0.0 < part <= 1.0:
                raise ProfileError(("disable", "warn_at", index), "must be greater than 0 and at most 1")

    def _check_quota(self) -> None:
        for noun in ("messages", "endpoints"):
            numbers = [getattr(self.quota, f"{noun}_{level}") for level in ("soft", "hard")]
            for level, number in zip(("soft", "hard"), numbers, strict=True):
                if isinstance(number, int) and number < 0:
                    raise ProfileError(("quota", f"{noun}_{level}"), "must be at least 0")
            soft, hard = numbers
            if isinstance(soft, int) and isinstance(hard, int) and soft > hard:
                raise ProfileError(("quota", f"{noun}_soft"), f"must be at most {noun}_hard, {hard}")

    def _check_events(self) -> None:
        names: set[str] = set()
        for index, event in enumerate(self.events):
            if not patterns.is_event_type(event.name) or event.name in names:
                raise ProfileError(
                    ("events", index, "name"), f"{event.name!r} is not a valid event type, or occurs twice"
                )
            names.add(event.name)
            if event.schema is not None and (fault := json_schema.check(event.schema)) is not None:
                raise ProfileError(("events", index, "schema", *fault.place), fault.words)

    def _check_scenarios(self, names: set[str]) -> None:
        for index, scenario in enumerate(self.scenarios):
            for place, step in enumerate(scenario.steps):
                at = ("scenarios", index, "steps", place)
                if step.type not in names:
                    raise ProfileError((*at, "type"), f"{step.type!r} is not one of the events")
                if (wrong := scenario_rules.unknown_comparison(step.when)) is not None:
                    raise ProfileError((*at, "when"), wrong)
                _ask((*at, "after"), lambda step=step: step.after_seconds)


def _ask(where: tuple[str | int, ...], check: Callable[..., object], *given: str) -> None:
    """Run the check, and raise its ValueError as a ProfileError."""
    try:
        check(*given)
    except ValueError as error:
        raise ProfileError(where, str(error)) from error


def read(data: dict[str, Any]) -> Profile:
    """The profile from the tables of a file. Raises ProfileError."""
    try:
        profile = msgspec.convert(data, Profile)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$")
        raise ProfileError(_where(path), words) from error
    profile.check()
    return profile


def _where(path: str) -> tuple[str | int, ...]:
    """`.signing[1].format` as keys. A free-form key, which msgspec shows as `[...]`, is left out."""
    return tuple(int(index) if index else name for name, index in _STEP.findall(path))
