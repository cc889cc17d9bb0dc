"""Describes the API: the OpenAPI document, made from the types that read requests and write responses.

FastAPI describes routes and requests. This module adds the Structs of responses, one example of each body
made from the examples of its fields, the codes of errors, and what all operations have in common.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any, Final, get_args

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from angarium.api.field import schema_ref
from angarium.api.listing import DEFAULT_LIMIT, MAX_LIMIT
from angarium.api.native import MODULES
from angarium.core.error_text import TEXTS
from angarium.core.errors import FaultType
from angarium.profiles.openapi import webhooks
from angarium.service.services import Services

METHODS: Final = ("get", "post", "put", "patch", "delete")

DESCRIPTION: Final = f"""\
Post a message, and Angarium delivers it, signed, to every endpoint that selects it.

## Authentication

Every request has the header `Authorization: Bearer TOKEN`, except those of the health of the server. A
token of an organization may call all operations. A token of an application may call those of its own
application, as far as its capabilities allow; all other applications are 404 for it.

## Requests

Bodies are JSON in UTF-8, whatever `Content-Type` says, and not compressed. Unknown fields are ignored;
unknown query parameters are refused. Null in an optional field is the same as leaving the field out. In a
PATCH, null clears a field. Times are RFC 3339 with a zone; responses have UTC and microseconds. Wherever an
id of an application, endpoint or message is expected, your own `uid` or `eventId` can be used.

## Pagination

A list returns up to `limit` items ({DEFAULT_LIMIT}, at most {MAX_LIMIT}) in `data`. Pass `iterator` of a
page to get the next one, until `done` is true. Pass `prevIterator` to go back. Iterators stay valid.

## Idempotency

A POST may have the header `Idempotency-Key` with any text. If a request with the same key, token and path
succeeded in the last 12 hours, its response is repeated and nothing is done again. Use it to retry after a
timeout. A message may also have an `eventId`, which is unique in its application.

## Rate limits

The number of requests is not limited. `throttleRate` of an endpoint or application limits the deliveries to
a receiver. After too many failed authentications from an address, and when too many listeners wait, the
response is 429. When the server is overloaded or its database is away, it is 503. Both have the header
`Retry-After` with the number of seconds to wait.

## Errors

An error has a stable `code` and a `detail` for people. Invalid fields (422) are listed with their location
instead. Every response lists its codes. 5xx responses may be retried.

## Versions

The version is in the path (`/api/v1`). Within it, fields and operations are only added, so ignore fields
that you do not know.
"""

TAGS: Final = {
    "Application": "An application is one of your customers, with endpoints and messages of its own.",
    "Endpoint": "An endpoint is a URL at which an application receives messages. It selects them by event "
    "type and channel, and has a secret, headers and a rate limit.",
    "Contact": "A contact is an address that is mailed when endpoints of an application fail, once it has "
    "confirmed.",
    "Quota": "An application has limits of messages a month and of endpoints. What it uses is counted by "
    "month.",
    "Event Type": "An event type names a kind of message, and has a description and JSON Schemas.",
    "Message": "A message is one event. Creating it creates a delivery for each endpoint that selects it.",
    "Message Attempt": "An attempt is one HTTP request made for a delivery. A failed delivery is attempted "
    "again on a schedule; `resend` attempts it at once.",
    "Log": "All deliveries of an application, newest first, by filter. Those that match can be sent again.",
    "Background Task": "Recover, replay-missing and resending by filter continue after their request.",
    "Authentication": "Links into the portal for your customers, and the organization's tokens and keys.",
    "Organization": "An organization is a webhook product of the operator. A profile defines it.",
    "Audit": "The audit log says who changed what, when and from where.",
    "Listener": "A listener is an endpoint whose deliveries a developer's machine fetches.",
    "Play": "An inbox is a temporary receiver inside the server, which shows requests and verifies them.",
    "Health": "Whether the server can do its work.",
}

ERROR: Final[dict[str, Any]] = {
    "title": "Error",
    "description": "Why a request was refused.",
    "type": "object",
    "required": ["code", "detail"],
    "properties": {
        "code": {"type": "string", "description": "A stable code.", "examples": ["not_found"]},
        "detail": {"type": "string", "description": "A text for people.", "examples": ["Entity not found"]},
    },
}
FAULT: Final[dict[str, Any]] = {
    "title": "ValidationError",
    "description": "What is wrong with one field.",
    "type": "object",
    "required": ["loc", "msg", "type"],
    "properties": {
        "loc": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The location: `body`, `query` or `path`, then field names. "
            "`[0]` is the first item of a list.",
            "examples": [["body", "channels", "[0]"]],
        },
        "msg": {
            "type": "string",
            "description": "The error message.",
            "examples": ["must be 1 to 128 of a-z A-Z 0-9 - _ . : +"],
        },
        "type": {
            "type": "string",
            "enum": list(get_args(FaultType)),
            "description": "The kind of error.",
            "examples": ["value_error"],
        },
    },
}
FAULTS: Final[dict[str, Any]] = {
    "title": "HTTPValidationError",
    "description": "The fields that are not valid.",
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "type": "array",
            "items": {"$ref": schema_ref("ValidationError")},
            "description": "One entry for each error.",
        }
    },
}

_ANY: Final = ("authentication_failed", "insufficient access", "not_found", "rate_limit")
_UNAVAILABLE: Final = ("overloaded", "store_unavailable")
_CHANGES: Final = ("bad_request", "conflict")
_BODY: Final = ("body_too_slow", "payload_too_large", "unsupported_content_encoding")
_ONLY: Final[Mapping[str, tuple[str, ...]]] = {
    "v1.message.create": ("message_limit_reached",),
    "v1.endpoint.create": ("too_many_endpoints",),
    "v1.endpoint.upsert": ("too_many_endpoints",),
    "v1.listener.open": ("too_many_endpoints",),
    "v1.listener.fetch": ("listener_disabled", "too_many_listeners"),
    "v1.contact.add": ("mail_unavailable", "too_many_confirmations"),
    "v1.contact.replace": ("mail_unavailable", "too_many_confirmations"),
    "v1.contact.ask": ("mail_unavailable", "too_many_confirmations"),
    "v1.endpoint.get-stats": ("invalid_range",),
    "v1.endpoint.rotate-secret": ("limit_reached",),
    "v1.endpoint.send-example": ("invalid_scheme",),
    "v1.event-type.create": ("event_type_exists",),
    "v1.message-attempt.resend": ("missing_payload",),
    "v1.inbox.create": ("no_public_url",),
    "v1.authentication.app-portal-access": ("no_signing_key",),
    "v1.authentication.dashboard-access": ("no_signing_key",),
}
_PAGE: Final = re.compile(r"Page_(\w+)_$")  # as msgspec names a page of a list
_DONE: Final = {"200": "OK", "201": "Created", "202": "Accepted", "204": "Done. The response has no body."}


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the native API, and of the webhooks of products."""
    services: Services = app.state.services
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=DESCRIPTION,
        routes=app.routes,
        servers=app.servers or [{"url": "/"}],
    )
    components = document["components"]
    components["schemas"] |= _structs(document)
    components["schemas"] |= {
        "Error": ERROR, "ValidationError": FAULT, "HTTPValidationError": FAULTS
    }  # fmt: skip
    components["responses"] = {}
    for schema in components["schemas"].values():
        _tidy(schema)
    examples = _Examples(components["schemas"])
    for name, schema in components["schemas"].items():
        if name.startswith("ListResponse"):
            examples.turn(schema["properties"])
    for method, _, operation in operations(document):
        _complete(method, operation, components["responses"], examples)
    _without_marks(components["schemas"])
    document["tags"] = [{"name": name, "description": words} for name, words in TAGS.items()]
    for product in services.product.all.values():
        if found := webhooks(product):
            document.setdefault("webhooks", {}).update(found)
            document["tags"].append({"name": product.profile.title, "description": product.profile.summary})
    return document


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def _structs(document: dict[str, Any]) -> dict[str, Any]:
    """The schemas of Structs; puts references to them into the operations."""
    handlers = {
        getattr(route, "operation_id", None): getattr(route, "endpoint", None)
        for module in MODULES
        for route in module.router.routes
    }
    types: list[Any] = []
    for _, _, operation in operations(document):
        said = vars(handlers[operation["operationId"]])
        if (takes := said.get("takes")) is not None:
            content = {"application/json": {"schema": _reference(takes)}}
            operation["requestBody"] = {"required": True, "content": content}
            types.append(takes)
        if (gives := said["body_type"]) is not None:
            for response in operation["responses"].values():
                content = response.setdefault("content", {}).setdefault("application/json", {})
                if "$ref" not in content.get("schema", {}):
                    content["schema"] = _reference(gives)
            types.append(gives)
        types += said.get("parts", ())
    _, found = msgspec.json.schema_components(types, ref_template=schema_ref("{name}"))
    return {_PAGE.sub(r"ListResponse\1", name): schema for name, schema in found.items()}


def _reference(struct: Any) -> dict[str, Any]:
    schema: dict[str, Any]
    (schema,), _ = msgspec.json.schema_components([struct], ref_template=schema_ref("{name}"))
    return {"$ref": _PAGE.sub(r"ListResponse\1", schema["$ref"])}


def _tidy(schema: dict[str, Any]) -> None:
    """Drop what generators add, and say of a property what is said of its only type besides null."""
    # the first paragraph of a docstring is for callers
    schema["description"] = cleandoc(schema.get("description", "")).partition("\n\n")[0].replace("\n", " ")
    required = schema.get("required", [])
    for name, found in list(schema.get("properties", {}).items()):
        if found.pop("x-hidden", False):
            del schema["properties"][name]
            continue
        if found.pop("x-required", False):
            schema["required"] = required = [*required, name]
        found.pop("title", None)
        if "default" in found and found["default"] is None:
            del found["default"]
        for one in found.get("anyOf", ()):
            for word in ("description", "examples", "deprecated", "x-rare"):
                if word in one:
                    found.setdefault(word, one.pop(word))


def _without_marks(schemas: dict[str, Any]) -> None:
    for schema in schemas.values():
        for found in schema.get("properties", {}).values():
            found.pop("x-rare", None)


class _Examples:
    """Makes an example of a schema from those of its properties."""

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._schemas = schemas

    def of(self, schema: Mapping[str, Any]) -> Any:
        if "examples" in schema:
            return schema["examples"][0]
        if "$ref" in schema:
            return self.of(self._schemas[schema["$ref"].rpartition("/")[2]])
        if "anyOf" in schema:
            return self.of(schema["anyOf"][0])
        if schema.get("type") == "array":
            return [self.of(schema["items"])]
        if "properties" not in schema:
            return {}
        required = schema.get("required", ())
        return {
            name: self.of(found)
            for name, found in schema["properties"].items()
            if name in required or not (found.get("deprecated") or found.get("x-rare"))
        }

    def turn(self, page: dict[str, Any]) -> None:
        """Make the iterators of a page those of the item in its example."""
        (item,) = self.of(page["data"])
        place = item.get("id", item.get("name"))
        page["iterator"]["examples"], page["prevIterator"]["examples"] = [place], [f"-{place}"]


def _complete(method: str, operation: dict[str, Any], shared: dict[str, Any], examples: _Examples) -> None:
    """Add summary, examples and errors to an operation."""
    summary, _, words = operation["description"].partition("\n\n")
    operation["summary"], operation["description"] = summary.rstrip("."), words
    for parameter in operation.get("parameters", ()):
        _tidy_parameter(parameter)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        body["example"] = examples.of(body["schema"])
    responses = operation["responses"]
    responses.pop("422", None)
    for status, response in responses.items():
        shown: dict[str, Any] = response.get("content", {}).get("application/json", {})
        if response["description"] == "Successful Response":
            response["description"] = _DONE[status]
        if "schema" in shown:
            shown["example"] = examples.of(shown["schema"])
        for parameter in operation.get("parameters", ()):
            if parameter["name"] == "iterator":
                parameter["example"] = shown["example"]["iterator"]
    if operation.get("parameters") or body is not None:
        responses["422"] = _shared(shared, "422", ("validation",), examples)
    if "security" not in operation:
        return
    codes = [*_ANY, *_UNAVAILABLE, *_ONLY.get(operation["operationId"], ())]
    if method != "get":
        codes += _CHANGES
    if body is not None:
        codes += _BODY
    by_status: dict[str, list[str]] = {}
    for code in codes:
        by_status.setdefault(str(TEXTS[code].status), []).append(code)
    for status in sorted(by_status):
        responses[status] = _shared(shared, status, tuple(by_status[status]), examples)
    operation["responses"] = dict(sorted(responses.items()))


def _shared(
    shared: dict[str, Any], status: str, codes: tuple[str, ...], examples: _Examples
) -> dict[str, Any]:
    """A reference to the response with these codes, which is made once."""
    name = "-".join((status, *codes)).replace(" ", "_")
    if name not in shared:
        rows = {code: TEXTS[code] for code in codes}
        words = [f"`{code}`: {row.title} {row.advice}" for code, row in rows.items()]
        if status == "422":
            schema = {"$ref": schema_ref("HTTPValidationError")}
            shown: dict[str, Any] = {"validation": {"value": examples.of(schema)}}
        else:
            schema = {"$ref": schema_ref("Error")}
            shown = {
                code: {"summary": row.title, "value": {"code": code, "detail": row.example}}
                for code, row in rows.items()
            }
        content = {"application/json": {"schema": schema, "examples": shown}}
        shared[name] = {"description": "\n\n".join(words), "content": content}
    return {"$ref": f"#/components/responses/{name}"}


def _tidy_parameter(parameter: dict[str, Any]) -> None:
    """A parameter of a query cannot be null, and its example is that of its schema."""
    schema = parameter["schema"]
    schema.pop("title", None)
    real = [one for one in schema.pop("anyOf", ()) if one.get("type") != "null"]
    for one in real:
        schema.update(one)
    if "examples" in schema:
        parameter["example"] = schema.pop("examples")[0]
