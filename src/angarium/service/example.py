"""Reads examples from an event type's schema (version 1), and validates payloads against it."""

from __future__ import annotations

from typing import Any, Final

import jsonschema_rs

from angarium.core import json_schema
from angarium.core.nouns import EventType

VERSION: Final = "1"
BUDGET: Final = 50_000
"""Maximum number of subschemas evaluated per payload: a schema may refer to itself twice at each level."""
_PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)


def schema_of(event_type: EventType) -> dict[str, Any] | None:
    """The payload schema, if there is one."""
    schema = (event_type.schemas or {}).get(VERSION)
    return schema if isinstance(schema, dict) else None


def examples_of(event_type: EventType) -> list[Any]:
    """The schema's examples, in its order."""
    schema = schema_of(event_type) or {}
    examples = schema.get("examples")
    if isinstance(examples, list):
        return examples
    return [schema["example"]] if "example" in schema else []  # as OpenAPI names it


def example_of(event_type: EventType) -> dict[str, Any] | None:
    """The first example that is an object."""
    return next((one for one in examples_of(event_type) if isinstance(one, dict)), None)


def misfit(event_type: EventType, payload: Any) -> str | None:
    """The first place where a payload does not match the schema, as text. None if it matches, or if the
    check would exceed the budget."""
    schema = schema_of(event_type)
    if schema is None or not json_schema.affordable(schema, payload, BUDGET):
        return None
    try:
        validator = jsonschema_rs.validator_for(
            {**schema, "$schema": json_schema.draft_of(schema)}, retriever=_offline, pattern_options=_PATTERNS
        )
    except (ValueError, jsonschema_rs.ReferencingError):
        return None
    try:
        validator.validate(payload)  # ends at the first error; iter_errors finds all of them first
    except jsonschema_rs.ValidationError as found:
        error = found
    else:
        return None
    place = ".".join(map(str, error.instance_path))
    return f"{place}: {error.message[:300]}" if place else error.message[:300]


def _offline(uri: str) -> Any:
    """Refuse to fetch external schemas."""
    raise ValueError(uri)
