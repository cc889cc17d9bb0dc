"""Lists the errors of the API by code: HTTP status, title, detail and what to do. Lists those of tasks, too.

A code is stable and public. `detail` is what the API returns unless the error has a more precise one; values
in braces are filled in. A second language translates these tables. Errors of single fields (`validation`)
have texts of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class ErrorText(NamedTuple):
    """What an error says. `example`: the detail with values, if it has any."""

    status: int
    title: str
    detail: str
    advice: str
    values: Mapping[str, object] = MappingProxyType({})

    @property
    def example(self) -> str:
        return self.detail.format(**self.values)


TEXTS: Final[dict[str, ErrorText]] = {
    "bad_request": ErrorText(
        400,
        "The request is not valid in the current state.",
        "The request is not valid.",
        "Read `detail`, and change the request.",
    ),
    "too_many_endpoints": ErrorText(
        400,
        "The application has reached its endpoint limit.",
        "{noun} limit reached ({most:,}). Delete {nouns} you no longer need, or ask your operator for a "
        "higher limit.",
        "Delete endpoints, or ask the operator for a higher limit.",
        {"noun": "Endpoint", "nouns": "endpoints", "most": 1000},
    ),
    "mail_unavailable": ErrorText(
        400,
        "The server sends no mail.",
        "This server sends no mail: ANGARIUM_SMTP_URL and ANGARIUM_PUBLIC_URL are not set.",
        "Ask the operator to configure mail.",
    ),
    "invalid_range": ErrorText(
        400,
        "The window of statistics is too long or ends in the future.",
        "The range must end in the past and be at most 28 days long.",
        "Choose other values of `since` and `until`.",
    ),
    "invalid_scheme": ErrorText(
        400,
        "The event type has no such example.",
        "Version 1 of the schema of {name} has no such example.",
        "Add an example to version 1 of the event type's schema.",
        {"name": "order.filled"},
    ),
    "limit_reached": ErrorText(
        400,
        "The endpoint has too many secrets in use.",
        "An endpoint can have at most {most} old secrets in use. Wait until one expires.",
        "Wait until an old secret expires, or rotate with a shorter grace period.",
        {"most": 10},
    ),
    "listener_disabled": ErrorText(
        400,
        "The listener is disabled.",
        "This listener is disabled; open it again.",
        "Open the listener again.",
    ),
    "missing_payload": ErrorText(
        400,
        "The payload was deleted.",
        "The payload of this message has been deleted. It cannot be sent again.",
        "Create a new message.",
    ),
    "no_pending_secret": ErrorText(
        400,
        "No secret is pending.",
        "There is no pending secret to activate.",
        "Rotate the secret first.",
    ),
    "no_public_url": ErrorText(
        400,
        "The server does not know its public URL.",
        "Play needs this server's public URL. The operator must set ANGARIUM_PUBLIC_URL.",
        "Ask the operator to set `ANGARIUM_PUBLIC_URL`.",
    ),
    "no_signing_key": ErrorText(
        400,
        "The server cannot sign tokens.",
        "This server can verify tokens but has no key to sign them.",
        "Ask the operator to set a private key in `ANGARIUM_JWT_SECRET`.",
    ),
    "bad_token": ErrorText(
        400,
        "The token has no subject.",
        "The token names neither an organization nor an application.",
        "Create the token with `angarium token`.",
    ),
    "too_many_trials": ErrorText(
        400,
        "The limit of trial requests is reached.",
        "Limit of {most} trial requests per minute reached. Try again in {seconds} seconds.",
        "Wait, then try again.",
        {"most": 10, "seconds": 30},
    ),
    "too_many_tests": ErrorText(
        400,
        "The limit of test messages is reached.",
        "Limit of {most} test messages per minute reached. Try again in {seconds} seconds.",
        "Wait, then try again.",
        {"most": 60, "seconds": 30},
    ),
    "authentication_failed": ErrorText(
        401,
        "The token is missing, invalid, expired or revoked.",
        "Invalid token",
        "Send `Authorization: Bearer TOKEN` with a valid token.",
    ),
    "insufficient access": ErrorText(
        403,
        "The token does not allow this operation.",
        "You do not have permission to perform this action.",
        "Use a token of the organization, or one with the capability.",
    ),
    "not_found": ErrorText(
        404,
        "It does not exist, or is not visible to this token.",
        "Entity not found",
        "Check the id. Application tokens see only their own application.",
    ),
    "body_too_slow": ErrorText(
        408,
        "The body took too long.",
        "The request body did not arrive in time.",
        "Send the body faster.",
    ),
    "conflict": ErrorText(
        409,
        "The request conflicts with an existing object, or with one in progress.",
        "A conflict has occurred",
        "Choose another `uid` or `eventId`, or wait for the first request.",
    ),
    "event_type_exists": ErrorText(
        409,
        "The event type exists.",
        "An event type with that name already exists.",
        "Update the event type, or choose another name.",
    ),
    "payload_too_large": ErrorText(
        413,
        "The body is too large.",
        "The request body is too large.",
        "Send a smaller body. The operator sets the limit.",
    ),
    "unsupported_content_encoding": ErrorText(
        415,
        "The body is compressed.",
        "The request body has a Content-Encoding. Send it without one.",
        "Send the body without `Content-Encoding`.",
    ),
    "validation": ErrorText(
        422,
        "Some fields are not valid.",
        "Some fields are not valid.",
        "Change the fields that `detail` lists.",
    ),
    "rate_limit": ErrorText(
        429,
        "Too many authentications from this address failed.",
        "Too many failed attempts. Try again later.",
        "Wait for the seconds in `Retry-After`, and use a valid token.",
    ),
    "too_many_listeners": ErrorText(
        429,
        "Too many listeners of the application wait.",
        "Limit of waiting listeners reached for this application ({most}). "
        "Stop a listener you no longer need.",
        "Stop a listener that you no longer need.",
        {"most": 20},
    ),
    "too_many_confirmations": ErrorText(
        429,
        "Too many confirmations were mailed.",
        "Too many confirmations were mailed today: at most {address} to an address and {application} for an "
        "application.",
        "Wait for the seconds in `Retry-After`.",
        {"address": 3, "application": 20},
    ),
    "message_limit_reached": ErrorText(
        429,
        "The application has reached its limit of messages for the month.",
        "Message limit of the month reached: {used:,} of {limit:,} used. The next month begins at {end}.",
        "Wait until `endsAt`, or ask the operator for a higher limit.",
        {"limit": 1000, "used": 1000, "end": "2026-12-01T00:00:00Z"},
    ),
    "internal_error": ErrorText(
        500,
        "A fault on our side.",
        "Something went wrong on our side.",
        "Try again later, with the same idempotency key.",
    ),
    "not_implemented": ErrorText(
        501,
        "Only Svix has this operation.",
        "Angarium does not support this Svix operation. See {page}",
        "Read the page that `detail` names.",
        {"page": "https://example.com/docs/svix-operations.md"},
    ),
    "overloaded": ErrorText(
        503,
        "The server is overloaded.",
        "The server is overloaded. Try again shortly.",
        "Wait for the seconds in `Retry-After`, then try again.",
    ),
    "store_unavailable": ErrorText(
        503,
        "The database is not available.",
        "The database is not available. Try again with the same idempotency key, if you used one.",
        "Wait for the seconds in `Retry-After`, then try again with the same idempotency key.",
    ),
}

TASK_TEXTS: Final[dict[str, str]] = {
    "endpoint_deleted": "The endpoint was deleted.",
    "internal": "A fault on our side stopped this task. Start it again to send the rest.",
}
"""Why a background task failed, by its code (`TaskError`)."""
