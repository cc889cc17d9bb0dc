"""A store in any database that SQLAlchemy reaches, over an engine's own pool and driver.

The engine is a synchronous one; beside an AsyncEngine make one with a synchronous driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from angarium.receiver.store.dbapi import DbApiStore

if TYPE_CHECKING:
    from sqlalchemy import Engine


class SqlAlchemyStore(DbApiStore):
    def __init__(self, engine: Engine) -> None:
        super().__init__(driver(engine), engine.raw_connection)


def driver(engine: Engine) -> Any:
    if engine.dialect.is_async:
        raise TypeError("an engine with a synchronous driver is needed")
    return engine.dialect.loaded_dbapi
