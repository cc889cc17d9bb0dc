"""Manages event types: the types of an organization's messages, with their schemas.

It also reads examples from an event type's schema (version 1), and validates payloads against it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import jsonschema_rs

from angarium.core import json_schema
from angarium.core.audit import difference, event_type_view
from angarium.core.errors import EventTypeExists, FieldError, Invalid, NotFound
from angarium.core.nouns import MAX_TEXT, EventType, check_text
from angarium.core.patterns import is_event_type
from angarium.service.use_case import Subject, UseCase, existing
from angarium.store import event_type as store
from angarium.store.connection import Connection

MAX_VERSIONS: Final = 100
VERSION: Final = "1"  # of the schema that describes payloads
BUDGET: Final = 50_000
"""Maximum number of subschemas evaluated per payload: a schema may refer to itself twice at each level."""
_PATTERNS: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)


@dataclass(frozen=True, slots=True)
class EventTypeDraft:
    """The fields of an event type that an operator sets."""

    description: str
    schemas: dict[str, Any] | None = None
    archived: bool = False
    deprecated: bool = False
    feature_flags: tuple[str, ...] = ()
    group_name: str | None = None


def check_schemas(schemas: Mapping[str, Any] | None) -> None:
    """Raises Invalid unless each is a JSON Schema whose references resolve within it."""
    if schemas is not None and len(schemas) > MAX_VERSIONS:
        raise Invalid.field("schemas", f"An event type can have at most {MAX_VERSIONS} schema versions.")
    for version, schema in (schemas or {}).items():
        if not isinstance(schema, dict):
            raise Invalid(
                FieldError(("body", "schemas", version), "A JSON Schema must be an object.", "type_error")
            )
        if (fault := json_schema.check(schema)) is not None:
            raise Invalid(FieldError(("body", "schemas", version, *fault.place), fault.words))


class EventTypes(UseCase):
    """Find, list, create, change, archive and expunge event types."""

    async def find(self, org_id: str, name: str) -> EventType:
        """The event type, archived or not. Raises NotFound."""
        async with self._database.connection() as connection:
            return await self._find(connection, org_id, name)

    async def page(
        self,
        org_id: str,
        cursor: str | None,
        *,
        ascending: bool,
        limit: int,
        include_archived: bool,
        flags: Collection[str] | None,
    ) -> list[EventType]:
        """`flags`: the caller's feature flags; None returns all event types."""
        async with self._database.connection() as connection:
            return await store.page(
                connection,
                org_id,
                cursor,
                ascending=ascending,
                limit=limit,
                include_archived=include_archived,
                flags=flags,
            )

    async def create(self, org_id: str, name: str, draft: EventTypeDraft) -> EventType:
        """Create it, or restore an archived one. Raises Invalid, or Conflict when the name is in use."""
        check_text("description", draft.description, MAX_TEXT)
        check_schemas(draft.schemas)
        async with self._database.transaction() as connection:
            return await self._create(connection, self._new(org_id, name, draft))

    async def upsert(self, org_id: str, name: str, draft: EventTypeDraft) -> tuple[EventType, bool]:
        """Replace or create it; and whether it was created."""
        if not is_event_type(name):
            raise Invalid.field("event_type_name", "Not a valid event type name.", where="path")
        check_schemas(draft.schemas)
        async with self._database.transaction() as connection:
            new = self._new(org_id, name, draft)
            found = await store.find(connection, org_id, name, lock=True)
            before = None if found is None else found.description
            check_text("description", draft.description, MAX_TEXT, before)
            if found is None:
                try:
                    return await self._create(connection, new), True
                except EventTypeExists:  # created concurrently
                    found = await self._find(connection, org_id, name, lock=True)
            stored = existing(await store.update(connection, new))
            await self._record_change(connection, found, stored)
            return stored, False

    async def update(
        self, org_id: str, name: str, change: Callable[[EventTypeDraft], EventTypeDraft]
    ) -> EventType:
        """Apply `change`. Raises NotFound or Invalid."""
        async with self._database.transaction() as connection:
            found = await self._find(connection, org_id, name, lock=True)
            before = EventTypeDraft(
                found.description,
                found.schemas,
                found.archived,
                found.deprecated,
                found.feature_flags,
                found.group_name,
            )
            draft = change(before)
            check_text("description", draft.description, MAX_TEXT, before.description)
            if draft.schemas != before.schemas:
                check_schemas(draft.schemas)
            stored = existing(await store.update(connection, self._new(org_id, name, draft)))
            await self._record_change(connection, found, stored)
            return stored

    async def archive(self, org_id: str, name: str) -> None:
        """Archive it: endpoints can no longer select it, and its messages stay. Raises NotFound."""
        await self.update(org_id, name, lambda draft: replace(draft, archived=True))

    async def expunge(self, org_id: str, name: str) -> None:
        """Delete it permanently. Raises NotFound."""
        async with self._database.transaction() as connection:
            found = await self._find(connection, org_id, name, lock=True)
            await store.expunge(connection, org_id, name)
            await self._record(
                connection, "event_type.expunged", _subject(found), before=event_type_view(found)
            )

    async def _find(self, connection: Connection, org_id: str, name: str, *, lock: bool = False) -> EventType:
        if not is_event_type(name):
            raise NotFound()
        return existing(await store.find(connection, org_id, name, lock=lock))

    async def _create(self, connection: Connection, new: EventType) -> EventType:
        made = await store.create(connection, new)
        await self._record(connection, "event_type.created", _subject(made), after=event_type_view(made))
        return made

    async def _record_change(self, connection: Connection, found: EventType, stored: EventType) -> None:
        if (changes := difference(event_type_view(found), event_type_view(stored))) is not None:
            await self._record(connection, "event_type.updated", _subject(stored), *changes)

    def _new(self, org_id: str, name: str, draft: EventTypeDraft) -> EventType:
        now = self._now()
        return EventType(
            org_id=org_id,
            name=name,
            description=draft.description,
            schemas=draft.schemas,
            archived=draft.archived,
            deprecated=draft.deprecated,
            feature_flags=draft.feature_flags,
            group_name=draft.group_name,
            created_at=now,
            updated_at=now,
        )


def _subject(event_type: EventType) -> Subject:
    return Subject(event_type.org_id, None, event_type.name)


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
