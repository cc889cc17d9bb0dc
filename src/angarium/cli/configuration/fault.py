"""Collects what is wrong with configuration files: where, what was found, and what would be accepted."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from angarium.core.errors import AngariumError

Path = tuple[str | int, ...]
MOST_SHOWN: Final = 20
_LONGEST: Final = 60


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """Where something is written. `line` counts from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. `words` continue the path: "must be …"."""

    path: Path
    words: str
    place: SourceLocation | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{said(self.path)}: {self.words}" if self.path else f"{where}{self.words}"


class ConfigurationError(AngariumError):
    """The configuration is not valid."""

    code = "configuration"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        lines = [str(one) for one in self.faults[:MOST_SHOWN]]
        if more := len(self.faults) - MOST_SHOWN:
            lines += [f"and {more} more"] if more > 0 else []
        super().__init__("\n          ".join(lines))


@dataclass(slots=True)
class Faults:
    """Faults as they are found. `places` has where each path is written."""

    places: dict[Path, SourceLocation] = field(default_factory=dict)
    found: list[Fault] = field(default_factory=list)

    def add(self, path: Path, words: str) -> None:
        self.found.append(Fault(path, words, self.place(path)))

    def wrong(self, path: Path, value: Any, accepted: str) -> None:
        """Adds that a value is not accepted. Never call it with a secret."""
        self.add(path, f"{shown(value)} is not valid; it must be {accepted}")

    def unknown(self, value: Iterable[str], known: Collection[str], path: Path) -> None:
        """Adds the names that do not exist. Those that begin with `x-` are people's own."""
        for name in value:
            if name not in known and not name.startswith("x-"):
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
                self.add((*path, name), f"this field does not exist; {hint}")

    def place(self, path: Path) -> SourceLocation | None:
        """Where the path is written, or the nearest path around it."""
        while path not in self.places and path:
            path = path[:-1]
        return self.places.get(path)

    def check(self) -> None:
        """Raises ConfigurationError if there are any."""
        if self.found:
            raise ConfigurationError(self.found)


def said(path: Path) -> str:
    """A path as people read it: `applications.acme.endpoints["eu.orders"].eventTypes[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not part or "." in part:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
        else:
            text += f".{part}" if text else part
    return text


def shown(value: Any) -> str:
    """A value in an error, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
