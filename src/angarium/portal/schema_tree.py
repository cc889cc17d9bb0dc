"""A JSON Schema as a tree that people can read: fields, what they hold, and which there must be.

It shows what most schemas say and leaves out what only a machine wants to know; the page has the raw schema
too. Bounded in depth and size, so that a schema that refers to itself ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 8
MAX_FIELDS: Final = 200  # of one object
MAX_CHOICES: Final = 20
_BOUNDS: Final = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "pattern": "like {}",
}
_KINDS: Final = {"object": "object", "array": "list", "integer": "whole number", "string": "text"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `kind` is what it holds in a few words, `notes` are its rules."""

    name: str
    kind: str
    required: bool
    description: str
    notes: tuple[str, ...]
    fields: tuple[Field, ...]


def fields(schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields of the object that a schema describes."""
    return _fields(schema, schema, 0)


def _fields(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> tuple[Field, ...]:
    if depth >= MAX_DEPTH:
        return ()
    found: dict[str, Field] = {}
    for part in _parts(schema, root):
        properties = part.get("properties")
        required = part.get("required")
        needed = set(map(str, required)) if isinstance(required, list) else set()
        if isinstance(properties, dict):
            for name, value in islice(properties.items(), MAX_FIELDS):
                found[str(name)] = _field(str(name), value, str(name) in needed, root, depth)
        elif (items := part.get("items")) and isinstance(items, dict):
            for one in _fields(items, root, depth):
                found[one.name] = one
    return tuple(found.values())


def _field(name: str, schema: Any, required: bool, root: Mapping[str, Any], depth: int) -> Field:
    parts = list(_parts(schema, root)) if isinstance(schema, dict) else []
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part
    description = merged.get("description") or merged.get("title") or ""
    return Field(
        name=name,
        kind=_kind(merged, root),
        required=required,
        description=str(description),
        notes=tuple(_notes(merged)),
        fields=_fields(schema, root, depth + 1) if parts else (),
    )


def _parts(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    """The schema, what it refers to, and what it is made of."""
    if depth > MAX_DEPTH or not isinstance(schema, dict):
        return
    reference = schema.get("$ref")
    if isinstance(reference, str) and (found := _referred(reference, root)) is not None:
        yield from _parts(found, root, depth + 1)
    parts = schema.get("allOf")
    for part in parts[:MAX_CHOICES] if isinstance(parts, list) else ():
        yield from _parts(part, root, depth + 1)
    yield schema


def _referred(reference: str, root: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a reference within the schema leads to."""
    if not reference.startswith("#/"):
        return None
    place: Any = root
    for step in reference[2:].split("/"):
        place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
    return place if isinstance(place, dict) else None


def _kind(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    kinds = schema.get("type")
    named = kinds if isinstance(kinds, list) else [kinds] if isinstance(kinds, str) else []
    words = [_KINDS.get(str(kind), str(kind)) for kind in named if kind != "null"]
    items = schema.get("items")
    if words == ["list"] and isinstance(items, dict):
        inside: dict[str, Any] = {}
        for part in _parts(items, root):
            inside |= part
        words = [f"list of {_plural(_kind(inside, root))}"]
    choices = next((schema[key] for key in ("oneOf", "anyOf") if isinstance(schema.get(key), list)), None)
    if choices and not words:
        kinds_of = (_kind(one, root) for one in choices[:MAX_CHOICES] if isinstance(one, dict))
        words = list(dict.fromkeys(kinds_of))
    if not words:
        words = ["object"] if "properties" in schema else ["anything"]
    return " or ".join([*words, *(["nothing (null)"] if "null" in named else [])])


def _plural(kind: str) -> str:
    return {"text": "texts", "anything": "anything", "boolean": "booleans"}.get(kind, f"{kind}s")


def _notes(schema: Mapping[str, Any]) -> Iterator[str]:
    if "const" in schema:
        yield f"always {_shown(schema['const'])}"
    if isinstance(choices := schema.get("enum"), list):
        more = ", …" if len(choices) > MAX_CHOICES else ""
        yield f"one of {', '.join(map(_shown, choices[:MAX_CHOICES]))}{more}"
    if isinstance(schema.get("format"), str):
        yield f"format {schema['format']}"
    for key, words in _BOUNDS.items():
        if key in schema and not isinstance(schema[key], bool):
            yield words.format(schema[key])
    if "default" in schema:
        yield f"{_shown(schema['default'])} if missing"
    if schema.get("deprecated") is True:
        yield "deprecated"


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:80]
