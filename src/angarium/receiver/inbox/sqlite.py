"""An inbox in a SQLite file. It makes its table itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from angarium.receiver.inbox.dbapi import DbApiInbox
from angarium.receiver.store.sqlite import connector


class SqliteInbox(DbApiInbox):
    def __init__(self, path: str | Path) -> None:
        super().__init__(sqlite3, connector(path))
        self.create()
