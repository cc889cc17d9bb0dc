"""The scenarios of a profile file: what a sandbox route takes, answers and sends.

`core/scenario.py` works out what becomes of one call.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from angarium.core.profile_table import Table
from angarium.core.schedule import parse_duration


class ScenarioStep(Table, frozen=True):
    """One message of a scenario. Texts may hold `{names}` of the scenario's values."""

    type: str
    """One of the events."""
    after: str = "0s"
    """How long after the call the event happens."""
    when: dict[str, Any] = msgspec.field(default_factory=dict)
    """Only if these values are so: equal, one of a list, or as the comparisons of a table say, of
    `below`, `above`, `least`, `most` and `not` (see core/scenario.py)."""
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    """The message's payload."""

    @property
    def after_seconds(self) -> float:
        return parse_duration(self.after)


class Counter(Table, frozen=True):
    """A number kept for each application, such as credits: every call takes some, down to nothing.

    Its value is known by its name, and what it was before the call by that and `_before`.
    """

    name: str
    """What it counts."""
    start: int
    """Its value before the first call."""
    take: int
    """How much a call takes."""


class Scenario(Table, frozen=True):
    """A sandbox route that makes messages as the real product would. Never served in production."""

    name: str
    """What it plays."""
    path: str
    """Below the base path, with `{names}` for its variable parts."""
    method: Literal["POST"] = "POST"
    """The HTTP method."""
    status: int = 201
    """The status of the answer."""
    defaults: dict[str, Any] = msgspec.field(default_factory=dict)
    """Values that the caller may leave out of the body."""
    required: tuple[str, ...] = ()
    """Fields that the body must have."""
    choices: dict[str, tuple[Any, ...]] = msgspec.field(default_factory=dict)
    """What a field of the body may be."""
    make: dict[str, str] = msgspec.field(default_factory=dict)
    """Texts made anew for each call, in order, e.g. `id = "ord_{random16}"`; also of `{uuid}`, `{now}` and
    the values so far."""
    counter: Counter | None = None
    """A number that calls use up."""
    response: dict[str, Any] = msgspec.field(default_factory=dict)
    """The body of the answer."""
    steps: tuple[ScenarioStep, ...] = ()
    """The messages that follow."""
