"""Result of one HTTP request, and the error message for a status.

core/lifecycle.py decides what follows from a result. core/failure.py holds the failure kinds.
"""

from __future__ import annotations

import math
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from angarium.core.failure import FailureKind, kind_of_status

MAX_WORDS: Final = 1000
MASK: Final = "(hidden)"
"""Replaces the value of a header that may be a credential in the log."""


class AttemptResult(msgspec.Struct, frozen=True, gc=False):
    """The facts of one request. `status_code` 0: no HTTP answer; `kind` None: delivered."""

    status_code: int
    kind: FailureKind | None
    error: str | None  # the message for people
    response: bytes | None  # first bytes of the answer's body
    duration_ms: int
    retry_after: float | None = None  # seconds from now
    headers: tuple[tuple[str, str], ...] = ()  # as received, within bounds; cookies are masked
    control: str | None = None  # the receiver's `webhook-delivery` header

    @property
    def delivered(self) -> bool:
        return 200 <= self.status_code <= 299

    @property
    def error_code(self) -> str | None:
        """The stable code of the failure."""
        return None if self.kind is None else self.kind.code


_STATUS_WORDS: Final = {
    400: "it could not understand the request",
    401: "it requires a login or rejected the signature",
    403: "access is forbidden",
    404: "there is nothing at this path",
    405: "the path does not accept POST",
    406: "it cannot produce an acceptable content type",
    408: "it timed out waiting for the request",
    409: "it reports a conflict",
    410: "it wants no more messages, so the endpoint was disabled",
    411: "it requires a Content-Length header",
    413: "the body exceeds its limit",
    414: "the URL exceeds its limit",
    415: "it does not accept application/json",
    421: "the request reached a server that does not serve this host",
    422: "it could not process the content of the request",
    425: "it refused a request that might be replayed",
    429: "it receives too many requests, so deliveries slow down",
    431: "the headers exceed its limit",
    500: "its code failed",
    501: "it does not support the request",
    502: "a proxy could not reach the receiver's application, so deliveries slow down",
    503: "it is not available, so deliveries slow down",
    504: "a proxy timed out waiting for the receiver's application, so deliveries slow down",
    507: "it has no disk space left",
    508: "its proxy found a loop",
    511: "a network in between requires a login",
}
_CLASS_WORDS: Final = {
    1: "this is not a final answer",
    4: "it refused the request",
    5: "it failed",
}


GONE_KEPT: Final = (
    "The receiver answered 410: it wants no more messages. This attempt does not disable the endpoint. "
    "Disable or delete it if you agree."
)
"""The message for a 410 that does not disable the endpoint: a test, a resend, or a product without that
rule."""


def explain_status(status: int, location: str | None = None) -> tuple[FailureKind | None, str | None]:
    """Failure kind and message for a status; both None for 2xx."""
    if 200 <= status <= 299:
        return None, None
    kind = kind_of_status(status)
    if 300 <= status <= 399:
        target = f" to {plain(location, 300)}" if location else ""
        return kind, f"The receiver answered {status}, a redirect{target}. {kind.advice}"
    words = _STATUS_WORDS.get(status) or _CLASS_WORDS.get(status // 100, "this is not a known HTTP status")
    return kind, f"The receiver answered {status}: {words}. {kind.advice}"


def plain(text: str, limit: int = MAX_WORDS) -> str:
    """Untrusted text made safe for a log, a page and the database: no control characters, no invalid
    Unicode."""
    shown = text[:limit].encode("utf-8", "backslashreplace").decode("utf-8")
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)
    return shown + "…" if len(text) > limit else shown


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds from `now` (epoch) given by a Retry-After: a number, whole or not, or an HTTP date."""
    value = value.strip()
    if len(value) > 64:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
            # A date without a zone is read as GMT, which HTTP requires (RFC 9110, 5.6.7).
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
