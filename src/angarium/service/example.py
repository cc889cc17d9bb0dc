"""Examples of an event type's payload: those of version 1 of its schema."""

from __future__ import annotations

from typing import Any, Final

from angarium.core.nouns import EventType

VERSION: Final = "1"


def schema_of(event_type: EventType) -> dict[str, Any] | None:
    """The schema that payloads follow, if there is one."""
    schema = (event_type.schemas or {}).get(VERSION)
    return schema if isinstance(schema, dict) else None


def examples_of(event_type: EventType) -> list[Any]:
    """Whatever the schema gives as examples, in its order."""
    schema = schema_of(event_type) or {}
    examples = schema.get("examples")
    if isinstance(examples, list):
        return examples
    return [schema["example"]] if "example" in schema else []  # OpenAPI's way of giving one


def example_of(event_type: EventType) -> dict[str, Any] | None:
    """The first example that is an object."""
    return next((one for one in examples_of(event_type) if isinstance(one, dict)), None)
