"""The outbox as a table of SQLAlchemy 2, in any of its databases.

outbox = OutboxTable(Base.metadata)
with Session(engine) as session, session.begin():
    session.add(order)
    session.execute(outbox.insert("customer-1", "order.filled", {"id": order.id}))

Forwarder(outbox.on(engine), Angarium()).run(stop)
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Float,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from angarium.message_form import MAX_BODY
from angarium.outbox.forward import OutboxRow, row


class OutboxTable:
    """A table in your metadata, so that your migrations create it."""

    def __init__(
        self, metadata: MetaData, name: str = "angarium_outbox", *, max_body: int = MAX_BODY
    ) -> None:
        """`max_body` is the server's limit of a request body in bytes, if its settings change that."""
        self._max_body = max_body
        self.table = Table(
            name,
            metadata,
            Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
            Column("id", String(64), nullable=False, unique=True),
            Column("application", String(256), nullable=False),
            Column("event_type", String(256), nullable=False),
            Column("payload", LargeBinary, nullable=False),
            Column("channels", Text, nullable=False),
            Column("tags", Text, nullable=False),
            Column("traceparent", String(64)),
            Column("claimed_until", Float, nullable=False, index=True),
            Column("refused", Boolean, nullable=False),
            Column("error", Text),
        )

    def insert(
        self,
        application: str,
        event_type: str,
        payload: Any,
        *,
        channels: Sequence[str] = (),
        tags: Sequence[str] = (),
        traceparent: str | None = None,
    ) -> Insert:
        """The statement to execute in your transaction. Raises ValueError; see `row`."""
        made = row(
            application,
            event_type,
            payload,
            channels,
            tags,
            traceparent=traceparent,
            max_body=self._max_body,
        )
        return insert(self.table).values(
            id=made.id,
            application=made.application,
            event_type=made.event_type,
            payload=made.payload,
            channels=json.dumps(made.channels),
            tags=json.dumps(made.tags),
            traceparent=made.traceparent,
            claimed_until=0.0,
            refused=False,
        )

    def on(self, engine: Engine) -> SqlAlchemyOutbox:
        """The outbox in a database, for a forwarder."""
        return SqlAlchemyOutbox(engine, self.table)


class SqlAlchemyOutbox:
    """The outbox in one database."""

    def __init__(self, engine: Engine, table: Table) -> None:
        self._engine = engine
        self._table = table

    def claim(self, limit: int, seconds: float) -> list[OutboxRow]:
        table, now = self._table, time.time()
        with self._engine.begin() as connection:
            free = (
                select(table)
                .where(table.c.claimed_until < now, table.c.refused.is_(False))
                .order_by(table.c.position)
                .limit(limit)
                .with_for_update(skip_locked=True)  # databases without this let writers wait in turn
            )
            found = connection.execute(free).all()
            ids = [one.id for one in found]
            taken = update(table).where(table.c.id.in_(ids), table.c.claimed_until < now)
            if ids and connection.execute(taken.values(claimed_until=now + seconds)).rowcount != len(ids):
                connection.rollback()  # another forwarder claimed some of them between the two statements
                return []
        return list(map(_row, found))

    def remove(self, ids: Sequence[str]) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(self._table).where(self._table.c.id.in_(ids)))

    def release(self, ids: Sequence[str]) -> None:
        with self._engine.begin() as connection:
            free = update(self._table).where(self._table.c.id.in_(ids))
            connection.execute(free.values(claimed_until=0.0))

    def refuse(self, id: str, words: str) -> None:  # noqa: A002
        with self._engine.begin() as connection:
            aside = update(self._table).where(self._table.c.id == id)
            connection.execute(aside.values(refused=True, error=words))

    def refused(self, limit: int = 100) -> list[tuple[OutboxRow, str]]:
        aside = select(self._table).where(self._table.c.refused).order_by(self._table.c.position).limit(limit)
        with self._engine.begin() as connection:
            return [(_row(one), one.error or "") for one in connection.execute(aside)]

    def restore(self, ids: Sequence[str] | None = None) -> int:
        back = update(self._table).where(self._table.c.refused)
        if ids is not None:
            back = back.where(self._table.c.id.in_(ids))
        with self._engine.begin() as connection:
            return connection.execute(back.values(refused=False, error=None, claimed_until=0.0)).rowcount


def _row(one: Any) -> OutboxRow:
    return OutboxRow(
        one.id,
        one.application,
        one.event_type,
        one.payload,
        _tuple(one.channels),
        _tuple(one.tags),
        one.traceparent,
    )


def _tuple(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))
