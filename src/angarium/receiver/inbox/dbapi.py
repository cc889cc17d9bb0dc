"""The inbox as a table, through any DB-API 2.0 driver.

`due_at` is when a waiting row is owed; a worker that takes it moves `due_at` to the end of its lease. A row
that is done keeps its id, so that a repeat is known, and is deleted at `due_at`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from angarium.receiver.inbox.base import Inbox, Item, Taken
from angarium.receiver.store.base import Key
from angarium.receiver.store.dbapi import Database

_FREE_EVERY: Final = 500
"""Takes between two clean-ups of ids that have been remembered for long enough."""

TABLES: Final = (
    """create table if not exists angarium_inbox (
        source varchar(100) not null,
        id varchar(255) not null,
        item text not null,
        state varchar(10) not null,
        attempts integer not null,
        due_at double precision not null,
        token varchar(64),
        error varchar(255),
        primary key (source, id)
    )""",
    "create index if not exists angarium_inbox_due on angarium_inbox (source, state, due_at)",
)
"""For a migration of your own; `DbApiInbox.create` runs them."""

_INSERT: Final = (
    "insert into angarium_inbox (source, id, item, state, attempts, due_at)"
    " values (:source, :id, :item, 'waiting', 0, :now)"
)
_DUE: Final = (
    "select id, item, attempts from angarium_inbox"
    " where source = :source and state = 'waiting' and due_at <= :now order by due_at limit 20"
)
_TAKE: Final = (
    "update angarium_inbox set token = :token, due_at = :until_at, attempts = attempts + 1"
    " where source = :source and id = :id and state = 'waiting' and due_at <= :now"
)
_DONE_WITH: Final = (
    "update angarium_inbox set state = 'done', due_at = :until_at, token = null, item = '', error = null"
    " where source = :source and id = :id"
)
_POSTPONE: Final = (
    "update angarium_inbox set due_at = :due_at, token = null, error = :error"
    " where source = :source and id = :id and token = :token"
)
_BURY: Final = (
    "update angarium_inbox set state = 'dead', token = null, error = :error"
    " where source = :source and id = :id and token = :token"
)
_PRUNE: Final = "delete from angarium_inbox where source = :source and state = 'done' and due_at <= :now"
_COUNT: Final = "select state, count(*) from angarium_inbox where source = :source group by state"
_REVIVE: Final = (
    "update angarium_inbox set state = 'waiting', attempts = 0, due_at = :now"
    " where source = :source and state = 'dead'"
)


class DbApiInbox(Inbox):
    """Call `create` once, when you deploy, or put TABLES into a migration."""

    def __init__(self, module: Any, connect: Callable[[], Any]) -> None:
        self._database = Database(module, connect)
        self._takes = 0

    def create(self) -> None:
        self._database.create(TABLES)

    def put(self, key: Key, item: Item, *, now: float) -> bool:
        return self._database.insert(_INSERT, **key._asdict(), item=json.dumps(item), now=now)

    def take(self, source: str, token: str, *, lease: float, now: float) -> Taken | None:
        self._takes += 1
        if self._takes % _FREE_EVERY == 0:
            self._database.run(_PRUNE, source=source, now=now)
        for event_id, item, attempts in self._database.rows(_DUE, source=source, now=now):
            key = Key(source, event_id)
            taken = self._database.run(_TAKE, **key._asdict(), token=token, until_at=now + lease, now=now)
            if taken:  # and not by another worker in between
                return Taken(key, token, json.loads(item), attempts + 1)
        return None

    def done(self, taken: Taken, *, ttl: float, now: float) -> None:
        self._database.run(_DONE_WITH, **taken.key._asdict(), until_at=now + ttl)

    def failed(self, taken: Taken, error: str, *, due_at: float | None) -> None:
        values = {**taken.key._asdict(), "token": taken.token, "error": error[:255]}
        if due_at is None:
            self._database.run(_BURY, **values)
        else:
            self._database.run(_POSTPONE, **values, due_at=due_at)

    def count(self, source: str) -> dict[str, int]:
        """How many are `waiting`, `done` and `dead`."""
        found = {state: int(count) for state, count in self._database.rows(_COUNT, source=source)}
        return {state: found.get(state, 0) for state in ("waiting", "done", "dead")}

    def revive(self, source: str, *, now: float) -> int:
        """Make all that are dead due again, with all their attempts; how many."""
        return self._database.run(_REVIVE, source=source, now=now)
