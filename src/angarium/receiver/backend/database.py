"""Runs SQL through any DB-API 2.0 driver, in short transactions, with `:name` placeholders.

Each operation gets a connection from `connect` and closes it, so `connect` may return pooled connections.
Tested with SQLite and PostgreSQL; the statements use standard SQL.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sqlalchemy import Engine

WAIT: Final = 10.0
"""Seconds to wait for another writer of a SQLite file."""
_NAME: Final = re.compile(r":(\w+)")


class Transaction:
    """Runs statements, with the placeholders of the driver's `paramstyle`."""

    def __init__(self, cursor: Any, style: str) -> None:
        self._cursor = cursor
        self._style = style

    def run(self, statement: str, **values: object) -> int:
        """Returns the number of changed rows."""
        text, names = _translated(statement, self._style)
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
        self._conflict: type[Exception] = module.IntegrityError

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
        """False if the row exists already."""
        try:
            self.run(statement, **values)
        except self._conflict:
            return False
        return True


@lru_cache(maxsize=256)
def _translated(statement: str, style: str) -> tuple[str, tuple[str, ...] | None]:
    """The statement in this `paramstyle`; and the names in order, if its placeholders have no names."""
    if style == "named":
        return statement, None
    if style == "pyformat":
        return _NAME.sub(r"%(\1)s", statement), None
    names = tuple(_NAME.findall(statement))
    if style == "numeric":
        place = iter(range(1, len(names) + 1))
        return _NAME.sub(lambda _: f":{next(place)}", statement), names
    return _NAME.sub("?" if style == "qmark" else "%s", statement), names


def driver(engine: Engine) -> Any:
    """The DB-API module of a SQLAlchemy engine. TypeError for an asynchronous engine."""
    if engine.dialect.is_async:
        raise TypeError("The engine is asynchronous. Create one with a synchronous driver, such as psycopg.")
    return engine.dialect.loaded_dbapi


def connector(path: str | Path) -> Callable[[], sqlite3.Connection]:
    """Opens a SQLite file. Readers do not wait for writers, and a commit is on the disk when it returns."""
    if str(path) in ("", ":memory:"):
        raise ValueError("The path of a file is required: an in-memory database ends with its connection.")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=WAIT)
        connection.execute("pragma synchronous = full")
        return connection

    _write_ahead(connect)
    return connect


def _write_ahead(connect: Callable[[], sqlite3.Connection]) -> None:
    """Set the file's journal mode, which is permanent. SQLite's own timeout does not cover this statement."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            with closing(connect()) as connection:
                connection.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
