"""Reads event types from the `webhooks` of an OpenAPI 3.1 document, and writes such a document.

What OpenAPI has no place for is in `x-angarium`: flags, archived types, and versions of the schema other than
the first.
"""

from __future__ import annotations

from typing import Any, Final

from angarium.cli.catalogue.event import EXTENSION, Event, ImportedEventType, extras, put_extras
from angarium.cli.catalogue.reference import SourceDocument, Unresolved, at, embedded
from angarium.cli.configuration.fault import Path

_METHODS: Final = ("post", "put", "patch", "get", "delete")
_DRAFT_7: Final = "http://json-schema.org/draft-07/schema#"
_DRAFT_2020: Final = "https://json-schema.org/draft/2020-12/schema"


def events(document: SourceDocument) -> list[Event]:
    """The event types. What is wrong becomes a fault."""
    root, found = document.root, []
    webhooks = root.get("webhooks")
    if not isinstance(webhooks, dict):
        document.faults.add((), "the document has no `webhooks`; event types are read from there")
        return []
    dialect = root.get("jsonSchemaDialect")
    default = dialect if isinstance(dialect, str) and "json-schema.org/" in dialect else _DRAFT_2020
    for name in webhooks:
        path: Path = ("webhooks", name)
        try:
            found.append(_event(document, name, path, default))
        except Unresolved as error:
            document.faults.add(path, str(error))
    return found


def _event(document: SourceDocument, name: str, path: Path, default: str) -> Event:
    place = document.followed(path)
    item = at(document.root, place)
    method = next((one for one in _METHODS if isinstance(item, dict) and one in item), None)
    if method is None:
        raise Unresolved("it has no operation; a webhook is described by `post`")
    operation = item[method]
    if not isinstance(operation, dict):
        raise Unresolved(f"`{method}` must be a mapping")
    words = [one.get(key) for one in (operation, item) for key in ("description", "summary")]
    tags = operation.get("tags")
    draft = ImportedEventType(name, path)
    draft.description = next((one for one in words if isinstance(one, str)), "")
    draft.deprecated = operation.get("deprecated") is True
    draft.group = tags[0] if isinstance(tags, list) and tags and isinstance(tags[0], str) else None
    if "requestBody" in operation:
        body = document.followed((*place, method, "requestBody"))
        content = at(document.root, (*body, "content"))
        kind = next((one for one in content if "json" in one), None) if isinstance(content, dict) else None
        if kind is not None and isinstance(content[kind], dict) and "schema" in content[kind]:
            schema = document.schema((*body, "content", kind, "schema"))
            if "$schema" not in schema and default.rstrip("#") != _DRAFT_7.rstrip("#"):
                schema = {"$schema": default, **schema}
            draft.schema = _with_examples(schema, content[kind])
    return extras(draft, operation.get(EXTENSION))


def _with_examples(schema: dict[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    """The schema with the examples beside it, if it has none."""
    found = [content["example"]] if "example" in content else []
    if isinstance(content.get("examples"), dict):
        found += [one["value"] for one in content["examples"].values() if "value" in one]
    return {**schema, "examples": found} if found and "examples" not in schema else schema


def written(types: dict[str, dict[str, Any]], title: str) -> dict[str, Any]:
    """The document of event types by name, with the fields of configuration files."""
    webhooks = {name: {"post": _operation(name, one)} for name, one in types.items()}
    groups = sorted({one["groupName"] for one in types.values() if one["groupName"] is not None})
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "jsonSchemaDialect": _DRAFT_7,  # of schemas that do not name another
        **({"tags": [{"name": one} for one in groups]} if groups else {}),
        "webhooks": webhooks,
    }


def _operation(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": name, "description": fields["description"]}
    if fields["groupName"] is not None:
        operation["tags"] = [fields["groupName"]]
    if fields["deprecated"]:
        operation["deprecated"] = True
    schemas = fields["schemas"] or {}
    if "1" in schemas:
        path = ("webhooks", name, "post", "requestBody", "content", "application/json", "schema")
        content = {"application/json": {"schema": embedded(schemas["1"], path)}}
        operation["requestBody"] = {"required": True, "content": content}
    put_extras(operation, fields, deprecated=False)
    operation["responses"] = {"2XX": {"description": "Any 2xx status is a success."}}
    return operation
