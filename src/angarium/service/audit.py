"""Reads the audit log, and knows the current actor. Every change is recorded in its own transaction.

The actor is known at the edge (a token, a key, a session, the command line) and needed deep inside, so a
context variable carries it: the edge calls `acting`, a use case records (`UseCase`). Without an actor, the
system is recorded. Sent messages are not audited: there are too many, and they have their own log.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from datetime import datetime
from uuid import UUID

from angarium.core import ids
from angarium.core.audit import SYSTEM, Actor, ActorKind
from angarium.core.errors import Invalid
from angarium.core.patterns import is_event_type
from angarium.store import application
from angarium.store import audit as store
from angarium.store.audit import Record
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.message import IdRange
from angarium.store.stretch import HIGHEST, LOWEST

PREFIX = "audit_"  # of a record's id
_actor: ContextVar[Actor] = ContextVar("actor", default=SYSTEM)


def current() -> Actor:
    """The current actor."""
    return _actor.get()


def arrived(address: str | None) -> None:
    """Start a request; its caller is not known yet."""
    _actor.set(Actor(ActorKind.STRANGER, address=address))


def acting(kind: ActorKind, name: str = "", *, org_id: str | None = None, app_id: UUID | None = None) -> None:
    """Set the actor of this request or command, and the organization and application it acts for."""
    _actor.set(_actor.get().became(kind, name, org_id, app_id))


class Audit:
    """Reads the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        org_id: str,
        cursor: UUID | None,
        *,
        app: str | UUID | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        upwards: bool = False,
        limit: int = 50,
    ) -> Sequence[Record]:
        """Newest first, or upwards from the cursor. `app`: a database id, or a reference, which may be the
        public id of a deleted application. Raises Invalid for a malformed action."""
        if action is not None and not is_event_type(action):
            raise Invalid.field(
                "action", "Must be the name of an action, such as endpoint.updated.", where="query"
            )
        low = LOWEST if since is None else ids.lowest(since.timestamp())
        high = HIGHEST if until is None else ids.lowest(until.timestamp())
        if cursor is not None:
            low, high = (max(low, cursor), high) if upwards else (low, min(high, cursor))

        async def look(connection: Connection) -> Sequence[Record]:
            app_id = app if isinstance(app, UUID) else ids.parse(ids.APPLICATION, app or "")
            if isinstance(app, str) and app_id is None:
                found = await application.find(connection, org_id, app)
                if found is None:
                    return []
                app_id = found.id
            return await store.page(
                connection, org_id, app_id, IdRange(low, high, limit, upwards=upwards), action=action
            )

        return await self._database.read(look)
