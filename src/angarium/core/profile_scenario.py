"""Tables of scenarios in a profile file: what a sandbox route accepts, returns and sends.

`core/scenario.py` evaluates one call.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from angarium.core.profile_table import Table
from angarium.core.schedule import parse_duration


class ScenarioStep(Table, frozen=True):
    """One message of a scenario. Texts may contain `{names}` of the scenario's values."""

    type: str
    """One of the events."""
    after: str = "0s"
    """Delay of the event after the call."""
    when: dict[str, Any] = msgspec.field(default_factory=dict)
    """Conditions on values: equal, one of a list, or a table of the comparisons `below`, `above`, `least`,
    `most` and `not` (see core/scenario.py)."""
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    """The message's payload."""

    @property
    def after_seconds(self) -> float:
        return parse_duration(self.after)


class Counter(Table, frozen=True):
    """A number kept for each application, such as credits. Each call decreases it, down to 0.

    Its value is available under its name, and the value before the call under the name with `_before`.
    """

    name: str
    """Name of the counter."""
    start: int
    """Its value before the first call."""
    take: int
    """Amount that a call subtracts."""


class Scenario(Table, frozen=True):
    """A sandbox route that creates messages like the real product. Never served in production."""

    name: str
    """Name of the scenario."""
    path: str
    """Path below the base path, with `{names}` for variable parts."""
    method: Literal["POST"] = "POST"
    """The HTTP method."""
    status: int = 201
    """Status of the response."""
    defaults: dict[str, Any] = msgspec.field(default_factory=dict)
    """Default values of fields of the body."""
    required: tuple[str, ...] = ()
    """Required fields of the body."""
    choices: dict[str, tuple[Any, ...]] = msgspec.field(default_factory=dict)
    """Allowed values of fields of the body."""
    make: dict[str, str] = msgspec.field(default_factory=dict)
    """Texts created for each call, in order, e.g. `id = "ord_{random16}"`. May use `{uuid}`, `{now}` and
    earlier values."""
    counter: Counter | None = None
    """A counter that calls decrease."""
    response: dict[str, Any] = msgspec.field(default_factory=dict)
    """Body of the response."""
    steps: tuple[ScenarioStep, ...] = ()
    """Messages sent after the call."""
