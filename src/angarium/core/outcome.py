"""What one HTTP request came to: the answer as a value, its words for a human, and the judgement on it.

Every failure has a stable code and says what happened and what to do next. The codes: `dns`,
`refused_address`, `connect_refused`, `connect_failed`, `tls_name`, `tls_expired`, `tls_untrusted`, `tls`,
`timeout`, `reset`, `protocol`, `too_large`, `redirect`, `http_<status>`, `bad_request` (the endpoint's own
settings cannot be sent), `internal`.
"""

from __future__ import annotations

import math
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final

import msgspec

from angarium.core.explanation import step_of

MAX_PAUSE: Final = 3600.0
"""Seconds that a Retry-After may hold a lane; a receiver's typing error must not stop it for a year."""

MAX_WORDS: Final = 1000
MASK: Final = "(hidden)"
"""Stands in the log for the value of a header that may be a credential."""


class Verdict(Enum):
    """What an answer means for its delivery. (That a schedule is exhausted is decided by the lifecycle.)"""

    DELIVERED = "delivered"
    RETRY = "retry"
    GONE = "gone"  # the receiver wants no more; the endpoint is disabled
    ABORTED = "aborted"  # the receiver never wants this message; it is not tried again
    REFUSED = (
        "refused"  # nothing was sent, because of our own rules; DNS or settings may change, so retried too
    )


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What came back for one request. `status_code` 0: no HTTP answer."""

    status_code: int
    error_code: str | None
    error: str | None
    response: bytes | None
    duration_ms: int
    retry_after: float | None = None  # seconds from now
    headers: tuple[tuple[str, str], ...] = ()  # as received, within bounds; cookies are masked
    control: str | None = None  # the receiver's `webhook-delivery` header


class Judgement(msgspec.Struct, frozen=True, gc=False):
    verdict: Verdict
    overload: bool  # the endpoint as a whole is in trouble, so its lane slows down
    pause: float | None  # seconds the receiver asked us to wait


_OVERLOAD_STATUS: Final = frozenset({429, 502, 503, 504})
_OVERLOAD_CODE: Final = frozenset(
    {
        "dns",
        "refused_address",
        "connect_refused",
        "connect_failed",
        "tls_name",
        "tls_expired",
        "tls_untrusted",
        "tls",
        "timeout",
        "reset",
    }
)
_CONTROLS: Final = {"disable": Verdict.GONE, "abort-message": Verdict.ABORTED}
_REFUSED: Final = frozenset({"refused_address", "bad_request"})
_DELIVERED: Final = Judgement(Verdict.DELIVERED, overload=False, pause=None)


def judge(answer: Answer) -> Judgement:
    """Only 2xx delivers; a redirect is a failure; 410 ends the endpoint; the rest is tried again.

    With a failure a receiver may say more in the header `webhook-delivery` (Svix's name): `disable` is 410
    in other words, `abort-message` gives up this message alone.
    """
    status = answer.status_code
    if 200 <= status <= 299:
        return _DELIVERED
    if status:
        pause = None if answer.retry_after is None else min(max(answer.retry_after, 0.0), MAX_PAUSE)
        verdict = Verdict.GONE if status == 410 else _CONTROLS.get(answer.control or "", Verdict.RETRY)
        return Judgement(verdict, overload=status in _OVERLOAD_STATUS, pause=pause)
    verdict = Verdict.REFUSED if answer.error_code in _REFUSED else Verdict.RETRY
    return Judgement(verdict, overload=answer.error_code in _OVERLOAD_CODE, pause=None)


_STATUS_WORDS: Final = {
    400: "it could not make sense of the request",
    401: "it asks for a login, or did not accept the signature",
    403: "it forbids the request",
    404: "there is nothing at this path",
    405: "the path does not take POST",
    406: "it has nothing in a content type that was asked for",
    408: "it gave up waiting for the request",
    409: "it reports a conflict",
    410: "it wants nothing more, so the endpoint was disabled",
    411: "it did not see how long the request is",
    413: "the body is larger than it takes",
    414: "the URL is longer than it takes",
    415: "it does not take application/json",
    418: "it is a teapot",
    421: "the request reached a server that does not serve this host",
    422: "it understood the request, but not its content",
    425: "it does not want to risk a replayed request",
    429: "it gets more than it wants, so deliveries slow down",
    431: "the headers are larger than it takes",
    500: "the receiver's code failed",
    501: "it does not support the request",
    502: "a proxy could not reach the receiver's application, so deliveries slow down",
    503: "it is not available now, so deliveries slow down until it is",
    504: "a proxy waited too long for the receiver's application, so deliveries slow down",
    507: "it has no space left",
    508: "its proxy found a loop",
    511: "a network in between asks for a login",
}
_CLASS_WORDS: Final = {
    1: "this is not a final answer",
    4: "it refused the request",
    5: "it failed",
}


GONE_KEPT: Final = (
    "The receiver answered 410: it wants nothing more. This attempt does not disable the endpoint. "
    "Disable or delete it if the receiver is right."
)
"""The words for 410 where it disables nothing: a test, a resend, or a product without that rule."""


def explain_status(status: int, location: str | None = None) -> tuple[str | None, str | None]:
    """Code and words for a status; both None when it delivers."""
    if 200 <= status <= 299:
        return None, None
    if 300 <= status <= 399:
        target = f" to {plain(location, 300)}" if location else ""
        return "redirect", f"The receiver answered {status}, a redirect{target}. {step_of('redirect')}"
    code = f"http_{status}"
    words = _STATUS_WORDS.get(status) or _CLASS_WORDS.get(status // 100, "this is no known HTTP status")
    return code, f"The receiver answered {status}: {words}. {step_of(code)}"


def plain(text: str, limit: int = MAX_WORDS) -> str:
    """Foreign text made fit for a log, a page and the database: no control characters, no broken Unicode."""
    shown = text[:limit].encode("utf-8", "backslashreplace").decode("utf-8")
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)
    return shown + "…" if len(text) > limit else shown


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds from `now` (epoch) that a Retry-After asks for: seconds, whole or not, or an HTTP date."""
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
