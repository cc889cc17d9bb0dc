"""Lists and replays the dead letters of a whole organization."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.errors import NotFound
from angarium.service.replay import Replay
from angarium.store import application
from angarium.store import dead_letter as store
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.dead_letter import DeadLetter, Undelivered, Where


class DeadLetters:
    """Lists and replays undelivered messages."""

    def __init__(self, database: Database, clock: Clock, replay: Replay) -> None:
        self._database = database
        self._clock = clock
        self._replay = replay

    async def page(
        self, org_id: str, app: str | None, endpoint_id: UUID | None, since: float, limit: int
    ) -> Sequence[DeadLetter]:
        """Newest first; `since` in epoch seconds. Raises NotFound for an unknown application."""
        async with self._database.connection() as connection:
            where = await self._where(connection, org_id, app, endpoint_id, since)
            return await store.page(connection, where, limit)

    async def undelivered(
        self, org_id: str, app: str | None, endpoint_id: UUID | None, since: float
    ) -> Sequence[Undelivered]:
        """How many dead letters `replay` would send again, per endpoint. Raises NotFound."""
        async with self._database.connection() as connection:
            where = await self._where(connection, org_id, app, endpoint_id, since)
            return await store.undelivered(connection, where)

    async def replay(self, org_id: str, undelivered: Sequence[Undelivered], since: float) -> None:
        """Send all of them again in the background, except those of disabled endpoints.

        Raises Invalid when `since` is too long ago.
        """
        for one in undelivered:
            if not one.disabled:
                endpoint = ids.text(ids.ENDPOINT, one.endpoint_id)
                await self._replay.recover(org_id, one.app_id, endpoint, datetime_at(since), None)

    async def _where(
        self, connection: Connection, org_id: str, app: str | None, endpoint_id: UUID | None, since: float
    ) -> Where:
        app_id = None
        if app is not None:
            found = await application.find(connection, org_id, app)
            if found is None:
                raise NotFound(f"There is no application {app} in {org_id}.")
            app_id = found.id
        return Where(org_id, app_id, endpoint_id, ids.lowest(since), datetime_at(self._clock.now()))
