"""Reads event types from the messages of an AsyncAPI 3 document, and writes such a document.

Messages are those that operations with `action: send` send; without operations, those of all channels, and
without channels, those of `components`. What AsyncAPI has no place for is in `x-angarium`.
"""

from __future__ import annotations

from typing import Any, Final

from angarium.cli.catalogue.event import EXTENSION, Event, ImportedEventType, extras, put_extras
from angarium.cli.catalogue.reference import SourceDocument, Unresolved, at, embedded
from angarium.cli.configuration.fault import Path

_FORMAT: Final = "application/schema+json;version="
_DRAFTS: Final = {
    "draft-07": "http://json-schema.org/draft-07/schema#",
    "draft-2020-12": "https://json-schema.org/draft/2020-12/schema",
}


def events(document: SourceDocument) -> list[Event]:
    """The event types. What is wrong becomes a fault."""
    found: dict[Path, Event] = {}
    for path in _messages(document):
        try:
            place = document.followed(path)
            if place not in found:
                found[place] = _event(document, str(place[-1]), place)
        except Unresolved as error:
            document.faults.add(path, str(error))
    if not found and not document.faults.found:
        document.faults.add((), "the document has no messages; event types are read from them")
    return list(found.values())


def _messages(document: SourceDocument) -> list[Path]:
    root = document.root
    operations, channels = _mapping(root, "operations"), _mapping(root, "channels")
    if operations:
        places: list[Path] = []
        for name, one in operations.items():
            if not isinstance(one, dict) or one.get("action") != "send":
                continue
            path: Path = ("operations", name)
            try:
                if isinstance(one.get("messages"), list):
                    places += [(*path, "messages", str(n)) for n in range(len(one["messages"]))]
                elif "channel" in one:
                    places += _of_channel(document, document.followed((*path, "channel")))
            except Unresolved as error:
                document.faults.add(path, str(error))
        return places
    if channels:
        return [place for name in channels for place in _of_channel(document, ("channels", name))]
    components = _mapping(root, "components")
    return [("components", "messages", name) for name in _mapping(components, "messages")]


def _of_channel(document: SourceDocument, path: Path) -> list[Path]:
    channel = at(document.root, document.followed(path))
    return [(*path, "messages", name) for name in _mapping(channel, "messages")]


def _mapping(value: Any, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _event(document: SourceDocument, key: str, path: Path) -> Event:
    message = at(document.root, path)
    if not isinstance(message, dict):
        raise Unresolved("a message must be a mapping")
    name = message.get("name")
    draft = ImportedEventType(name if isinstance(name, str) else key, path)
    words = [message.get(one) for one in ("description", "summary", "title")]
    draft.description = next((one for one in words if isinstance(one, str)), "")
    tags = message.get("tags")
    if isinstance(tags, list) and tags:
        first = at(document.root, document.followed((*path, "tags", "0")))
        draft.group = first.get("name") if isinstance(first, dict) else None
    if "payload" in message:
        draft.schema = _payload(document, document.followed((*path, "payload")))
    draft = _with_examples(draft, message.get("examples"))
    return extras(draft, message.get(EXTENSION))


def _payload(document: SourceDocument, path: Path) -> dict[str, Any]:
    payload = at(document.root, path)
    if not isinstance(payload, dict) or "schemaFormat" not in payload:
        schema: dict[str, Any] = document.schema(path)
        return schema
    named = str(payload["schemaFormat"])
    draft = named.removeprefix(_FORMAT).removeprefix(_FORMAT.replace("+json", "+yaml"))
    if "asyncapi" not in named and draft not in _DRAFTS:
        raise Unresolved(f"the schemaFormat {named[:100]!r} is not accepted; it must be JSON Schema")
    schema = document.schema((*path, "schema"))
    if draft == "draft-2020-12" and "$schema" not in schema:
        schema = {"$schema": _DRAFTS[draft], **schema}
    return schema


def _with_examples(draft: ImportedEventType, examples: Any) -> ImportedEventType:
    found = [one["payload"] for one in examples if "payload" in one] if isinstance(examples, list) else []
    if found and draft.schema is not None and "examples" not in draft.schema:
        draft.schema = {**draft.schema, "examples": found}
    return draft


def written(types: dict[str, dict[str, Any]], title: str) -> dict[str, Any]:
    """The document of event types by name, with the fields of configuration files."""
    names = {name: {"$ref": f"#/components/messages/{name}"} for name in types}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": "1"},
        "defaultContentType": "application/json",
        "channels": {"webhooks": {"address": None, "messages": names}},
        "operations": {"deliver": {"action": "send", "channel": {"$ref": "#/channels/webhooks"}}},
        "components": {"messages": {name: _message(name, one) for name, one in types.items()}},
    }


def _message(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"name": name, "description": fields["description"]}
    if fields["groupName"] is not None:
        message["tags"] = [{"name": fields["groupName"]}]
    schemas = fields["schemas"] or {}
    if "1" in schemas:
        path: Path = ("components", "messages", name, "payload", "schema")
        draft = "draft-2020-12" if "2020-12" in str(schemas["1"].get("$schema")) else "draft-07"
        message["payload"] = {
            "schemaFormat": f"{_FORMAT}{draft}", "schema": embedded(schemas["1"], path)
        }  # fmt: skip
    put_extras(message, fields, deprecated=True)
    return message
