"""What failed, in the few words that a list has room for. Each attempt explains it at length.

The codes are those of core/outcome.py; a kind is a code or the family that several begin with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from angarium.portal.words import status_words

_SHORT: Final = {
    "dns": "host name not found",
    "refused_address": "address not allowed",
    "connect_refused": "connection refused",
    "connect_failed": "could not connect",
    "tls_name": "certificate of another name",
    "tls_expired": "certificate expired",
    "tls_untrusted": "certificate not trusted",
    "tls": "no secure connection",
    "timeout": "no answer in time",
    "reset": "connection broken off",
    "protocol": "answer was not HTTP",
    "too_large": "answer too large",
    "redirect": "redirect, not followed",
    "bad_request": "settings cannot be sent",
    "internal": "fault on our side",
}

KINDS: Final = {
    "dns": "Host name not found",
    "connect": "Could not connect",
    "tls": "Certificate or secure connection",
    "timeout": "No answer in time",
    "reset": "Connection broken off",
    "http": "Refused by an HTTP status",
    "redirect": "Redirect",
    "protocol": "Answer was not HTTP",
    "refused_address": "Address not allowed",
    "bad_request": "Endpoint's settings cannot be sent",
    "internal": "Fault on our side",
}
"""The kinds that a filter offers."""


def short(code: str | None) -> str:
    """`no answer in time`, `401 Unauthorized`; nothing for None."""
    if code is None:
        return ""
    status = code.removeprefix("http_")
    if status.isdecimal():
        return status_words(int(status))
    return _SHORT.get(code, code.replace("_", " "))


def answered(status_code: int | None, code: str | None) -> str:
    """What came of the last attempt: its status, or why there was no answer. Nothing before the first."""
    if status_code is None:
        return ""
    return status_words(status_code) if status_code else short(code) or "no answer"


def kind_words(kind: str) -> str:
    """A kind as a filter names it; one that it does not offer by its short words."""
    return KINDS.get(kind) or short(kind)


FILTERS: Final[dict[str, Callable[..., str]]] = {
    "failure": short,
    "answered": answered,
    "kind_words": kind_words,
}
