"""Encodes, sends and decodes hints: short texts that processes send with NOTIFY. The table is the truth.

- `w:<application>.<endpoint>,…`: lanes that have new work. `.<message>` follows if messages were accepted:
  the first of them. `.<place>` follows that if all of them have places in the order of acceptance: the first
  place, in hexadecimal
- `e:<endpoint>`: an endpoint changed
- `f:<endpoint>`: an endpoint was enabled again, and its health is reset
- `x:<message>`: a message is erased
- `t:`: there is a background task
- `m:`: there is a message whose deliveries are not all written
- `s:`: more lanes have work than a hint can name; check all lanes
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

from angarium.core.read_position import FIRST, LAST
from angarium.store.connection import Connection
from angarium.store.sql import queries

MAX_BYTES: Final = 7900  # PostgreSQL's limit is below 8000
MAX_HINTS: Final = 20
EVERYTHING: Final = "s:"
TASK: Final = "t:"
FAN_OUT: Final = "m:"
NONE: Final = UUID(int=LAST)  # no message


class LaneWork(NamedTuple):
    """A lane with new work. `message` is the first message that was accepted, or NONE. `seq` is the first
    place of these messages in the order of acceptance: FIRST if one has no place, LAST if none was
    accepted."""

    app_id: UUID
    endpoint_id: UUID
    message: UUID = NONE
    seq: int = LAST


@dataclass(frozen=True, slots=True)
class Work:
    """These lanes have new work."""

    lanes: tuple[LaneWork, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """The endpoint was edited, disabled, enabled or deleted."""

    endpoint_id: UUID


@dataclass(frozen=True, slots=True)
class HealthReset:
    """The endpoint was enabled again, so earlier failures no longer count.

    A dispatcher that misses this hint has lost its lanes with its connection, and reloads their health.
    """

    endpoint_id: UUID


@dataclass(frozen=True, slots=True)
class Erased:
    """The message is erased, and its deliveries are canceled."""

    message_id: UUID


@dataclass(frozen=True, slots=True)
class Task:
    """A background task can continue."""


@dataclass(frozen=True, slots=True)
class FanOutDue:
    """The deliveries of a message are not all written."""


@dataclass(frozen=True, slots=True)
class LookEverywhere:
    """More lanes have work than a hint can name."""


Hint = Work | Changed | HealthReset | Erased | Task | FanOutDue | LookEverywhere


def changed(endpoint_id: UUID) -> str:
    """The hint for an endpoint that changed."""
    return f"e:{endpoint_id.hex}"


def erased(message_id: UUID) -> str:
    """The hint for a message that is erased."""
    return f"x:{message_id.hex}"


def accepted(lanes: Iterable[LaneWork]) -> list[str]:
    """The hints for lanes with new messages."""
    hints: list[str] = []
    room = 0
    for app_id, endpoint_id, message, seq in lanes:
        named = f"{app_id.hex}.{endpoint_id.hex}.{message.hex}"
        if seq != FIRST:
            named = f"{named}.{seq:x}"
        room -= len(named) + 1
        if room >= 0:
            hints[-1] += "," + named
        elif len(hints) < MAX_HINTS:
            hints.append("w:" + named)
            room = MAX_BYTES - len(hints[-1])
        else:
            return [EVERYTHING]
    return hints


def lane_hint(app_id: UUID, endpoint_id: UUID) -> str:
    """The hint for a lane that has work, but no new message."""
    return f"w:{app_id.hex}.{endpoint_id.hex}"


def read(text: str) -> Hint:
    """Decode the hint of a notification. An unknown hint is read as LookEverywhere."""
    try:
        if text.startswith("w:"):
            return Work(tuple(_lane(named) for named in text[2:].split(",")))
        if text.startswith("e:"):
            return Changed(UUID(hex=text[2:]))
        if text.startswith("f:"):
            return HealthReset(UUID(hex=text[2:]))
        if text.startswith("x:"):
            return Erased(UUID(hex=text[2:]))
        if text == TASK:
            return Task()
        if text == FAN_OUT:
            return FanOutDue()
    except ValueError:
        pass
    return LookEverywhere()


def _lane(named: str) -> LaneWork:
    app_id, endpoint_id, *first = named.split(".")
    lane = LaneWork(UUID(hex=app_id), UUID(hex=endpoint_id))
    if not first:
        return lane
    message, *seq = first
    return lane._replace(message=UUID(hex=message), seq=int(seq[0], 16) if seq else FIRST)


async def send(connection: Connection, hints: Sequence[str], *, alone: bool = False) -> None:
    """Send hints to the dispatchers. `alone`: in a transaction of their own."""
    await (queries.hint_alone if alone else queries.hint)(connection, hints=hints)
