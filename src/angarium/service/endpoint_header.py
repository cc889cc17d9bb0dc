"""Manages custom headers of endpoints: which are allowed, and which values are never shown.

The value of a secret header is sent only to the scheme, host and port that it was entered for. Otherwise
a caller who may change the URL could send the value to another host and read it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final
from uuid import UUID

from angarium.clock import Clock
from angarium.core.envelope import check_header
from angarium.core.errors import FieldError, Invalid
from angarium.core.keyring import Keyring
from angarium.core.url import same_door
from angarium.service.endpoint_writer import EndpointWriter
from angarium.store.database import Database

HeaderChange = Callable[[dict[str, str]], dict[str, str]]

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


class EndpointHeaders:
    """Changes the headers of endpoints."""

    def __init__(
        self, database: Database, clock: Clock, entropy: Callable[[int], bytes], keyring: Keyring
    ) -> None:
        self._database = database
        self._writer = EndpointWriter(clock, entropy, keyring)

    async def set(self, app_id: UUID, ref: str, headers: Mapping[str, str]) -> None:
        """Replace all headers. Raises NotFound or Invalid."""
        await self._change(app_id, ref, lambda _: dict(headers))

    async def patch(
        self, app_id: UUID, ref: str, changes: Mapping[str, str | None], removed: Iterable[str]
    ) -> None:
        """Set some headers and remove others. Raises NotFound or Invalid."""
        check_headers({name: value for name, value in changes.items() if value is not None})
        await self._change(app_id, ref, lambda before: merged(before, changes, removed))

    async def _change(self, app_id: UUID, ref: str, change: HeaderChange) -> None:
        async with self._database.transaction() as connection:
            found = await self._writer.find(connection, app_id, ref, lock=True)
            headers = change(found.headers)
            check_headers(headers)
            changed = replace(found, headers=headers)
            await self._writer.write(connection, found, changed, "endpoint.headers.changed")


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises Invalid with every header that is not allowed or cannot be sent."""
    faults = [
        FieldError(("body", "headers", name), why)
        for name, value in headers.items()
        if (why := _refusal(name, value)) is not None
    ]
    if len({name.lower() for name in headers}) < len(headers):
        faults.append(FieldError(("body", "headers"), "Two header names differ only in case."))
    if len(headers) > MAX_HEADERS:
        faults.append(FieldError(("body", "headers"), f"An endpoint has at most {MAX_HEADERS} headers."))
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
    """Headers after a change; null values and `removed` remove headers. Names are case-insensitive."""
    gone = {name.lower() for name in (*changes, *removed)}
    kept = {name: value for name, value in before.items() if name.lower() not in gone}
    return kept | {name: value for name, value in changes.items() if value is not None}


def carried(headers: Mapping[str, str], url: str, new_url: str) -> dict[str, str]:
    """The headers of `url` that may be sent to `new_url`, both checked: another host gets no secret ones."""
    return dict(headers) if url == new_url or same_door(url, new_url) else shown(headers)[0]


def changed_for(
    headers: Mapping[str, str], url: str, new_url: str, change: HeaderChange | None = None
) -> dict[str, str]:
    """An endpoint's headers after its URL becomes `new_url`. `change` gets those that `carried` keeps.

    Raises Invalid when the new URL has another host and secret headers were not entered again.
    """
    kept = carried(headers, url, new_url)
    if change is not None:
        return change(kept)
    if len(kept) < len(headers):
        names = ", ".join(name for name in headers if name not in kept)
        raise Invalid.field(
            "url",
            "The new URL has another host. The values of this endpoint's secret headers must not be sent "
            f"to it: {names}. Remove them first, or replace the endpoint (PUT) with its headers.",
        )
    return kept


def shown(headers: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The headers that may be shown, and the names of the others."""
    sensitive = [name for name in headers if name.lower() in SENSITIVE]
    return {name: value for name, value in headers.items() if name.lower() not in SENSITIVE}, sensitive
