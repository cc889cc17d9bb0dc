"""Builds the headers of a request: sender, message id, signatures and custom headers.

Header families are data (`webhook-*` of Standard Webhooks, `svix-*` for existing verifiers), so that a
profile can choose them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from angarium.core.signature import FAMILIES, Signer

CONTENT_TYPE: Final = "application/json"
MAX_HEADER_VALUE: Final = 4096
MAX_CONTENT_TYPE: Final = 256

FORBIDDEN_HEADERS: Final = frozenset(
    {
        # Set by us.
        "user-agent",
        "content-length",
        "content-type",
        "content-encoding",
        "content-language",
        "content-location",
        # Control the connection, not the message.
        "host",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "expect",
        "accept-encoding",
        # For responses and caches.
        "age",
        "cache-control",
        "clear-site-data",
        "expires",
        "pragma",
        "warning",
    }
)
FORBIDDEN_PREFIXES: Final = (
    *(f"{family}-" for family in FAMILIES),
    "x-svix-",
    "x-amz-",
    "x-amzn-",
    "x-google",
    "x-goog-",
    "x-gfe",
    "x-azure-",
    "x-fd-",
)

_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
_MEDIA_TYPE: Final = re.compile(rf"{_TOKEN.pattern}/{_TOKEN.pattern}(?:[ \t]*;[\x20-\x7e\t]*[\x21-\x7e])?")


def check_header(name: str, value: str) -> None:
    """Raise ValueError with a message unless an endpoint may send this header."""
    check_name(name)
    if not _may_send(name.lower()):
        raise ValueError("This header is set by the server and cannot be changed.")
    check_value(value)


def check_name(name: str) -> None:
    """Raise ValueError with a message unless this is a valid header name."""
    if _TOKEN.fullmatch(name) is None:
        raise ValueError("This is not a valid header name.")


def check_value(value: str) -> None:
    """Raise ValueError with a message unless this is a valid header value."""
    if len(value) > MAX_HEADER_VALUE:
        raise ValueError(f"A header value may have at most {MAX_HEADER_VALUE} characters.")
    if _VALUE.fullmatch(value) is None:
        raise ValueError("A header value must be printable ASCII without leading or trailing spaces.")


def check_content_type(value: str) -> None:
    """Raise ValueError with a message unless a message may have this Content-Type."""
    if len(value) > MAX_CONTENT_TYPE:
        raise ValueError(f"A content type may have at most {MAX_CONTENT_TYPE} characters.")
    if _MEDIA_TYPE.fullmatch(value) is None:
        raise ValueError("Must be a content type such as application/xml or text/plain; charset=utf-8.")


def request_headers(
    *,
    message_id: str,
    timestamp: int,
    body: bytes,
    signers: Sequence[Signer],
    custom: Mapping[str, str],
    user_agent: str,
    families: Sequence[str] = FAMILIES,
    content_type: str = CONTENT_TYPE,
) -> list[tuple[str, str]]:
    """All headers of one attempt, in the order they are sent.

    `timestamp` is that of the attempt, in whole seconds. `signers` sign in order, the current key first.
    Custom headers that may not be sent (for example, stored before the rule) are left out.
    """
    stamp = str(timestamp)
    if len(signers) == 1:
        signature = signers[0].sign(message_id, timestamp, body)
    else:
        signature = " ".join([signer.sign(message_id, timestamp, body) for signer in signers])
    headers = [("content-type", content_type), ("user-agent", user_agent)]
    for family in families:
        headers += (
            (family + "-id", message_id),
            (family + "-timestamp", stamp),
            (family + "-signature", signature),
        )
    if custom:
        headers += [item for item in custom.items() if _may_send(item[0].lower())]
    return headers


def _may_send(name: str) -> bool:
    return name not in FORBIDDEN_HEADERS and not name.startswith(FORBIDDEN_PREFIXES)
