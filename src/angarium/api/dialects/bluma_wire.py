"""Bluma's wire forms: errors `{"error": {"type", "title", "status", "detail"}}`, webhooks, delivery rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from angarium.api.dialects.route import answering
from angarium.clock import datetime_at
from angarium.core import errors, ids
from angarium.core.errors import AngariumError, Invalid
from angarium.core.failure import kind_of
from angarium.core.nouns import Endpoint
from angarium.core.product import Product
from angarium.service.attempt import Logged
from angarium.service.endpoint_field import in_force, pending

TIMEOUT: Final = "Connection timeout"  # the document's words for it, which receivers' owners search for

# status, type and title; what is not here is an internal error
_FORMS: Final[Mapping[type[AngariumError], tuple[int, str, str]]] = {
    errors.BadRequest: (400, "invalid_request", "Invalid Request"),
    errors.Invalid: (400, "invalid_request", "Validation Error"),
    errors.NotAuthenticated: (401, "authentication_error", "Authentication Required"),
    errors.NotAllowed: (403, "permission_denied", "Insufficient Permissions"),
    errors.NotFound: (404, "not_found", "Resource Not Found"),
    errors.Conflict: (409, "conflict", "Conflict"),
    errors.TooSlow: (408, "invalid_request", "Request Timeout"),
    errors.BodyTooLarge: (413, "payload_too_large", "Payload Too Large"),
    errors.Compressed: (415, "invalid_request", "Unsupported Media Type"),
    errors.TooManyFailures: (429, "rate_limit_exceeded", "Rate Limit Exceeded"),
    errors.Overloaded: (429, "rate_limit_exceeded", "Rate Limit Exceeded"),
    errors.StoreUnavailable: (503, "service_unavailable", "Service Temporarily Unavailable"),
}
_INTERNAL: Final = (500, "internal_error", "Internal Server Error")
_WORDS: Final[Mapping[type[AngariumError], str]] = {
    errors.NotAuthenticated: "A valid API key is needed: Authorization: Bearer YOUR_API_KEY.",
    errors.NotAllowed: "This API key may not manage webhooks; it needs the scope webhooks:manage.",
}
_FIELDS: Final = {"eventTypes": "events"}  # our names of fields -> the product's


def refusal(error: AngariumError) -> Response:
    """The whole answer to an error."""
    kinds = type(error).__mro__
    status, kind, title = next((_FORMS[one] for one in kinds if one in _FORMS), _INTERNAL)
    detail = next((_WORDS[one] for one in kinds if one in _WORDS), error.detail)
    body: dict[str, Any] = {"type": kind, "title": title, "status": status, "detail": detail}
    headers: dict[str, str] = {}
    if isinstance(error, errors.MessageLimitReached):
        body |= error.facts
    if isinstance(error, errors.TooManyEndpoints):
        body["detail"] = error.said_of("webhook")
    if isinstance(error, Invalid):
        faults = [{"field": _place(fault.loc), "message": fault.msg} for fault in error.faults]
        body["detail"] = " ".join(f"{fault['field']}: {fault['message']}".strip() for fault in faults)
        body["validation_errors"] = faults
    elif isinstance(error, errors.Overloaded | errors.TooManyFailures):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    elif status == 503:
        headers["retry-after"] = "1"
    elif status == 401:
        headers["www-authenticate"] = "Bearer"
    return JSONResponse({"error": body}, status, headers)


def _place(loc: tuple[str | int, ...]) -> str:
    """`("body", "events", 0)` as `events.0`; our own names of fields are not the customer's."""
    parts = [str(part) for part in loc if part not in ("body", "query", "path")]
    return ".".join([_FIELDS.get(parts[0], parts[0]), *parts[1:]]) if parts else "body"


Route = answering(refusal)


def webhook(product: Product, endpoint: Endpoint, now: float) -> dict[str, Any]:
    """A webhook as it can be seen at any time: without its secret."""
    shown: dict[str, Any] = {
        "id": ids.text(product.profile.ids.endpoint, endpoint.id),
        "url": endpoint.url,
        "events": list(endpoint.event_types or ()),
        "is_active": endpoint.disabled_at is None,
        "created_at": iso(endpoint.created_at),
    }
    if endpoint.description:
        shown["description"] = endpoint.description
    if endpoint.disabled_at is not None:
        shown |= {"disabled_at": iso(endpoint.disabled_at), "disabled_reason": endpoint.disabled_reason}
    if (since := in_force(endpoint.keys, now).active_at) is not None:
        shown["secret_regenerated_at"] = _iso_at(since)
    if (new := pending(endpoint.keys, now)) is not None:
        shown["pending_secret_active_at"] = _iso_at(new.active_at or now)
    return shown


def delivery(product: Product, logged: Logged) -> dict[str, Any]:
    """One attempt, as the documented log shows it."""
    attempt = logged.attempt
    nothing = product.profile.management.no_response_status
    timeout = attempt.error_code is not None and kind_of(attempt.error_code).timed_out
    row: dict[str, Any] = {
        "id": ids.text(product.profile.ids.attempt, attempt.id),
        "event_id": ids.text(product.profile.ids.message, attempt.message_id),
        "event_type": logged.event_type,
        "attempt_number": attempt.number,
        "status_code": attempt.status_code or nothing,
        "duration_ms": attempt.duration_ms,
        "error_message": TIMEOUT if timeout else attempt.error,
    }
    if logged.retry_at is not None:
        row["next_retry_at"] = iso(logged.retry_at)
    # recorded when it ended: the next attempt is counted from there
    row["created_at"] = iso(attempt.created_at + timedelta(milliseconds=attempt.duration_ms))
    return row


def iso(at: datetime) -> str:
    """UTC with `Z`, to the millisecond."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _iso_at(at: float) -> str:
    return iso(datetime_at(at))
