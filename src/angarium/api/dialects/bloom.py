"""The dialect `bloom`: one GraphQL query, `webhookDashboardUrl`, that gives a link into the portal.

A key of the product's first scope may ask; any other gets the code FORBIDDEN, no key gets 401. The schema can
be introspected. Errors have a code and a message, without internal details.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import strawberry
from fastapi import APIRouter
from graphql import GraphQLError, GraphQLSyntaxError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from strawberry.exceptions import MissingQueryError
from strawberry.extensions import MaxAliasesLimiter, MaxTokensLimiter
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionContext

from angarium.api.auth import base_url, services_of
from angarium.api.body import parse_json
from angarium.api.dialects.key import key_of
from angarium.api.dialects.route import Unexpected, answering, log
from angarium.core.errors import (
    AngariumError,
    BadRequest,
    BodyTooLarge,
    Compressed,
    Invalid,
    MessageLimitReached,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    Overloaded,
    StoreUnavailable,
    TooManyFailures,
    TooSlow,
)
from angarium.core.product import Product
from angarium.service.api_key import name_of
from angarium.store.api_key import ApiKey

BODY_LIMIT: Final = 16 * 1024  # bytes of a request
DEPTH_LIMIT: Final = 20  # the introspection query has 13
TOKEN_LIMIT: Final = 1000  # the introspection query of common tools has about 350
ALIAS_LIMIT: Final = 5

_CODES: Final[dict[type[AngariumError], str]] = {
    NotAuthenticated: "UNAUTHENTICATED",
    NotAllowed: "FORBIDDEN",
    NotFound: "NOT_FOUND",
    TooSlow: "REQUEST_TIMEOUT",
    BodyTooLarge: "PAYLOAD_TOO_LARGE",
    Compressed: "UNSUPPORTED_CONTENT_ENCODING",
    TooManyFailures: "RATE_LIMITED",
    Overloaded: "UNAVAILABLE",
    StoreUnavailable: "UNAVAILABLE",
    Unexpected: "INTERNAL_SERVER_ERROR",
}
_STATUSES: Final = {
    "UNAUTHENTICATED": 401,
    "REQUEST_TIMEOUT": 408,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_CONTENT_ENCODING": 415,
    "RATE_LIMITED": 429,
    "UNAVAILABLE": 503,
    "INTERNAL_SERVER_ERROR": 500,
}


@dataclass(frozen=True, slots=True)
class _Context:
    request: Request
    product: Product
    key: ApiKey


async def _dashboard_url(info: strawberry.Info[_Context, None]) -> str:
    context = info.context
    key, profile = context.key, context.product.profile
    if key.scope not in profile.management.scopes[:1] or key.app_id is None:
        raise NotAllowed("This needs Organization Scope authentication.")
    link = await services_of(context.request).portal_link.give(
        key.org_id,
        key.app_id,
        profile.portal,
        session_id=name_of(key.id),
        origin=key.origin,
    )
    return link.url(base_url(context.request))


@strawberry.type(name="Query")
class BloomQuery:
    """What an organization may ask."""

    webhook_dashboard_url: str = strawberry.field(
        resolver=_dashboard_url,
        description="A link to the webhook dashboard, where endpoints are added and deliveries are seen. "
        "Requires Organization Scope authentication.",
    )


class _Schema(strawberry.Schema):
    """Leaves it to us what is logged."""

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        for error in errors:
            if error.original_error is not None and not isinstance(error.original_error, AngariumError):
                log.error("api.failed", path="graphql", exc_info=error.original_error)


_SCHEMA: Final = _Schema(
    BloomQuery,
    extensions=[
        lambda: MaxTokensLimiter(max_token_count=TOKEN_LIMIT),
        lambda: MaxAliasesLimiter(max_alias_count=ALIAS_LIMIT),
    ],
)


def router(product: Product, base_path: str) -> APIRouter:
    """The query at the base path itself."""
    routes = APIRouter(prefix=base_path, route_class=Route)

    async def query(request: Request) -> Response:
        key = await key_of(request, product)
        asked = await _asked(request)
        try:
            result = await _SCHEMA.execute(
                asked["query"],
                variable_values=asked.get("variables"),
                operation_name=asked.get("operationName"),
                context_value=_Context(request, product, key),
            )
        except (CannotGetOperationTypeError, InvalidOperationTypeError, MissingQueryError, RecursionError):
            raise BadRequest("Not a query of this schema.") from None
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [_in_words(error) for error in result.errors]
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    routes.add_api_route("", query, methods=["POST"], include_in_schema=False)
    return routes


async def _asked(request: Request) -> dict[str, Any]:
    """The request's query, variables and operation. Raises Invalid."""
    body = await request.body()
    if len(body) > BODY_LIMIT:
        raise Invalid.field("query", f"A request has at most {BODY_LIMIT} bytes.")
    asked = parse_json(body)
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
        raise Invalid.field("query", 'Send {"query": "…"}, a GraphQL query in JSON.')
    if _depth(asked["query"]) > DEPTH_LIMIT:
        raise Invalid.field("query", f"A query is nested at most {DEPTH_LIMIT} deep.")
    if not isinstance(asked.get("variables") or {}, dict):
        raise Invalid.field("variables", "Variables are an object.")
    if not isinstance(asked.get("operationName") or "", str):
        raise Invalid.field("operationName", "The name of an operation is a text.")
    return {**asked, "operationName": asked.get("operationName") or None}


def _depth(query: str) -> int:
    """How deep braces are nested, those in texts too. Strawberry's own limit falls over odd fragments."""
    depth = deepest = 0
    for character in query:
        depth += (character == "{") - (character == "}")
        deepest = max(deepest, depth)
    return deepest


def _refused(error: AngariumError) -> Response:
    """What did not become a query."""
    code = _code(error) or "BAD_REQUEST"
    status = _STATUSES.get(code, 400)
    headers = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "1"}}.get(status, {})
    if isinstance(error, TooManyFailures):
        headers = {"retry-after": str(math.ceil(error.retry_after))}
    words = "; ".join(fault.msg for fault in error.faults) if isinstance(error, Invalid) else _words(error)
    extensions = {"code": code, **(error.facts if isinstance(error, MessageLimitReached) else {})}
    return JSONResponse({"errors": [{"message": words, "extensions": extensions}]}, status, headers)


Route = answering(_refused)


def _in_words(error: GraphQLError) -> dict[str, Any]:
    cause = error.original_error
    if isinstance(cause, AngariumError):
        words, code = _words(cause), _code(cause) or "BAD_REQUEST"
    elif cause is not None:
        words, code = Unexpected().detail, "INTERNAL_SERVER_ERROR"
    else:
        words = error.message
        code = (
            "GRAPHQL_PARSE_FAILED" if isinstance(error, GraphQLSyntaxError) else "GRAPHQL_VALIDATION_FAILED"
        )
    told: dict[str, Any] = {"message": words}
    if error.locations:
        told["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if error.path:
        told["path"] = error.path
    return told | {"extensions": {"code": code}}


def _code(error: AngariumError) -> str | None:
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), None)


def _words(error: AngariumError) -> str:
    # the detail of a store's error names hosts
    return StoreUnavailable().detail if isinstance(error, StoreUnavailable) else error.detail
