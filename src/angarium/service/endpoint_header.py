"""Headers of the operator's customers on their own deliveries: which are allowed, which are never shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from angarium.core.errors import Fault, Invalid

MAX_HEADERS: Final = 64
MAX_VALUE: Final = 4096
MAX_NAME: Final = 256

SENSITIVE: Final = frozenset(
    {
        "authorization",
        "proxy-authenticate",
        "proxy-authorization",
        "www-authenticate",
        "x-api-key",
        "x-auth-token",
    }
)
# set by us, by the connection, or by what stands between us and the receiver
_FORBIDDEN: Final = frozenset(
    {
        "age",
        "cache-control",
        "clear-site-data",
        "connection",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-type",
        "expect",
        "expires",
        "host",
        "keep-alive",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "warning",
    }
)
_FORBIDDEN_PREFIXES: Final = (
    "svix-",
    "webhook-",
    "x-amz-",
    "x-amzn-",
    "x-azure-",
    "x-fd-",
    "x-gfe",
    "x-goog-",
    "x-google",
    "x-svix-",
)
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")  # RFC 9110, 5.6.2
_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises Invalid, naming every header that may not be set or cannot be sent."""
    faults = [
        Fault(("body", "headers", name), why)
        for name, value in headers.items()
        if (why := _refusal(name, value)) is not None
    ]
    if len({name.lower() for name in headers}) < len(headers):
        faults.append(Fault(("body", "headers"), "Two names differ only in upper and lower case."))
    if len(headers) > MAX_HEADERS:
        faults.append(Fault(("body", "headers"), f"An endpoint has at most {MAX_HEADERS} headers."))
    if faults:
        raise Invalid(*faults)


def _refusal(name: str, value: str) -> str | None:
    lowered = name.lower()
    if len(name) > MAX_NAME or _NAME.fullmatch(name) is None:
        return "This is not a valid header name."
    if lowered in _FORBIDDEN or lowered.startswith(_FORBIDDEN_PREFIXES):
        return "This header is set by the server and cannot be chosen."
    if len(value) > MAX_VALUE:
        return f"A header value has at most {MAX_VALUE} characters."
    if _VALUE.fullmatch(value) is None:
        return "A header value is printable ASCII, without blanks at its ends."
    return None


def merged(
    before: Mapping[str, str], changes: Mapping[str, str | None], removed: Iterable[str] = ()
) -> dict[str, str]:
    """Headers after a change; null and `removed` take away. Names match whatever their case."""
    gone = {name.lower() for name in (*changes, *removed)}
    kept = {name: value for name, value in before.items() if name.lower() not in gone}
    return kept | {name: value for name, value in changes.items() if value is not None}


def shown(headers: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Headers that may be read back, and the names of those that may not."""
    sensitive = [name for name in headers if name.lower() in SENSITIVE]
    return {name: value for name, value in headers.items() if name.lower() not in SENSITIVE}, sensitive
