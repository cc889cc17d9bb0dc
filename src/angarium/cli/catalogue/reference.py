"""Moves JSON Schemas into a document and out of it, and keeps their references right.

A schema of an event type is a document of its own: `#/$defs/money` is a place in it. In a larger document the
same reference is `#/components/…/schema/$defs/money`. Nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, unquote

from angarium.cli.configuration.fault import Faults, Path

MAX_STEPS: Final = 50  # references that lead to references
MAX_NODES: Final = 100_000
_DATA: Final = frozenset({"const", "default", "enum", "example", "examples"})
_NAMES: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_REFERENCES: Final = ("$ref", "$dynamicRef")
_DRAFTS: Final = ("http://json-schema.org/", "https://json-schema.org/")


class Unresolved(Exception):
    """A reference that cannot be followed."""


@dataclass(slots=True)
class SourceDocument:
    """A document from which objects and schemas are taken."""

    root: Any
    faults: Faults
    _count: int = field(default=0)

    def followed(self, path: Path) -> Path:
        """The path to the object that is at a path, or that a reference there leads to. Raises Unresolved."""
        for _ in range(MAX_STEPS):
            found = at(self.root, path)
            reference = found.get("$ref") if isinstance(found, dict) else None
            if not isinstance(reference, str):
                return path
            path = target(reference)
        raise Unresolved(f"it leads through more than {MAX_STEPS} references")

    def schema(self, path: Path) -> Any:
        """The schema at a path as a document of its own: what it refers to elsewhere is put into `$defs`.

        Raises Unresolved.
        """
        base = self.followed(path)
        found = at(self.root, base)
        if not isinstance(found, dict):
            raise Unresolved("it must be a JSON Schema, a mapping")
        start, names = _pointer(base), dict[Path, str]()
        taken = {*found.get("$defs", ())} if isinstance(found.get("$defs"), dict) else set()

        def moved(reference: str) -> str:
            if reference.startswith(_DRAFTS) or (
                reference.startswith("#") and reference[1:2] not in ("", "/")
            ):
                return reference  # a meta-schema, or an anchor
            if reference == start or reference.startswith(f"{start}/"):
                return "#" + reference[len(start) :]  # as it is written
            goal = target(reference)
            if goal[: len(base)] == base:
                return _pointer(goal[len(base) :])
            at(self.root, goal)
            if goal not in names:
                names[goal] = _free(str(goal[-1]) if goal else "root", taken)
                taken.add(names[goal])
            return f"#/$defs/{_escaped(names[goal])}"

        whole: dict[str, Any] = self._copied(found, moved)
        done: set[Path] = set()
        while pending := [one for one in names if one not in done]:
            for goal in pending:
                done.add(goal)
                definitions = whole.setdefault("$defs", {})
                definitions[names[goal]] = self._copied(at(self.root, goal), moved)
        return whole

    def _copied(self, schema: Any, moved: Callable[[str], str]) -> Any:
        return rewritten(schema, moved, self._counted)

    def _counted(self) -> None:
        self._count += 1
        if self._count > MAX_NODES:
            raise Unresolved(f"the schemas have more than {MAX_NODES:,} parts when references are followed")


def embedded(schema: dict[str, Any], path: Path) -> Any:
    """A schema for a document in which it is at `path`."""
    start = _pointer(path)

    def moved(reference: str) -> str:
        if reference == "#" or reference.startswith("#/"):
            return start + reference[1:]
        return reference

    return rewritten(schema, moved, lambda: None)


def rewritten(schema: Any, moved: Callable[[str], str], counted: Callable[[], None]) -> Any:
    """A copy of a schema with other references. A schema with an id of its own keeps its references."""
    counted()
    if isinstance(schema, list):
        return [rewritten(one, moved, counted) for one in schema]
    if not isinstance(schema, dict) or isinstance(schema.get("$id"), str):
        return schema
    found: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _REFERENCES and isinstance(value, str):
            found[name] = moved(value)
        elif name in _DATA:
            found[name] = value
        elif name in _NAMES and isinstance(value, dict):
            found[name] = {key: rewritten(one, moved, counted) for key, one in value.items()}
        else:
            found[name] = rewritten(value, moved, counted)
    return found


def target(reference: str) -> Path:
    """The path that a local reference leads to. Raises Unresolved for any other."""
    if reference == "#":
        return ()
    if not reference.startswith("#/"):
        raise Unresolved(f"{reference[:200]!r} is not in this file, and is not fetched; write #/… instead")
    return tuple(_steps(reference))


def at(root: Any, path: Path) -> Any:
    """What is at a path. Raises Unresolved."""
    found = root
    for part in path:
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and str(part).isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise Unresolved(f"'{_pointer(path)[:200]}' does not exist in this file")
    return found


def _steps(reference: str) -> Iterator[str]:
    for step in reference[2:].split("/"):
        yield unquote(step).replace("~1", "/").replace("~0", "~")


def _pointer(path: Path) -> str:
    return "#" + "".join(f"/{_escaped(str(part))}" for part in path)


def _escaped(part: str) -> str:
    return quote(part.replace("~", "~0").replace("/", "~1"), safe="~!$&'()*+,;=:@$")


def _free(name: str, taken: set[str]) -> str:
    number, found = 2, name
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found
