"""Stores and inboxes in SQL tables: a SQLite file, a SQLAlchemy engine, or any DB-API 2.0 driver.

Rows expire at `until_at` or `due_at`, and are deleted from time to time. `DbApiStore` and `DbApiInbox` have
the statements; the other classes differ in how they connect.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from angarium.receiver.backend import Claim, Inbox, Item, Key, Store, Taken
from angarium.receiver.backend.database import Database, connector, driver

if TYPE_CHECKING:
    from sqlalchemy import Engine

_PRUNE_EVERY: Final = 500
"""Claims or takes between two deletions of expired rows."""

_INSERT_CLAIM: Final = (
    "insert into angarium_claim (source, id, token, until_at) values (:source, :id, :token, :until_at)"
)
_RETAKE_CLAIM: Final = (
    "update angarium_claim set token = :token, until_at = :until_at"
    " where source = :source and id = :id and until_at <= :now"
)
_READ_CLAIM: Final = "select token from angarium_claim where source = :source and id = :id"
_END_CLAIM: Final = (
    "update angarium_claim set token = null, until_at = :until_at where source = :source and id = :id"
)
_DELETE_CLAIM: Final = "delete from angarium_claim where source = :source and id = :id and token = :token"
_INSERT_MARK: Final = (
    "insert into angarium_mark (source, id, seen_at, until_at) values (:source, :id, :at, :until_at)"
)
_MOVE_MARK: Final = (
    "update angarium_mark set seen_at = :at, until_at = :until_at"
    " where source = :source and id = :id and (seen_at <= :at or until_at <= :now)"
)
_PRUNE: Final = (
    "delete from angarium_claim where until_at <= :now",
    "delete from angarium_mark where until_at <= :now",
)

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
_DONE: Final = (
    "update angarium_inbox set state = 'done', due_at = :until_at, token = null, item = '', error = null"
    " where source = :source and id = :id"
)
_POSTPONE: Final = (
    "update angarium_inbox set due_at = :due_at, token = null, error = :error"
    " where source = :source and id = :id and token = :token"
)
_GIVE_UP: Final = (
    "update angarium_inbox set state = 'dead', token = null, error = :error"
    " where source = :source and id = :id and token = :token"
)
_PRUNE_INBOX: Final = (
    "delete from angarium_inbox where source = :source and state = 'done' and due_at <= :now"
)
_COUNT: Final = "select state, count(*) from angarium_inbox where source = :source group by state"
_REVIVE: Final = (
    "update angarium_inbox set state = 'waiting', attempts = 0, due_at = :now"
    " where source = :source and state = 'dead'"
)


class _Tables:
    """What stores and inboxes in SQL have in common."""

    TABLES: ClassVar[tuple[str, ...]]

    def __init__(self, module: Any, connect: Callable[[], Any]) -> None:
        """`module` is the driver, such as psycopg. `connect` returns a connection; it is closed after use."""
        self._database = Database(module, connect)
        self._calls = 0

    def create(self) -> None:
        with self._database.transaction() as transaction:
            for statement in self.TABLES:
                transaction.run(statement)

    def _time_to_prune(self) -> bool:
        self._calls += 1
        return self._calls % _PRUNE_EVERY == 0


class _InFile(_Tables):
    def __init__(self, path: str | Path) -> None:
        super().__init__(sqlite3, connector(path))
        self.create()


class _OnEngine(_Tables):
    def __init__(self, engine: Engine) -> None:
        super().__init__(driver(engine), engine.raw_connection)


class DbApiStore(_Tables, Store):
    """A store in two tables. Call `create` once, when you deploy, or put TABLES into a migration."""

    TABLES = (
        # a claim without a token is done
        """create table if not exists angarium_claim (
            source varchar(100) not null,
            id varchar(255) not null,
            token varchar(64),
            until_at double precision not null,
            primary key (source, id)
        )""",
        "create index if not exists angarium_claim_until on angarium_claim (until_at)",
        """create table if not exists angarium_mark (
            source varchar(100) not null,
            id varchar(255) not null,
            seen_at double precision not null,
            until_at double precision not null,
            primary key (source, id)
        )""",
    )

    def claim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        if self._time_to_prune():
            self.prune(now)
        values = {**key._asdict(), "token": token, "until_at": now + lease}
        for _ in range(3):  # again if the row is deleted between two statements
            if self._database.insert(_INSERT_CLAIM, **values):
                return Claim.TAKEN
            if self._database.run(_RETAKE_CLAIM, **values, now=now):
                return Claim.TAKEN
            if found := self._database.rows(_READ_CLAIM, **key._asdict()):
                return Claim.DONE if found[0][0] is None else Claim.HELD
        return Claim.HELD

    def done(self, key: Key, token: str, *, ttl: float, now: float) -> None:
        values = {**key._asdict(), "until_at": now + ttl}
        if not self._database.run(_END_CLAIM, **values):
            self._database.insert(_INSERT_CLAIM, **values, token=None)

    def release(self, key: Key, token: str) -> None:
        self._database.run(_DELETE_CLAIM, **key._asdict(), token=token)

    def advance(self, key: Key, at: float, *, ttl: float, now: float) -> bool:
        values = {**key._asdict(), "at": at, "until_at": now + ttl}
        return self._database.insert(_INSERT_MARK, **values) or bool(
            self._database.run(_MOVE_MARK, **values, now=now)
        )

    def prune(self, now: float) -> None:
        """Delete expired rows. `claim` does this from time to time."""
        for statement in _PRUNE:
            self._database.run(statement, now=now)


class SqliteStore(_InFile, DbApiStore):
    """A store in a file, for processes on one machine. It creates its tables."""


class SqlAlchemyStore(_OnEngine, DbApiStore):
    """A store in any database of SQLAlchemy, with the pool and driver of a synchronous engine."""


class DbApiInbox(_Tables, Inbox):
    """An inbox in a table. Call `create` once, when you deploy, or put TABLES into a migration.

    A worker that takes an item moves `due_at` to the end of its lease. A row that is done keeps its id, so
    that duplicates are recognized, until `due_at`.
    """

    TABLES = (
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

    def put(self, key: Key, item: Item, *, now: float) -> bool:
        return self._database.insert(_INSERT, **key._asdict(), item=json.dumps(item), now=now)

    def take(self, source: str, token: str, *, lease: float, now: float) -> Taken | None:
        if self._time_to_prune():
            self._database.run(_PRUNE_INBOX, source=source, now=now)
        for event_id, item, attempts in self._database.rows(_DUE, source=source, now=now):
            key = Key(source, event_id)
            taken = self._database.run(_TAKE, **key._asdict(), token=token, until_at=now + lease, now=now)
            if taken:  # and not by another worker in between
                return Taken(key, token, json.loads(item), attempts + 1)
        return None

    def done(self, taken: Taken, *, ttl: float, now: float) -> None:
        self._database.run(_DONE, **taken.key._asdict(), until_at=now + ttl)

    def failed(self, taken: Taken, error: str, *, due_at: float | None) -> None:
        values = {**taken.key._asdict(), "token": taken.token, "error": error[:255]}
        if due_at is None:
            self._database.run(_GIVE_UP, **values)
        else:
            self._database.run(_POSTPONE, **values, due_at=due_at)

    def count(self, source: str) -> dict[str, int]:
        """The number of items by state: `waiting`, `done` and `dead`."""
        found = {state: int(count) for state, count in self._database.rows(_COUNT, source=source)}
        return {state: found.get(state, 0) for state in ("waiting", "done", "dead")}

    def revive(self, source: str, *, now: float) -> int:
        """Make all dead items due again, with all their attempts. Returns their number."""
        return self._database.run(_REVIVE, source=source, now=now)


class SqliteInbox(_InFile, DbApiInbox):
    """An inbox in a file, for processes on one machine. It creates its table."""


class SqlAlchemyInbox(_OnEngine, DbApiInbox):
    """An inbox in any database of SQLAlchemy, with the pool and driver of a synchronous engine."""
