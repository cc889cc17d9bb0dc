"""Headers of the operator's customers on their own deliveries: which are allowed, which are never shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from angarium.core.envelope import check_header
from angarium.core.errors import Fault, Invalid

MAX_HEADERS: Final = 64

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
    try:
        check_header(name, value)
    except ValueError as error:
        return str(error)
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
