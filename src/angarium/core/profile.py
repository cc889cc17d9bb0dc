"""A profile: how one product's webhooks look from outside. The values of a profile file.

Files are read and checked by `angarium.profiles`; `profile_table.py` and `profile_scenario.py` say what may
stand in one, and this module refuses what does not fit together.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from angarium.core import json_schema, patterns
from angarium.core import scenario as scenario_rules
from angarium.core.profile_scenario import Scenario
from angarium.core.profile_table import (
    Delivery,
    Disable,
    EventTypeRule,
    Ids,
    Management,
    Portal,
    Scheme,
    Secrets,
    Table,
)

_STEP: Final = re.compile(r"\.(\w+)|\[([0-9]+)\]")
PARTS: Final = ("{id}", "{type}", "{time}", "{data}")


class ProfileError(ValueError):
    """Something in a profile does not fit; `where` are the keys that lead to it."""

    def __init__(self, where: tuple[str | int, ...], words: str) -> None:
        super().__init__(words)
        self.where = where
        self.words = words


class Profile(Table, frozen=True):
    """One product."""

    name: str
    """What the product is called in settings and commands."""
    title: str
    """What its customers call it."""
    summary: str = ""
    """What its events are about, in a sentence."""
    management: Management = Management()
    """The API of the product's customers."""
    ids: Ids = Ids()
    """What ids begin with."""
    envelope: dict[str, str] = msgspec.field(default_factory=dict)
    """The body: keys in their order, each one of `{id}`, `{type}`, `{time}`, `{data}`. Empty: the payload is
    the body."""
    signing: tuple[Scheme, ...] = (Scheme(family="webhook"), Scheme(family="svix"))
    """How requests are signed, in one way or several at once."""
    delivery: Delivery = Delivery()
    """Attempts."""
    disable: Disable = Disable()
    """When endpoints are disabled."""
    secrets: Secrets = Secrets()
    """Signing secrets."""
    portal: Portal = Portal()
    """Links into the portal."""
    events: tuple[EventTypeRule, ...] = ()
    """The catalogue of event types."""
    scenarios: tuple[Scenario, ...] = ()
    """Routes of the sandbox."""

    def check(self) -> None:
        """Raise ProfileError for what the types do not say."""
        if not patterns.is_event_type(self.name):
            raise ProfileError(("name",), "a name is of letters, digits, '-', '_' and '.'")
        self._check_envelope()
        self._check_signing()
        self._check_numbers()
        self._check_events()
        self._check_scenarios({event.name for event in self.events})

    def _check_envelope(self) -> None:
        for key, value in self.envelope.items():
            if value not in PARTS:
                raise ProfileError(("envelope", key), f"one of {', '.join(PARTS)}, not {value!r}")
        if self.envelope and "{data}" not in self.envelope.values():
            raise ProfileError(("envelope",), "no key holds {data}, so the payload would be lost")

    def _check_signing(self) -> None:
        if not self.signing:
            raise ProfileError(("signing",), "requests must be signed in at least one way")
        for index, scheme in enumerate(self.signing):
            if (scheme.family is None) == (scheme.header is None):
                raise ProfileError(("signing", index), "either a family or a header")
            if "{signature}" not in scheme.format:
                raise ProfileError(("signing", index, "format"), "the format must hold {signature}")
            if "{body}" not in scheme.signed:
                raise ProfileError(("signing", index, "signed"), "what is signed must hold {body}")

    def _check_numbers(self) -> None:
        for where, check in (
            (("delivery", "retries"), self.delivery.schedule),
            (("delivery", "timeout"), lambda: self.delivery.timeout_seconds),
            (("disable", "all_failing_for"), lambda: self.disable.failing_seconds),
            (("secrets", "overlap"), lambda: self.secrets.overlap_seconds),
            (("portal", "link_lifetime"), lambda: self.portal.lifetime_seconds),
        ):
            try:
                check()
            except ValueError as error:
                raise ProfileError(where, str(error)) from error
        if not 0.0 < self.delivery.timeout_seconds <= 60.0:
            raise ProfileError(("delivery", "timeout"), "a timeout is more than nothing and at most 60s")
        if self.disable.consecutive_attempts is not None and self.disable.consecutive_attempts < 1:
            raise ProfileError(("disable", "consecutive_attempts"), "at least 1")

    def _check_events(self) -> None:
        names: set[str] = set()
        for index, event in enumerate(self.events):
            if not patterns.is_event_type(event.name) or event.name in names:
                raise ProfileError(
                    ("events", index, "name"), f"{event.name!r} is no event type, or there twice"
                )
            names.add(event.name)
            if event.schema is not None and (fault := json_schema.check(event.schema)) is not None:
                raise ProfileError(("events", index, "schema", *fault.place), fault.words)

    def _check_scenarios(self, names: set[str]) -> None:
        for index, scenario in enumerate(self.scenarios):
            for place, step in enumerate(scenario.steps):
                at = ("scenarios", index, "steps", place)
                if step.type not in names:
                    raise ProfileError((*at, "type"), f"{step.type!r} is no event")
                if (wrong := scenario_rules.unknown_comparison(step.when)) is not None:
                    raise ProfileError((*at, "when"), wrong)
                try:
                    step.after_seconds  # noqa: B018 (parses)
                except ValueError as error:
                    raise ProfileError((*at, "after"), str(error)) from error


def read(data: dict[str, Any]) -> Profile:
    """The profile that a file's tables amount to. Raises ProfileError."""
    try:
        profile = msgspec.convert(data, Profile)
    except msgspec.ValidationError as error:
        words, _, path = str(error).partition(" - at `$")
        raise ProfileError(_where(path), words) from error
    profile.check()
    return profile


def _where(path: str) -> tuple[str | int, ...]:
    """`.signing[1].format` as keys; as far as msgspec names them (not `[...]`, a key of the file's own)."""
    named = _STEP.findall(path.partition("[...]")[0])
    return tuple(int(index) if index else name for name, index in named)
