"""Defines the limits of an application in configuration files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from angarium.cli.configuration.fault import Faults, Path
from angarium.cli.configuration.field import INVALID, ConfigField

UNLIMITED: Final = "unlimited"
MAX_MESSAGES: Final = 10**15
MAX_ENDPOINTS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """A number, or `unlimited`."""

    most: int

    def read(self, value: Any, path: Path, faults: Faults) -> Any:
        number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= self.most
        if not number and value != UNLIMITED:
            faults.wrong(path, value, f"a whole number from 0 to {self.most:,}, or {UNLIMITED}")
            return INVALID
        return value

    def schema(self) -> dict[str, Any]:
        number = {"type": "integer", "minimum": 0, "maximum": self.most}
        return {"anyOf": [number, {"const": UNLIMITED}, {"type": "null"}]}


_MESSAGES: Final = Limit(MAX_MESSAGES)
_ENDPOINTS: Final = Limit(MAX_ENDPOINTS)
LIMITS: Final = (
    ConfigField("messagesSoft", _MESSAGES, "Messages in a month (UTC) that are reported once.", 80_000),
    ConfigField(
        "messagesHard", _MESSAGES, "Messages in a month (UTC). Others are refused until it ends.", 100_000
    ),
    ConfigField("endpointsSoft", _ENDPOINTS, "Number of endpoints that is reported.", 40),
    ConfigField("endpointsHard", _ENDPOINTS, "Maximum number of endpoints.", UNLIMITED),
)
NAMES: Final = tuple(one.name for one in LIMITS)


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits that an application has of its own."""

    def read(self, value: Any, path: Path, faults: Faults) -> Any:
        if not isinstance(value, dict):
            faults.wrong(path, value, f"a mapping with {', '.join(NAMES)}")
            return INVALID
        faults.unknown(value, NAMES, path)
        given = [one for one in LIMITS if value.get(one.name) is not None]
        found = {one.name: one.kind.read(value[one.name], (*path, one.name), faults) for one in given}
        if INVALID in found.values():
            return INVALID
        for noun in ("messages", "endpoints"):
            soft, hard = found.get(f"{noun}Soft"), found.get(f"{noun}Hard")
            if isinstance(soft, int) and isinstance(hard, int) and soft > hard:
                place = (*path, f"{noun}Soft")
                faults.wrong(place, soft, f"at most {noun}Hard, which is {hard:,}")
                return INVALID
        return found

    def schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {one.name: one.schema() for one in LIMITS},
            "patternProperties": {"^x-": {}},
            "additionalProperties": False,
        }
