"""An inbox in any database that SQLAlchemy reaches; the engine is a synchronous one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from angarium.receiver.inbox.dbapi import DbApiInbox
from angarium.receiver.store.sqlalchemy import driver

if TYPE_CHECKING:
    from sqlalchemy import Engine


class SqlAlchemyInbox(DbApiInbox):
    def __init__(self, engine: Engine) -> None:
        super().__init__(driver(engine), engine.raw_connection)
