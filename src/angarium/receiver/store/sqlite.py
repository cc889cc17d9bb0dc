"""A store in a SQLite file: for several processes on one machine. It makes its tables itself."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from angarium.receiver.store.dbapi import DbApiStore

WAIT = 10.0
"""Seconds to wait for another writer."""


def connector(path: str | Path) -> Callable[[], sqlite3.Connection]:
    """Opens the file; readers do not wait for writers, and what is committed is on the disk."""
    if str(path) in ("", ":memory:"):
        raise ValueError("a file is needed: what is in memory is gone with its connection")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=WAIT)
        connection.execute("pragma synchronous = full")
        return connection

    _write_ahead(connect)
    return connect


def _write_ahead(connect: Callable[[], sqlite3.Connection]) -> None:
    """Switch the file over, which it remembers. SQLite does not wait by itself here for others that do so."""
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


class SqliteStore(DbApiStore):
    def __init__(self, path: str | Path) -> None:
        super().__init__(sqlite3, connector(path))
        self.create()
