"""An event type as it is taken from a document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from angarium.cli.configuration.fault import Path

EXTENSION: Final = "x-angarium"
_OWN: Final = ("archived", "deprecated", "featureFlags", "groupName", "schemas")


@dataclass(slots=True)
class ImportedEventType:
    """What is known of an event type so far. `schema`: that of version 1."""

    name: str
    path: Path
    description: str = ""
    group: str | None = None
    deprecated: bool = False
    schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event type with the fields of configuration files, and its path in the document."""

    name: str
    path: Path
    fields: dict[str, Any] = field(default_factory=dict)


def extras(draft: ImportedEventType, own: Any) -> Event:
    """The event type, with what the document says of it in `x-angarium`."""
    given = {name: one for name, one in own.items() if name in _OWN} if isinstance(own, Mapping) else {}
    schemas = given.pop("schemas", None)
    if draft.schema is not None:
        schemas = {"1": draft.schema, **(schemas if isinstance(schemas, dict) else {})}
    fields = {
        "description": draft.description, "schemas": schemas,
        "groupName": draft.group, "deprecated": draft.deprecated, **given,
    }  # fmt: skip
    return Event(draft.name, draft.path, fields)


def put_extras(target: dict[str, Any], fields: Mapping[str, Any], *, deprecated: bool) -> None:
    """Add `x-angarium`, if there is something that the document has no place for."""
    schemas = fields["schemas"]
    rest = None if schemas is None else {name: one for name, one in schemas.items() if name != "1"}
    own: dict[str, Any] = {}
    if rest or schemas == {}:
        own["schemas"] = rest
    if fields["featureFlags"]:
        own["featureFlags"] = fields["featureFlags"]
    if fields["archived"]:
        own["archived"] = True
    if deprecated and fields["deprecated"]:
        own["deprecated"] = True
    if own:
        target[EXTENSION] = own
