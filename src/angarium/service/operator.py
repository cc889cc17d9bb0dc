"""Reads the operator's view of an organization: failing endpoints, the state of each application,
undelivered messages, and the application of a message.

A page scans a bounded number of applications; if there are more, it has a cursor to continue from.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.errors import Invalid, NotFound
from angarium.core.nouns import Application, Message
from angarium.service.replay import RECENT, Replay
from angarium.service.use_case import UseCase
from angarium.store import application as application_store
from angarium.store import message as message_store
from angarium.store import operator as store
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.operator import OperatorEndpoint, Standing, Undelivered
from angarium.store.stretch import HIGHEST, LOWEST

APPLICATIONS: Final = 500  # scanned for one page
SEARCHED: Final = 20_000  # applications scanned for one message
MOST: Final = 1000  # upper bound of counts
MAX_FOUND: Final = 20  # messages with the same event id

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


_Item = TypeVar("_Item")


class EndpointStatus(StrEnum):
    """The lists of endpoints."""

    FAILING = "failing"  # longest failing first
    DISABLED = "disabled"  # last disabled first
    HEALTHY = "healthy"  # newest applications first


@dataclass(frozen=True, slots=True)
class EndpointPage:
    """Endpoints; `older` is the next cursor, None at the end."""

    endpoints: tuple[OperatorEndpoint, ...]
    older: str | None


@dataclass(frozen=True, slots=True)
class ApplicationStanding:
    """An application and its state."""

    application: Application
    standing: Standing


@dataclass(frozen=True, slots=True)
class ApplicationUndelivered:
    """The undelivered messages of an endpoint; `number` is at most MOST."""

    application: Application
    undelivered: Undelivered


@dataclass(frozen=True, slots=True)
class UndeliveredPage:
    """Endpoints with undelivered messages; `older` is the next cursor, None at the end."""

    endpoints: tuple[ApplicationUndelivered, ...]
    older: str | None


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message without its payload, and its application."""

    application: Application
    message: Message


@dataclass(frozen=True, slots=True)
class FoundMessages:
    """Search results; not `complete`: the search stopped at its limit."""

    found: tuple[FoundMessage, ...]
    complete: bool


class Operator(UseCase):
    """Reads across the applications of an organization."""

    def __init__(self, database: Database, clock: Clock, replay: Replay) -> None:
        super().__init__(database, clock)
        self._replay = replay

    async def endpoints(
        self, org_id: str, health: EndpointStatus, cursor: str | None = None, *, limit: int = 50
    ) -> EndpointPage:
        """The endpoints of that health. Raises Invalid for a malformed cursor."""
        if health is EndpointStatus.HEALTHY:
            return await self._healthy(org_id, cursor, limit)
        if health is EndpointStatus.FAILING:
            listed, beyond = store.failing, _moment(cursor, (_EPOCH, LOWEST))
        else:
            listed, beyond = store.disabled, _moment(cursor, (_EVER, HIGHEST))
        found = await self._database.read(lambda conn: listed(conn, org_id, beyond, limit + 1))
        older = None
        if len(found) > limit:
            last = found[limit - 1]
            at = last.failing_since if health is EndpointStatus.FAILING else last.disabled_at
            assert at is not None
            older = f"{(at - _EPOCH) // timedelta(microseconds=1)}.{ids.text(ids.ENDPOINT, last.id)}"
        return EndpointPage(tuple(found[:limit]), older)

    async def _healthy(self, org_id: str, cursor: str | None, limit: int) -> EndpointPage:
        beyond = _place(cursor)

        async def look(conn: Connection) -> EndpointPage:
            applications = await _applications(conn, org_id, beyond)
            found = await store.healthy(conn, applications, beyond, limit + 1)
            older = _onward(found, limit, applications, lambda one: (one.app_id, one.id))
            return EndpointPage(tuple(found[:limit]), older)

        return await self._database.read(look)

    async def applications(
        self, org_id: str, cursor: UUID | None = None, *, backwards: bool = False, limit: int = 50
    ) -> list[ApplicationStanding]:
        """Applications before the cursor, newest first, or backwards those after it, oldest first."""
        return await self._database.read(
            lambda conn: self._standing(
                conn, application_store.page(conn, org_id, cursor, ascending=backwards, limit=limit)
            )
        )

    async def search(self, org_id: str, text: str, *, limit: int = 50) -> list[ApplicationStanding]:
        """The application with this id or uid, or those with this text in their name, newest first."""

        async def matching(conn: Connection) -> list[Application]:
            one = await application_store.find(conn, org_id, text)
            return [one] if one else await application_store.search(conn, org_id, text, limit)

        return await self._database.read(lambda conn: self._standing(conn, matching(conn)))

    async def _standing(
        self, conn: Connection, applications: Awaitable[list[Application]]
    ) -> list[ApplicationStanding]:
        found = await applications
        lowest = ids.lowest(self._clock.now() - RECENT)
        standing = await store.standing(conn, [one.id for one in found], lowest, MOST)
        return [ApplicationStanding(one, standing[one.id]) for one in found]

    async def undelivered(
        self, org_id: str, cursor: str | None = None, *, limit: int = 50
    ) -> UndeliveredPage:
        """Undelivered messages of the last 14 days that can be sent again, by endpoint. Raises Invalid for a
        malformed cursor."""
        beyond = _place(cursor)
        now = self._clock.now()
        lowest = ids.lowest(now - RECENT)

        async def look(conn: Connection) -> UndeliveredPage:
            applications = await _applications(conn, org_id, beyond)
            known = {one.id: one for one in applications}
            found = await store.undelivered(
                conn, list(known), beyond, lowest, datetime_at(now), MOST, limit + 1
            )
            older = _onward(found, limit, applications, lambda one: (one.app_id, one.endpoint_id))
            return UndeliveredPage(
                tuple(ApplicationUndelivered(known[one.app_id], one) for one in found[:limit]), older
            )

        return await self._database.read(look)

    async def recover(self, org_id: str, undelivered: Sequence[Undelivered]) -> int:
        """Send all of these again in the background; returns the number of tasks.

        Skips endpoints that are disabled, deleted or another organization's.
        """
        start = datetime_at(self._clock.now() - RECENT)
        begun = 0
        for one in undelivered:
            if one.disabled:
                continue
            async with self._database.connection() as conn:
                if not await application_store.find(conn, org_id, ids.text(ids.APPLICATION, one.app_id)):
                    continue
            endpoint = ids.text(ids.ENDPOINT, one.endpoint_id)
            with contextlib.suppress(NotFound):
                await self._replay.recover(org_id, one.app_id, endpoint, start, None)
                begun += 1
        return begun

    async def find_message(self, org_id: str, ref: str) -> FoundMessages:
        """The message with this id, or those with this event id, in any application."""
        return await self._database.read(lambda conn: self._find_message(conn, org_id, ref))

    async def _find_message(self, conn: Connection, org_id: str, ref: str) -> FoundMessages:
        found: list[FoundMessage] = []
        cursor: UUID | None = None
        now = self._now()
        for _ in range(SEARCHED // APPLICATIONS):
            applications = await application_store.page(
                conn, org_id, cursor, ascending=False, limit=APPLICATIONS
            )
            known = {one.id: one for one in applications}
            for app_id, message_id in await store.messages(conn, list(known), ref, MAX_FOUND - len(found)):
                message = await message_store.get(conn, app_id, message_id, now, with_payload=False)
                if message is not None:
                    found.append(FoundMessage(known[app_id], message))
            if len(applications) < APPLICATIONS:
                return FoundMessages(tuple(found), complete=True)
            if len(found) >= MAX_FOUND:
                break
            cursor = applications[-1].id
        return FoundMessages(tuple(found), complete=False)


async def _applications(conn: Connection, org_id: str, beyond: tuple[UUID, UUID]) -> list[Application]:
    """The applications that a page scans, newest first, starting with the one where the last page stopped."""
    above = None if beyond[0] == HIGHEST else UUID(int=beyond[0].int + 1)
    return await application_store.page(conn, org_id, above, ascending=False, limit=APPLICATIONS)


def _onward(
    found: Sequence[_Item],
    limit: int,
    applications: Sequence[Application],
    key: Callable[[_Item], tuple[UUID, UUID]],
) -> str | None:
    """The next cursor: after the last item shown, or after the last application scanned."""
    if len(found) > limit:
        app_id, endpoint_id = key(found[limit - 1])
    elif len(applications) == APPLICATIONS:
        app_id, endpoint_id = applications[-1].id, LOWEST
    else:
        return None
    return f"{ids.text(ids.APPLICATION, app_id)}.{ids.text(ids.ENDPOINT, endpoint_id)}"


def _place(cursor: str | None) -> tuple[UUID, UUID]:
    """The application and endpoint of a cursor. Raises Invalid."""
    if cursor is None:
        return HIGHEST, HIGHEST
    application, _, endpoint = cursor.partition(".")
    app_id, endpoint_id = ids.parse(ids.APPLICATION, application), ids.parse(ids.ENDPOINT, endpoint)
    if app_id is None or endpoint_id is None:
        raise _no_cursor()
    return app_id, endpoint_id


def _moment(cursor: str | None, start: tuple[datetime, UUID]) -> tuple[datetime, UUID]:
    """The time and endpoint of a cursor. Raises Invalid."""
    if cursor is None:
        return start
    micros, _, endpoint = cursor.partition(".")
    endpoint_id = ids.parse(ids.ENDPOINT, endpoint)
    if endpoint_id is None or not micros.isdecimal() or len(micros) > 17:
        raise _no_cursor()
    return _EPOCH + timedelta(microseconds=int(micros)), endpoint_id


def _no_cursor() -> Invalid:
    return Invalid.field("cursor", "Not a cursor of this list.", where="query")
