"""Turns a JSON Schema into a readable tree of fields with types, rules and required marks.

It supports common keywords only; the page also shows the raw schema. Recursive schemas are expanded once, and
the size of a tree is limited. Omissions are marked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import islice
from typing import Any, Final

import msgspec

from angarium.core.json_schema import Document
from angarium.portal.kit.text import known, t

MAX_DEPTH: Final = 8
MAX_FIELDS: Final = 500  # of the whole tree
MAX_PARTS: Final = 5_000  # schemas visited for the whole tree
MAX_CHOICES: Final = 20
MAX_LISTS: Final = 4  # nesting of lists in the text of a kind
MAX_TEXT: Final = 1_000  # of one description
_BOUNDS: Final = (
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "pattern",
)


@dataclass(slots=True)
class SchemaField:
    """One field: `kind` is its type as text, `notes` are its rules. `cut`: some of it is omitted."""

    name: str = ""
    kind: str = ""
    required: bool = False
    description: str = ""
    notes: tuple[str, ...] = ()
    fields: list[SchemaField] = field(default_factory=list)
    cut: bool = False


@dataclass(frozen=True, slots=True)
class _Open:
    """A field that is not expanded yet. `above`: id() of the schemas that contain it."""

    field: SchemaField
    parts: list[dict[str, Any]]
    depth: int
    above: frozenset[int]


def tree(schema: dict[str, Any]) -> SchemaField:
    """The tree of a schema. Expanded breadth first, so that the limits cut the deepest levels."""
    return _Tree(schema).grown()


class _Tree:
    def __init__(self, schema: dict[str, Any]) -> None:
        self._root = schema
        self._document = Document(schema)
        self._fields_left = MAX_FIELDS
        self._parts_left = MAX_PARTS
        self._values: dict[int, str] = {}  # id() of a value in the schema -> how it is shown

    def grown(self) -> SchemaField:
        root = SchemaField()
        pending = deque([_Open(root, self._parts(self._root), 0, frozenset())])
        while pending:
            pending += self._grow(pending.popleft())
        return root

    def _grow(self, one: _Open) -> Iterator[_Open]:
        """Expands a field; yields the fields to expand next."""
        found: dict[str, SchemaField] = {}
        own = [part for part in self._objects(one.parts) if isinstance(part.get("properties"), dict)]
        above = one.above.union(map(id, own))
        if own and (one.depth >= MAX_DEPTH or not one.above.isdisjoint(map(id, own))):
            one.field.cut = True
            return
        for part in own:
            required = part.get("required")
            needed = set(map(str, required)) if isinstance(required, list) else set()
            properties = part["properties"]
            for name, value in islice(properties.items(), self._fields_left):
                parts = self._parts(value)
                made = self._field(str(name), parts, str(name) in needed)
                if made.name not in found:
                    self._fields_left -= 1
                found[made.name] = made
                yield _Open(made, parts, one.depth + 1, above)
            one.field.cut |= any(str(name) not in found for name in properties)
        one.field.fields = list(found.values())

    def _objects(self, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The parts, with lists replaced by the parts of their items."""
        for _ in range(MAX_LISTS):
            entries = [part["items"] for part in parts if isinstance(part.get("items"), dict)]
            if not entries or any("properties" in part for part in parts):
                break
            parts = [part for one in entries for part in self._parts(one)]
        return parts

    def _field(self, name: str, parts: list[dict[str, Any]], required: bool) -> SchemaField:
        merged = _merged(parts)
        description = str(merged.get("description") or merged.get("title") or "")
        return SchemaField(
            name=name,
            kind=self._kind(merged),
            required=required,
            description=description[:MAX_TEXT] + ("…" if len(description) > MAX_TEXT else ""),
            notes=tuple(_notes(merged, self._shown)),
            cut=self._parts_left <= 0,
        )

    def _parts(self, schema: Any) -> list[dict[str, Any]]:
        """The schemas that a schema refers to or combines, then the schema itself; each once."""
        found: dict[int, dict[str, Any]] = {}
        pending = [schema]
        while pending and self._parts_left > 0:
            one = pending.pop()
            if isinstance(one, dict) and id(one) not in found:
                self._parts_left -= 1
                found[id(one)] = one
                pending += self._document.referred(one)
                made_of = one.get("allOf")
                pending += made_of[:MAX_CHOICES] if isinstance(made_of, list) else []
        return list(found.values())[::-1]

    def _kind(self, schema: dict[str, Any], lists: int = 0) -> str:
        kinds = schema.get("type")
        named = kinds if isinstance(kinds, list) else [kinds] if isinstance(kinds, str) else []
        given = [str(kind)[:20] for kind in named[:MAX_CHOICES] if kind != "null"]
        words: list[str] = [_kind(one) for one in given]
        if given == ["array"] and isinstance(schema.get("items"), dict) and lists < MAX_LISTS:
            kind = self._kind(_merged(self._parts(schema["items"])), lists + 1)
            words = [t("schema.list_any") if kind == _kind("any") else t("schema.list", kind=kind)]
        choices = next((schema[key] for key in ("oneOf", "anyOf") if isinstance(schema.get(key), list)), None)
        if choices and not words and lists < MAX_LISTS:
            kinds_of = (
                self._kind(_merged(self._parts(one)), lists + 1)
                for one in choices[:MAX_CHOICES]
                if isinstance(one, dict) and self._parts_left > 0
            )
            words = list(dict.fromkeys(kinds_of))
        if not words:
            words = [_kind("object" if "properties" in schema else "any")]
        if "null" in named:
            words.append(_kind("null"))
        return reduce(lambda first, second: t("schema.or", first=first, second=second), words)

    def _shown(self, value: Any) -> str:
        known = self._values.get(id(value))
        if known is None:
            known = self._values[id(value)] = msgspec.json.encode(value)[:320].decode(errors="ignore")[:80]
        return known


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part
    return merged


def _kind(name: str) -> str:
    return t(f"schema.kind.{name}") if known(f"schema.kind.{name}") else name


def _notes(schema: dict[str, Any], shown: Callable[[Any], str]) -> Iterator[str]:
    if "const" in schema:
        yield t("schema.const", value=shown(schema["const"]))
    if isinstance(choices := schema.get("enum"), list):
        more = ", …" if len(choices) > MAX_CHOICES else ""
        yield t("schema.enum", values=", ".join(map(shown, choices[:MAX_CHOICES])) + more)
    if isinstance(schema.get("format"), str):
        yield t("schema.format", value=schema["format"][:80])
    for key in _BOUNDS:
        if key in schema and not isinstance(schema[key], bool):
            yield t(f"schema.bound.{key}", value=str(schema[key])[:200])
    if "default" in schema:
        yield t("schema.default", value=shown(schema["default"]))
    if schema.get("deprecated") is True:
        yield t("schema.deprecated")
