"""Hints between processes over NOTIFY: short texts that say where to look. The table is the truth.

- `w:<application>.<endpoint>,…` lanes that have new work; with `.<message>` behind it where messages were
  accepted, the first of them that has no place in the order of acceptance (the last id of all where all have)
- `e:<endpoint>` an endpoint changed
- `f:<endpoint>` an endpoint was enabled again: its failures are forgiven
- `t:` there is a background task
- `m:` there is a message whose deliveries are still to be written
- `s:` there is work in more lanes than fit into a hint: look at all
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from angarium.core.read_position import LAST

MAX_BYTES: Final = 7900  # PostgreSQL takes fewer than 8000
_LANES: Final = MAX_BYTES // 99
MAX_HINTS: Final = 20
EVERYTHING: Final = "s:"
TASK: Final = "t:"
FAN_OUT: Final = "m:"


@dataclass(frozen=True, slots=True)
class Work:
    """These lanes, as (application id, endpoint id, first message), have new work. The message is the first
    that was accepted without a place in the order of acceptance; without any it is the last id of all."""

    lanes: tuple[tuple[UUID, UUID, UUID], ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """The endpoint was edited, disabled, enabled or deleted."""

    endpoint_id: UUID


@dataclass(frozen=True, slots=True)
class Forgiven:
    """The endpoint was enabled again; what failed before says nothing any more.

    Whoever misses it has lost its lanes with the connection, and reads their health anew.
    """

    endpoint_id: UUID


@dataclass(frozen=True, slots=True)
class Task:
    """There is a background task to go on with."""


@dataclass(frozen=True, slots=True)
class FanOut:
    """There is a message whose deliveries are still to be written."""


@dataclass(frozen=True, slots=True)
class LookEverywhere:
    """More lanes have work than a hint can name."""


Hint = Work | Changed | Forgiven | Task | FanOut | LookEverywhere


def changed(endpoint_id: UUID) -> str:
    """The hint for an endpoint that changed."""
    return f"e:{endpoint_id.hex}"


def accepted(first: Mapping[tuple[UUID, UUID], UUID]) -> list[str]:
    """The hints for new messages: of each lane, by (application id, endpoint id), the first."""
    if len(first) > _LANES * MAX_HINTS:
        return [EVERYTHING]
    named = [
        f"{app_id.hex}.{endpoint_id.hex}.{first[app_id, endpoint_id].hex}" for app_id, endpoint_id in first
    ]
    return ["w:" + ",".join(named[i : i + _LANES]) for i in range(0, len(named), _LANES)]


def lane_hint(app_id: UUID, endpoint_id: UUID) -> str:
    """The hint for a lane with more to send, none of it new."""
    return f"w:{app_id.hex}.{endpoint_id.hex}"


def read(text: str) -> Hint:
    """The hint of a notification; one that cannot be read means: look everywhere."""
    try:
        if text.startswith("w:"):
            return Work(tuple(_lane(named) for named in text[2:].split(",")))
        if text.startswith("e:"):
            return Changed(UUID(hex=text[2:]))
        if text.startswith("f:"):
            return Forgiven(UUID(hex=text[2:]))
        if text == TASK:
            return Task()
        if text == FAN_OUT:
            return FanOut()
    except ValueError:
        pass
    return LookEverywhere()


def _lane(named: str) -> tuple[UUID, UUID, UUID]:
    app_id, endpoint_id, *first = (UUID(hex=part) for part in named.split("."))
    return app_id, endpoint_id, first[0] if first else LAST
