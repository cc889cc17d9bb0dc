"""The requests that the OpenAPI document describes, walked property by property."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Place = tuple[str | int, ...]
"""The way to a value inside of a body."""


@dataclass(frozen=True)
class Property:
    """One property of a request's body. `place` ends with its name."""

    place: Place
    schema: dict[str, Any]
    required: bool

    @property
    def nullable(self) -> bool:
        return "null" in kinds(self.schema)


def kinds(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a schema names."""
    named = schema.get("type", [])
    found = {named} if isinstance(named, str) else set(named)
    return found.union(*(kinds(one) for one in schema.get("anyOf", ())))


def body_schema(document: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    """The schema of an operation's body, if it has one."""
    operation = document["paths"].get(path, {}).get(method.lower(), {})
    content = operation.get("requestBody", {}).get("content", {})
    schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
    return schema


def properties(
    document: dict[str, Any], schema: dict[str, Any], body: Any, place: Place = ()
) -> Iterator[Property]:
    """Every property that the schema knows of, in each object that the body has."""
    for one in _meanings(document, schema):
        if isinstance(body, list) and "items" in one:
            for index, item in enumerate(body):
                yield from properties(document, one["items"], item, (*place, index))
        elif isinstance(body, dict):
            for name, inner in one.get("properties", {}).items():
                yield Property((*place, name), inner, name in one.get("required", ()))
                if name in body:
                    yield from properties(document, inner, body[name], (*place, name))


def _meanings(document: dict[str, Any], schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    yield schema
    for one in schema.get("anyOf", ()):
        yield from _meanings(document, one)


def changed(body: Any, place: Place, value: Any) -> Any:
    """The body with another value at a place."""
    copied = copy.deepcopy(body)
    inside = copied
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    return copied


def without(body: Any, place: Place) -> Any:
    """The body with nothing at a place."""
    copied = copy.deepcopy(body)
    inside = copied
    for step in place[:-1]:
        inside = inside[step]
    inside.pop(place[-1], None)
    return copied
