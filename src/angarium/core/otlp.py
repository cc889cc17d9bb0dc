"""Checks the settings of an OpenTelemetry collector, and reads its headers."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def check_endpoint(url: str) -> None:
    """Raises ValueError unless it is the base URL of a collector."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("write http://host:4318 or https://host, without a query")
    if "@" in parts.netloc:
        raise ValueError("write credentials into ANGARIUM_OTLP_HEADERS, not into the URL")


def headers_of(text: str) -> dict[str, str]:
    """Headers written as `name=value,name=value` with percent-encoded values. Raises ValueError, which does
    not show the values."""
    headers = {}
    for number, part in enumerate(text.split(","), 1):
        name, _, encoded = part.partition("=")
        name, value = name.strip().lower(), unquote(encoded.strip())
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"header number {number} is not name=value; write authorization=Bearer%20…")
        headers[name] = value
    return headers
