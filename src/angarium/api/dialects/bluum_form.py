"""Bluum's wire forms: errors with its catalogue of codes, bodies read field by field, resources and lists."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from angarium.api.field import MAX_EVENT_TYPES, wire_time
from angarium.core import errors, ids, timestamp
from angarium.core.errors import AngariumError, FieldError, Invalid
from angarium.core.nouns import Endpoint, State
from angarium.core.patterns import EVERYTHING, covering
from angarium.store.attempt import Recorded
from angarium.store.delivery import DeliveryMessage

TYPES_AGAIN: Final = (
    "event_type_names"  # answers repeat the types so; taken too, so that they can be sent back
)
MAX_TEXT: Final = 1024
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 200
MAX_OFFSET: Final = 10_000

# error -> status, type, code
_TABLE: Final[Mapping[type[AngariumError], tuple[int, str, str]]] = {
    errors.BadRequest: (400, "invalid_request_error", "BLUM-400-001"),
    errors.Invalid: (400, "invalid_request_error", "BLUM-400-003"),
    errors.BodyTooLarge: (400, "invalid_request_error", "BLUM-400-008"),
    errors.TooSlow: (408, "invalid_request_error", "BLUM-400-001"),
    errors.Compressed: (415, "invalid_request_error", "BLUM-400-001"),
    errors.NotAuthenticated: (401, "authentication_error", "BLUM-401-003"),
    errors.NotAllowed: (403, "permission_error", "BLUM-403-001"),
    errors.NotFound: (404, "not_found_error", "BLUM-404-001"),
    errors.Conflict: (409, "conflict_error", "BLUM-409-001"),
    errors.TooManyFailures: (429, "rate_limit_error", "BLUM-429-001"),
    errors.Overloaded: (503, "api_error", "BLUM-503-001"),
    errors.StoreUnavailable: (503, "api_error", "BLUM-503-001"),
}
_INTERNAL: Final = (500, "api_error", "BLUM-500-001")
_KINDS: Final = {
    "value_error.missing": "BLUM-400-002",
    "value_error.enum": "BLUM-400-004",
    "value_error.jsondecode": "BLUM-400-001",
}


def error_answer(error: AngariumError) -> Response:
    """`{"error": {"type", "code", "message", "param"?}}` with the status of the error."""
    status, kind, code = next((_TABLE[one] for one in type(error).__mro__ if one in _TABLE), _INTERNAL)
    said: dict[str, Any] = {"type": kind, "code": code, "message": error.detail}
    if error.wire_code.startswith("BLUM-"):
        said["code"] = error.wire_code
    if isinstance(error, errors.TooManyEndpoints):
        said["message"] = error.said_of("webhook")
    if isinstance(error, errors.MessageLimitReached):
        said |= error.facts
    if isinstance(error, Invalid):
        fault = error.faults[0]
        said |= {"code": _KINDS.get(fault.type, code), "message": "; ".join(one.msg for one in error.faults)}
        names = [part for part in fault.loc[1:] if isinstance(part, str)]
        if names and fault.type != "value_error.jsondecode":
            said["param"] = names[0]
    headers = {}
    if status == 401:
        headers["www-authenticate"] = 'Basic realm="API", charset="UTF-8"'
    if status in (429, 503):
        after = error.retry_after if isinstance(error, errors.Overloaded | errors.TooManyFailures) else 1.0
        headers["retry-after"] = str(max(1, math.ceil(after)))
    return JSONResponse({"error": said}, status, headers)


def missing(name: str, words: str) -> Invalid:
    return Invalid(FieldError(("body", name), words, "value_error.missing"))


def text_of(body: Mapping[str, Any], name: str) -> str | None:
    """A text of the body; None when it is missing or null. Raises Invalid."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise Invalid.field(name, f"{name} must be a text of at most {MAX_TEXT} characters.")
    return value


def types_of(
    body: Mapping[str, Any], field: str, known: Collection[str], *, wildcards: bool
) -> tuple[str, ...] | None:
    """The event types in a field of the body; None when it has none.

    Raises Invalid with the names that there are, or with the name of the field where it has another's.
    """
    if "events" in body and field != "events":
        raise Invalid.field("events", f"The field is {field}, not events.")
    value = body.get(field, body.get(TYPES_AGAIN))
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise Invalid.field(field, f"{field} must be a list of at least one event type or wildcard.")
    if len(value) > MAX_EVENT_TYPES:
        raise Invalid.field(field, f"{field} has at most {MAX_EVENT_TYPES} entries.")
    patterns = _wildcards(known) if wildcards else []
    valid = {*known, *patterns}
    wrong = next((one for one in value if one not in valid), None)
    if wrong is not None:
        close = get_close_matches(wrong[:256], [*known, *patterns], 1)
        hint = f" Did you mean {close[0]}?" if close else ""
        more = f"; and the wildcards {', '.join(patterns)}" if patterns else ""
        words = f"{json.dumps(wrong)[:100]} is not an event type.{hint} Valid are {', '.join(known)}{more}."
        raise Invalid(FieldError(("body", field), words, "value_error.enum"))
    return tuple(dict.fromkeys(value))


def _wildcards(known: Iterable[str]) -> list[str]:
    """The wildcards that match a known event type: one that matches none is a mistake."""
    return list(dict.fromkeys(one for name in known for one in reversed(covering(name)[1:])))


def status_of(body: Mapping[str, Any]) -> bool | None:
    """Whether the endpoint is to be disabled; None when the body does not say. Raises Invalid."""
    value = body.get("status")
    if value is None:
        return None
    if value not in ("active", "disabled"):
        raise Invalid(
            FieldError(("body", "status"), "status must be active or disabled.", "value_error.enum")
        )
    return bool(value == "disabled")


def moment_of(body: Mapping[str, Any], name: str) -> datetime | None:
    """A time of the body, ISO 8601 with an offset. Raises Invalid."""
    value = body.get(name)
    if value is None:
        return None
    try:
        return timestamp.parse(value if isinstance(value, str) else "")
    except ValueError:
        raise Invalid.field(name, f"{name} must be a time such as 2025-06-15T14:30:15Z.") from None


def number_of(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A whole number of the query. Raises Invalid."""
    raw = request.query_params.get(name) or str(default)
    if not raw.isascii() or not raw.isdigit() or len(raw) > 9 or not least <= int(raw) <= most:
        raise Invalid.field(name, f"{name} must be a whole number from {least} to {most}.", where="query")
    return int(raw)


def host_of(url: str) -> str:
    """The default name of an endpoint."""
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def endpoint_form(prefix: str, field: str, endpoint: Endpoint) -> dict[str, Any]:
    """An endpoint as Bluum shows a webhook, without its secret; `field` has its event types."""
    types = list(endpoint.event_types or [EVERYTHING])
    form: dict[str, Any] = {
        "id": ids.text(prefix, endpoint.id),
        "object": "webhook",
        "name": endpoint.name or host_of(endpoint.url),
        "url": endpoint.url,
        "description": endpoint.description,
        field: types,
        TYPES_AGAIN: types,
        "status": "active" if endpoint.disabled_at is None else "disabled",
        "created_at": wire_time(endpoint.created_at),
        "updated_at": wire_time(endpoint.updated_at),
    }
    if endpoint.disabled_at is not None:
        form |= {
            "disabled_at": wire_time(endpoint.disabled_at),
            "disabled_reason": endpoint.disabled_reason,
        }
    return form


def dead_letter_form(prefix: str, endpoint_id: str, found: DeliveryMessage) -> dict[str, Any]:
    """A message that was given up for an endpoint, or canceled when it was disabled."""
    delivery, message = found.delivery, found.message
    status = "dead" if delivery.state is State.EXHAUSTED else "canceled"
    return {
        "id": ids.text(prefix, message.id),
        "object": "dead_letter",
        "webhook_id": endpoint_id,
        "event": message.event_type,
        "status": status if delivery.manual_at is None else "replaying",
        "failed_attempts": delivery.failures,
        "created_at": wire_time(message.created_at),
        "payload": _raw(message.payload),
    }


def _raw(payload: bytes | None) -> Any:
    """The payload as it was sent; None if it was deleted."""
    if payload is None:
        return None
    try:
        return msgspec.json.decode(payload, type=msgspec.Raw)
    except (ValueError, RecursionError):  # sent verbatim, and no JSON
        return payload.decode("utf-8", "replace")


def attempt_form(prefix: str, message_prefix: str, endpoint_id: str, recorded: Recorded) -> dict[str, Any]:
    """One attempt, with its error message."""
    attempt, message = recorded.attempt, recorded.message
    return {
        "id": ids.text(prefix, attempt.id),
        "object": "attempt",
        "webhook_id": endpoint_id,
        "event_id": ids.text(message_prefix, attempt.message_id),
        "event": None if message is None else message.event_type,
        "attempt_number": attempt.number,
        "status": "succeeded" if attempt.error_code is None else "failed",
        "status_code": attempt.status_code or None,
        "error_code": attempt.error_code,
        "error_message": attempt.error,
        "duration_ms": attempt.duration_ms,
        "next_retry_at": None if attempt.next_at is None else wire_time(attempt.next_at),
        "created_at": wire_time(attempt.created_at),
    }


def list_form(request: Request, items: Sequence[Any], *, has_more: bool) -> dict[str, Any]:
    return {"object": "list", "url": request.url.path, "has_more": has_more, "data": list(items)}


def answer(body: Mapping[str, Any], status: int = 200) -> Response:
    """A JSON answer; payloads in it go out as they are."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")


def event_ids(prefix: str, body: Mapping[str, Any], most: int) -> list[UUID] | None:
    """The events that the body names; None when it names none. Raises Invalid."""
    value = body.get("event_ids")
    if value is None:
        return None
    if not isinstance(value, list) or not 0 < len(value) <= most:
        raise Invalid.field("event_ids", f"event_ids must be a list of 1 to {most} ids.")
    return list(dict.fromkeys(_parsed(prefix, value)))


def _parsed(prefix: str, values: Iterable[Any]) -> Iterable[UUID]:
    for value in values:
        parsed = ids.parse(prefix, value) if isinstance(value, str) else None
        if parsed is None:
            raise Invalid.field("event_ids", f"{json.dumps(value)[:100]} is not the id of an event.")
        yield parsed
