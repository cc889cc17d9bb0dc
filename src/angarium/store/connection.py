"""Connections to PostgreSQL: how one is made, and how one ends.

**A statement is never canceled.** When it takes too long, or nobody waits for it any more, the connection is
closed. A cancel request could hit a COMMIT that waits for a synchronous standby: the transaction would be
visible, yet not replicated, and a failover would forget it. A backend whose client is gone goes on waiting,
and nobody sees the transaction before it is replicated. What takes too long otherwise PostgreSQL ends by
itself (`lock_timeout`, `statement_timeout`, which do not reach into a commit).

**Hosts are tried one by one**, each for a short time, beginning with the one that served last. One that
takes writes is preferred. When there is none, a connection that only reads will do for a pool, so that lists
and pages work, and is replaced after `RETRY_WRITABLE`; the locks of dispatchers ask for one that writes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import asyncpg
import msgspec

from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.store.fault import RAISED, reason_of
from angarium.store.host import each_host
from angarium.store.section import FIRST, Section
from angarium.store.sql import queries

CONNECT_TIMEOUT: Final = 10.0  # seconds for the only host,
HOST_TIMEOUT: Final = 3.0  # and for each of several
RETRY_WRITABLE: Final = 5.0  # seconds after which a connection that only reads is replaced


class Row(Protocol):
    """A row of a result: its values by the names of columns, and in their order."""

    def __getitem__(self, column: str) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def get(self, column: str) -> Any: ...


class Connection(Protocol):
    """What a verb of the store is given: a connection to one section, of the pool or dedicated.

    Statements have names (store/sql.py). What is here is for them, for transactions, and for migrations.
    """

    @property
    def section(self) -> Section: ...

    def transaction(self) -> AbstractAsyncContextManager[object]: ...

    def is_in_transaction(self) -> bool: ...

    async def fetch(self, statement: str, *arguments: object) -> list[Any]: ...

    async def fetchrow(self, statement: str, *arguments: object) -> Any: ...

    async def fetchval(self, statement: str, *arguments: object) -> Any: ...

    async def execute(self, statement: str, *arguments: object) -> str: ...


class DedicatedConnection(Connection, Protocol):
    """One that is not of the pool: its owner listens on it, and closes it."""

    def add_termination_listener(self, listener: Callable[[object], None]) -> None: ...

    async def add_listener(self, channel: str, listener: Callable[[object, int, str, str], None]) -> None: ...

    async def close(self, *, timeout: float | None = None) -> None: ...

    def terminate(self) -> None: ...


class StoreConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection to one section, closed where asyncpg would send a cancel request."""

    __slots__ = ("opened_at", "section", "writable")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.opened_at = time.monotonic()
        self.section = FIRST
        self.writable = True

    def _cancel_current_command(self, waiter: Any, cancel_waiter: Any = None) -> None:
        # not at once: asyncpg still tells the one who waits, on this connection
        self._loop.call_soon(self.terminate)

    @property
    def outdated(self) -> bool:
        """Whether it only reads, and it is time to look for one that writes."""
        return not self.writable and time.monotonic() - self.opened_at > RETRY_WRITABLE


class Connector:
    """Opens connections to the hosts of one URL. Raises StoreUnavailable when none will do."""

    def __init__(
        self,
        url: str,
        *,
        statement_timeout: float | None,
        name: str = "angarium",
        settings: Mapping[str, str] | None = None,
        prepared: bool = True,
        writable: bool = False,
    ) -> None:
        """`statement_timeout`: seconds after which a statement's connection is given up. `settings` of the
        session; none are set when empty, as behind a pooler. `prepared`: keep prepared statements.
        `writable`: only a server that takes writes will do."""
        self._hosts = each_host(url)
        self._first = 0
        self._timeout = CONNECT_TIMEOUT if len(self._hosts) == 1 else HOST_TIMEOUT
        self._name = name
        self._settings = dict(settings or {})
        self._writable = writable
        self._options: dict[str, Any] = {"command_timeout": statement_timeout}
        if not prepared:
            self._options["statement_cache_size"] = 0

    async def __call__(self, *_: Any, **__: Any) -> StoreConnection:
        """A new connection, as asyncpg's pool calls for it."""
        reading: StoreConnection | None = None
        failed: list[str] = []
        reason = StoreReason.UNREACHABLE
        first = self._first
        try:
            for number in range(first, first + len(self._hosts)):
                place = number % len(self._hosts)
                try:
                    async with asyncio.timeout(self._timeout):
                        connection = await self._open(self._hosts[place])
                except RAISED as error:
                    # a caller that gives up in the middle has got this far at least
                    self._first = (place + 1) % len(self._hosts)
                    failed.append(str(error) or f"no answer within {self._timeout:g} s")
                    reason = reason_of(error) or reason
                    continue
                if connection.writable:
                    self._first = place
                    if reading is not None:
                        reading.terminate()
                    return connection
                if reading is None:
                    reading = connection
                else:
                    connection.terminate()
        except BaseException:
            if reading is not None:
                reading.terminate()
            raise
        if reading is None:
            raise StoreUnavailable(f"cannot connect to the database: {'; '.join(failed)}", reason=reason)
        if self._writable:
            reading.terminate()
            raise StoreUnavailable("the database is read-only", reason=StoreReason.READ_ONLY)
        return reading

    async def _open(self, url: str) -> StoreConnection:
        connection: StoreConnection = await asyncpg.connect(
            url,
            connection_class=StoreConnection,
            timeout=self._timeout,
            # what else is set is set by SET: a pooler refuses to start with parameters it does not know
            server_settings={"application_name": self._name},
            **self._options,
        )
        try:
            found = await queries.session_begin(
                connection, names=list(self._settings), values=list(self._settings.values())
            )
            connection.writable = not found["read_only"]
            await connection.set_type_codec(
                "jsonb",
                schema="pg_catalog",
                encoder=lambda value: b"\x01" + msgspec.json.encode(value),
                decoder=lambda data: msgspec.json.decode(data[1:]),
                format="binary",
            )
        except BaseException:
            connection.terminate()
            raise
        return connection
