"""Any database with a DB-API 2.0 driver: short transactions of plain SQL, and the store made of them.

Every operation takes a connection from `connect` and closes it, so `connect` may hand out pooled ones. Tested
are SQLite and PostgreSQL; the statements hold nothing that is peculiar to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from angarium.receiver.store.base import Claim, Key, Store

_NAME: Final = re.compile(r":(\w+)")
_FREE_EVERY: Final = 500
"""Claims between two clean-ups of what has been remembered for long enough."""

TABLES: Final = (
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
"""For a migration of your own; `DbApiStore.create` runs them. A claim without a token is done."""

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


class Transaction:
    """Runs statements with `:name` places, whatever the driver calls them."""

    def __init__(self, cursor: Any, style: str) -> None:
        self._cursor = cursor
        self._style = style

    def run(self, statement: str, **values: object) -> int:
        """How many rows it touched."""
        text, names = _written(statement, self._style)
        given: Any = values if names is None else [values[name] for name in names]
        self._cursor.execute(text, given)
        return int(self._cursor.rowcount)

    def rows(self, statement: str, **values: object) -> list[Any]:
        self.run(statement, **values)
        return list(self._cursor.fetchall())


class Database:
    """`module` is the driver (`sqlite3`, `psycopg`, …): its `paramstyle` and `IntegrityError` are used."""

    def __init__(self, module: Any, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._style: str = module.paramstyle
        self.conflict: type[Exception] = module.IntegrityError

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        connection = self._connect()
        try:
            try:
                yield Transaction(connection.cursor(), self._style)
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
        finally:
            connection.close()

    def run(self, statement: str, **values: object) -> int:
        with self.transaction() as transaction:
            return transaction.run(statement, **values)

    def rows(self, statement: str, **values: object) -> list[Any]:
        with self.transaction() as transaction:
            return transaction.rows(statement, **values)

    def insert(self, statement: str, **values: object) -> bool:
        """False if the row is there already."""
        try:
            self.run(statement, **values)
        except self.conflict:
            return False
        return True

    def create(self, tables: tuple[str, ...]) -> None:
        with self.transaction() as transaction:
            for table in tables:
                transaction.run(table)


@lru_cache(maxsize=256)
def _written(statement: str, style: str) -> tuple[str, tuple[str, ...] | None]:
    """The statement in the driver's style; the names in their order if its places are numbered or bare."""
    if style == "named":
        return statement, None
    if style == "pyformat":
        return _NAME.sub(r"%(\1)s", statement), None
    names = tuple(_NAME.findall(statement))
    if style == "numeric":
        place = iter(range(1, len(names) + 1))
        return _NAME.sub(lambda _: f":{next(place)}", statement), names
    return _NAME.sub("?" if style == "qmark" else "%s", statement), names


class DbApiStore(Store):
    """Call `create` once, when you deploy, or put TABLES into a migration."""

    def __init__(self, module: Any, connect: Callable[[], Any]) -> None:
        self._database = Database(module, connect)
        self._claims = 0

    def create(self) -> None:
        self._database.create(TABLES)

    def claim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        self._claims += 1
        if self._claims % _FREE_EVERY == 0:
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
        """Delete what has been remembered for long enough. Happens by itself now and then."""
        for statement in _PRUNE:
            self._database.run(statement, now=now)
