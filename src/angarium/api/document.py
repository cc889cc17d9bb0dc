"""Describes the API: the OpenAPI document, and a page rendered from it without scripts or other hosts."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any, Final, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from angarium.core.errors import FaultType
from angarium.profiles.openapi import webhooks
from angarium.service.services import Services

METHODS: Final = ("get", "post", "put", "patch", "delete")

_ERROR: Final[dict[str, Any]] = {
    "title": "Error",
    "type": "object",
    "required": ["code", "detail"],
    "properties": {"code": {"type": "string"}, "detail": {"type": "string"}},
}
_FAULT: Final[dict[str, Any]] = {
    "title": "ValidationError",
    "type": "object",
    "required": ["loc", "msg", "type"],
    "properties": {
        "loc": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The location: `body`, `query` or `path`, then field names. "
            "`[0]` is the first item of a list.",
        },
        "msg": {"type": "string", "description": "The error message."},
        "type": {
            "type": "string",
            "enum": list(get_args(FaultType)),
            "description": "The kind of error.",
        },
    },
}
_ERRORS: Final = {
    "400": "The request is not valid in the current state",
    "401": "The token is missing or invalid",
    "403": "The token does not allow this operation",
    "404": "Not found, or not visible to this token",
    "409": "The request conflicts with an existing object",
    "413": "The request body is too large",
    "429": "Too many failed authentications or too many listeners; retry after the time in Retry-After",
    "503": "The server is overloaded or the database is unavailable; retry after the time in Retry-After",
}


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the common errors of all operations, and products' webhooks."""
    services: Services = app.state.services
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        servers=app.servers or [{"url": "/"}],
    )
    document["components"]["schemas"] |= {"Error": _ERROR, "ValidationError": _FAULT}
    for product in services.product.all.values():
        document.setdefault("webhooks", {}).update(webhooks(product))
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for _, _, operation in _operations(document):
        if "security" not in operation:
            continue
        for status, words in _ERRORS.items():
            operation["responses"].setdefault(status, {"description": words, "content": content})
    return document


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def page(document: dict[str, Any], path: str) -> Iterator[str]:
    title = escape(document["info"]["title"])
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{title} API</title>"
    yield '<meta name=viewport content="width=device-width"><link rel=stylesheet href="/style.css">'
    yield f"<main><h1>{title} API <small>{escape(document['info']['version'])}</small></h1>"
    yield "<p>Every request carries <code>Authorization: Bearer …</code>. "
    yield f'<a href="{path}">OpenAPI document</a>'
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for found in _operations(document):
        groups.setdefault((found[2].get("tags") or ["Other"])[0], []).append(found)
    for tag, operations in groups.items():
        yield f"<h2>{escape(tag)}</h2>"
        for method, place, operation in operations:
            yield from _operation(document, method, place, operation)
    yield "</main></html>"


def _operation(document: dict[str, Any], method: str, place: str, operation: dict[str, Any]) -> Iterator[str]:
    words = operation.get("description") or operation.get("summary", "")
    yield f"<details><summary><b>{method.upper()}</b> <code>{escape(place)}</code> "
    yield f"<span>{escape(words)}</span></summary>"
    parameters = [
        (p["name"], p["in"], p["schema"], p.get("required", False), p.get("description", ""))
        for p in operation.get("parameters", [])
    ]
    yield from _table(document, "Parameters", parameters)
    schema = _json_schema(document, operation.get("requestBody", {}))
    yield from _table(document, "Body", _fields(schema, "body"))
    for status, response in operation["responses"].items():
        yield f"<p><b>{escape(status)}</b> {escape(response.get('description', ''))}</p>"
        if status.startswith("2"):
            schema = _json_schema(document, response)
            yield from _table(document, "", _fields(schema, ""))
    yield "</details>"


def _fields(schema: dict[str, Any], where: str) -> list[tuple[str, str, Any, bool, str]]:
    required = schema.get("required", ())
    properties = schema.get("properties", {}).items()
    return [(name, where, one, name in required, one.get("description", "")) for name, one in properties]


def _table(
    document: dict[str, Any], caption: str, fields: list[tuple[str, str, Any, bool, str]]
) -> Iterator[str]:
    if not fields:
        return
    yield f"<table><caption>{caption}</caption>" if caption else "<table>"
    for name, where, schema, required, words in fields:
        note = f"{where}, required" if required and where else where
        kind = _kind(document, schema)
        yield f"<tr><th><code>{escape(name)}</code><td>{escape(kind)}<td>{note}<td>{escape(words)}"
    yield "</table>"


def _json_schema(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    return _resolved(document, part.get("content", {}).get("application/json", {}).get("schema", {}))


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"].get(name, schema)
    return found


def _kind(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """A short name of a type."""
    if "$ref" in schema:
        resolved = _resolved(document, schema)
        return (
            " | ".join(map(str, resolved["enum"]))
            if "enum" in resolved
            else schema["$ref"].rpartition("/")[2]
        )
    if "anyOf" in schema:
        return " or ".join(_kind(document, one) for one in schema["anyOf"])
    if isinstance(schema.get("type"), list):
        return " or ".join(_kind(document, {**schema, "type": one}) for one in schema["type"])
    if schema.get("type") == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_kind(document, schema['additionalProperties'])}"
    return str(schema.get("format") or schema.get("type") or "anything")
