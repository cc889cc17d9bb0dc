"""Exports everything of one application, or of one message, as records in pages.

A record is an object of JSON's types. Ids are public, times are RFC 3339, secrets and header values are
fingerprints. Bytes are text if they are UTF-8, else `{"base64": …}`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from angarium.clock import Clock
from angarium.core import canonical, header_code, ids
from angarium.core.audit import fingerprint, secret_view
from angarium.core.errors import Invalid
from angarium.core.keyring import Keyring
from angarium.core.nouns import Application, Endpoint, State
from angarium.service.attempt import message_id_of
from angarium.service.audit import PREFIX as AUDIT
from angarium.service.use_case import Subject, UseCase
from angarium.store import export as store
from angarium.store.audit import Record
from angarium.store.connection import Connection, Row
from angarium.store.database import Database
from angarium.store.export import Cursor, Reading

KEY: Final = "key_"
_PREFIXES: Final = {
    "message_id": ids.MESSAGE, "endpoint_id": ids.ENDPOINT, "inbox_id": ids.INBOX,
}  # fmt: skip


class ExportKind(StrEnum):
    """The kind of a record."""

    APPLICATION = "application"
    ENDPOINT = "endpoint"
    MESSAGE = "message"
    ATTEMPT = "attempt"  # and cancellations; the final one has the state of the delivery
    DELIVERY = "delivery"  # those that have not ended
    EVENT_ID = "event-id"
    BACKGROUND_TASK = "background-task"
    AUDIT = "audit"
    STATISTICS = "statistics"
    USAGE = "usage"
    INBOX_REQUEST = "inbox-request"
    API_KEY = "api-key"


OF_MESSAGE: Final = (ExportKind.MESSAGE, ExportKind.ATTEMPT, ExportKind.DELIVERY, ExportKind.EVENT_ID)
"""The kinds of records of one message."""

_READ: Final[Mapping[ExportKind, tuple[str, Reading]]] = {
    ExportKind.APPLICATION: (ids.APPLICATION, store.application),
    ExportKind.MESSAGE: (ids.MESSAGE, store.messages),
    ExportKind.ATTEMPT: (ids.ATTEMPT, store.attempts),
    ExportKind.DELIVERY: ("", store.queue),
    ExportKind.EVENT_ID: ("", store.event_ids),
    ExportKind.BACKGROUND_TASK: (ids.TASK, store.background_tasks),
    ExportKind.STATISTICS: ("", store.statistics),
    ExportKind.USAGE: ("", store.usage),
    ExportKind.INBOX_REQUEST: ("", store.inbox_requests),
    ExportKind.API_KEY: (KEY, store.api_keys),
}


@dataclass(frozen=True, slots=True)
class ExportPage:
    """Records, and where to continue; None at the end."""

    records: Sequence[dict[str, Any]]
    cursor: str | None


class Exports(UseCase):
    """Reads the records of an export, and adds the export to the audit log."""

    def __init__(
        self, database: Database, clock: Clock, entropy: Callable[[int], bytes], keyring: Keyring
    ) -> None:
        super().__init__(database, clock, entropy)
        self._keyring = keyring

    async def page(
        self, app: Application, kind: ExportKind, cursor: str | None, *, message: str | None = None
    ) -> ExportPage:
        """The next records of one kind. Raises NotFound, and Invalid for a cursor of something else or a kind
        that a message does not have."""
        if message is not None and kind not in OF_MESSAGE:
            raise Invalid.field("kind", f"Of one message there is: {', '.join(OF_MESSAGE)}.", where="path")
        after = _read_cursor(cursor)
        async with self._database.connection() as conn:
            message_id = None if message is None else await message_id_of(conn, app.id, message)
            of = store.ExportScope(app.org_id, app.id, message_id, self._now())
            try:
                records, following = await self._read(conn, kind, of, after)
            except (ValueError, IndexError):
                raise _not_an_iterator() from None
        return ExportPage(records, None if following is None else _text(following))

    async def _read(
        self, conn: Connection, kind: ExportKind, of: store.ExportScope, after: Cursor
    ) -> tuple[list[dict[str, Any]], Cursor | None]:
        if kind is ExportKind.ENDPOINT:
            found, following = await store.endpoints(conn, of, after, self._keyring)
            return [_endpoint(endpoint, urls) for endpoint, urls in found], following
        if kind is ExportKind.AUDIT:
            page = await store.audit_records(conn, of, after)
            return [_audit(record) for record in page.rows], page.cursor
        prefix, read = _READ[kind]
        page = await read(conn, of, after)
        return [_record(row, prefix) for row in page.rows], page.cursor

    async def done(
        self, app: Application, files: Mapping[str, tuple[int, str]], *, message: str | None = None
    ) -> None:
        """Record an export: the number of records and the SHA-256 of each file. Raises NotFound."""
        async with self._database.transaction() as conn:
            named = ids.text(ids.APPLICATION, app.id)
            action = "application.exported"
            if message is not None:
                named = ids.text(ids.MESSAGE, await message_id_of(conn, app.id, message))
                action = "message.exported"
            said = {name: {"records": count, "sha256": digest} for name, (count, digest) in files.items()}
            await self._record(conn, action, Subject(app.org_id, app.id, named), after={"files": said})


def _record(row: Row, prefix: str) -> dict[str, Any]:
    """A row as an object. Names are as in the API."""
    found: dict[str, Any] = {}
    for name, value in dict(row).items():
        if name == "exchange":
            if value is not None:
                read = header_code.decode(value, message_id=row["message_id"], attempt_id=row["id"])
                found["requestHeaders"], found["responseHeaders"] = map(list, (read[0], read[1]))
        elif name == "state":
            found["state"] = State(value).name.lower()
        else:
            found[_camel(name)] = _value(value, prefix if name == "id" else _PREFIXES.get(name, ""))
    return found


def _endpoint(endpoint: Endpoint, urls: Sequence[Row]) -> dict[str, Any]:
    """An endpoint, with fingerprints of its secrets and of the values of its headers."""
    fields = (
        "uid", "url", "name", "description", "version", "rate_limit", "event_types", "channels", "metadata",
        "fifo", "disabled_at", "disabled_reason", "revision", "created_at", "updated_at", "deleted",
    )  # fmt: skip
    return {
        "id": ids.text(ids.ENDPOINT, endpoint.id),
        **{_camel(name): _value(getattr(endpoint, name)) for name in fields},
        **secret_view(endpoint),
        "login": None if endpoint.login is None else fingerprint(endpoint.login),
        "headers": {name: fingerprint(value) for name, value in endpoint.headers.items()},
        "formerUrls": [
            {"revision": one["revision"], "url": one["url"], "replacedAt": _value(one["replaced_at"])}
            for one in urls
        ],
    }


def _audit(record: Record) -> dict[str, Any]:
    event = record.audit_event
    return {
        "id": ids.text(AUDIT, record.id),
        "timestamp": _value(record.at),
        "actor": record.actor.text,
        "address": record.actor.address,
        "action": event.action,
        "target": event.target,
        "before": event.before,
        "after": event.after,
    }


def _value(value: Any, prefix: str = "") -> Any:
    match value:
        case UUID():
            return ids.text(prefix, value) if prefix else str(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return {"base64": base64.b64encode(value).decode()}
        case tuple():
            return list(value)
    return value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _text(cursor: Cursor) -> str:
    return canonical.url_safe_text(msgspec.json.encode(cursor))


def _read_cursor(text: str | None) -> Cursor:
    """Raises Invalid."""
    if text is None:
        return ()
    try:
        found = msgspec.json.decode(canonical.url_safe(text), type=tuple[str, ...])
        if "\0" in "".join(found):
            raise ValueError("a text of PostgreSQL has no zero bytes")
        return found
    except ValueError:  # msgspec's errors are ValueErrors
        raise _not_an_iterator() from None


def _not_an_iterator() -> Invalid:
    return Invalid.field("iterator", "Not an iterator of this list.", where="query")
