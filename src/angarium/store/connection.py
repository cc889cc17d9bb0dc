"""Opens connections to PostgreSQL, and closes them when a statement takes too long.

**A statement is never canceled.** If it takes too long, or its caller is canceled, the connection is closed.
A cancel request could hit a COMMIT that waits for a synchronous standby: the transaction would be visible but
not replicated, and lost in a failover. A backend whose client has disconnected continues to wait, and the
transaction stays invisible until it is replicated. PostgreSQL itself ends other long statements
(`lock_timeout` and `statement_timeout`, which do not apply during a commit).

**Several hosts are tried in turn**, starting with the last one that worked. Each has a short timeout. The
next one is tried when the previous one fails or does not respond within `STAGGER`, so unreachable hosts cost
little. A server that accepts writes is preferred. If there is none, a pool uses a read-only connection, so
that lists and pages work, and replaces it after `RETRY_WRITABLE`. The locks of dispatchers require a writable
server. For a read replica, a standby is preferred instead.

**A restart of the database delays what needs a new connection.** A pool whose database was there tries for
`RESTART` seconds before it raises. After that it raises at once, until the database is back.

**A server that disappears is detected** within ten seconds, by TCP keepalives on idle connections and a
timeout for data that is not acknowledged.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlencode

import asyncpg
import msgspec

from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.store import release
from angarium.store.fault import RAISED, reason_of
from angarium.store.section import FIRST, Section
from angarium.store.sql import queries

CONNECT_TIMEOUT: Final = 10.0  # seconds for the only host
HOST_TIMEOUT: Final = 3.0  # seconds for each of several hosts
STAGGER: Final = 0.3  # seconds until the next host is tried, if the previous one does not respond
RETRY_WRITABLE: Final = 5.0  # seconds after which a read-only connection is replaced
RESTART: Final = 2.0  # seconds for which a pool tries again
RETRY: Final = 0.1  # seconds between those tries
GONE_AFTER: Final = 10  # seconds after which a silent server counts as gone
_WATCH: Final = {
    "SO_KEEPALIVE": (socket.SOL_SOCKET, 1),
    "TCP_KEEPIDLE": (socket.IPPROTO_TCP, 4),
    "TCP_KEEPINTVL": (socket.IPPROTO_TCP, 2),
    "TCP_KEEPCNT": (socket.IPPROTO_TCP, 3),
    "TCP_USER_TIMEOUT": (socket.IPPROTO_TCP, GONE_AFTER * 1000),
}
"""Socket options that detect a server that is gone. Not every system supports all of them."""

_OWN_OIDS: Final = 10_000  # lower oids are PostgreSQL's own, and never change
_own_types: Final[dict[frozenset[int], Any]] = {}  # asyncpg's descriptions of them

_URL: Final = re.compile(r"(?P<scheme>\w+://)(?P<place>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?")


class Row(Protocol):
    """A row of a result: its values by column name, and in the order of the columns."""

    def __getitem__(self, column: str) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def get(self, column: str) -> Any: ...


class Connection(Protocol):
    """A connection to one section, from the pool or dedicated, as functions of the store receive it.

    Statements have names (store/sql.py). These methods are for them, for transactions, and for migrations.
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
    """A connection outside the pool. Its owner listens on it and closes it."""

    def add_termination_listener(self, listener: Callable[[object], None]) -> None: ...

    async def add_listener(self, channel: str, listener: Callable[[object, int, str, str], None]) -> None: ...

    async def close(self, *, timeout: float | None = None) -> None: ...

    def terminate(self) -> None: ...


class StoreConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection to one section, closed where asyncpg would send a cancel request."""

    __slots__ = ("fits", "opened_at", "section", "writable")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.opened_at = time.monotonic()
        self.section = FIRST
        self.writable = True
        self.fits = True  # it is of the preferred kind

    def _cancel_current_command(self, waiter: Any, cancel_waiter: Any = None) -> None:
        # not immediately: asyncpg still reports the error on this connection
        self._loop.call_soon(self.terminate)

    async def _introspect_types(self, typeoids: Collection[int], timeout: float | None) -> Any:
        """asyncpg calls this on each connection for types that are new to it, such as arrays, which takes
        PostgreSQL longer than most statements. Its own types are the same everywhere, so the answer is
        kept."""
        kept = _own_types.get(asked := frozenset(typeoids))
        if kept is None:
            kept = await super()._introspect_types(typeoids, timeout)
            if max(asked) < _OWN_OIDS:
                _own_types[asked] = kept
        return kept

    @property
    def outdated(self) -> bool:
        """Whether the connection is not of the preferred kind, and a better one should be tried."""
        return not self.fits and time.monotonic() - self.opened_at > RETRY_WRITABLE


def _watch(connection: StoreConnection) -> None:
    """Let the system detect a server that is gone. A Unix socket does so by itself."""
    opened = connection._transport.get_extra_info("socket")
    if opened is None or opened.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for name, (level, value) in _WATCH.items():
        if (option := getattr(socket, name, None)) is not None:
            opened.setsockopt(level, option, value)


def _discard(task: asyncio.Task[StoreConnection]) -> None:
    """Close a connection that was opened but is not needed."""
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


def each_host(url: str) -> list[str]:
    """Split a database URL with several hosts into one for each, in their order.

    The hosts are written as for libpq: `postgresql://user@a:5432,b:5433/name`, or in the query
    `?host=a,b&port=5432,5433`. Raises ValueError if the numbers of hosts and ports differ.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return [url]
    query = parse_qsl(found["query"] or "", keep_blank_values=True)
    given = dict(query)
    login, at, places = found["place"].rpartition("@")
    if "host" in given:
        hosts = given["host"].split(",")
        ports = given.get("port", "").split(",")
        if len(ports) not in (1, len(hosts)):
            raise ValueError("the number of ports in the database URL differs from the number of hosts")
        ports *= len(hosts) if len(ports) == 1 else 1
        rest = [(name, value) for name, value in query if name not in ("host", "port")]
        return [
            f"{found['scheme']}{found['place']}{found['path']}?"
            + urlencode([*rest, ("host", host), *([("port", port)] if port else [])])
            for host, port in zip(hosts, ports, strict=True)
        ]
    tail = found["path"] + ("" if found["query"] is None else f"?{found['query']}")
    return [f"{found['scheme']}{login}{at}{place}{tail}" for place in places.split(",")]


def _place_of(url: str) -> str:
    """Host and port of a database URL with one host, for messages. It has no login."""
    found = _URL.fullmatch(url)
    if found is None:
        return "the database"
    given = dict(parse_qsl(found["query"] or ""))
    host, port = given.get("host"), given.get("port")
    return found["place"].rpartition("@")[2] if host is None else f"{host}:{port}" if port else host


class Connector:
    """Opens connections to the hosts of one URL. Raises StoreUnavailable if none is suitable."""

    def __init__(
        self,
        url: str,
        *,
        statement_timeout: float | None,
        name: str = "",
        settings: Mapping[str, str] | None = None,
        prepared: bool = True,
        writable: bool = False,
        standby: bool = False,
        admit: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        """`statement_timeout`: seconds after which a statement's connection is closed. `settings`: of the
        session; must be empty behind a pooler. `prepared`: keep prepared statements. `writable`: require a
        server that accepts writes. `standby`: prefer a read-only one.
        `admit`: called with each new connection; an error refuses it."""
        self._hosts = each_host(url)
        self._first = 0
        self._timeout = CONNECT_TIMEOUT if len(self._hosts) == 1 else HOST_TIMEOUT
        self._name = name or release.session_name()
        self._admit = admit
        self._settings = dict(settings or {})
        self._writable = writable
        self._standby = standby
        self._options: dict[str, Any] = {"command_timeout": statement_timeout}
        if not prepared:
            self._options["statement_cache_size"] = 0

    async def __call__(self) -> StoreConnection:
        count = len(self._hosts)
        places = [(self._first + number) % count for number in range(count)]
        opening: dict[asyncio.Task[StoreConnection], int] = {}
        best: StoreConnection | None = None
        failed: list[str] = []
        reason = StoreReason.UNREACHABLE
        try:
            while places or opening:
                if places:
                    place = places.pop(0)
                    opening[asyncio.create_task(self._open_in_time(place))] = place
                done, _waiting = await asyncio.wait(
                    list(opening), timeout=STAGGER if places else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    place = opening.pop(task)
                    try:
                        connection = task.result()
                    except RAISED as error:
                        if place == self._first:  # now, because the caller may be canceled before the end
                            self._first = (place + 1) % count
                        words = getattr(error, "strerror", None) or str(error)
                        words = words or f"no answer within {self._timeout:g} s"
                        failed.append(f"{_place_of(self._hosts[place])}: {words}")
                        reason = reason_of(error) or reason
                        continue
                    if best is None or (connection.fits and not best.fits):
                        worse, best = best, connection
                        if connection.fits:
                            self._first = place
                    else:
                        worse = connection
                    if worse is not None:
                        worse.terminate()
                if best is not None and best.fits:
                    return best
        except BaseException:
            if best is not None:
                best.terminate()
            raise
        finally:
            for task in opening:
                task.add_done_callback(_discard)
                task.cancel()
        if best is None:
            raise StoreUnavailable(f"cannot connect to the database: {'; '.join(failed)}", reason=reason)
        if self._writable:
            best.terminate()
            raise StoreUnavailable("the database is read-only", reason=StoreReason.READ_ONLY)
        return best

    async def _open_in_time(self, place: int) -> StoreConnection:
        async with asyncio.timeout(self._timeout):
            return await self._open(self._hosts[place])

    async def _open(self, url: str) -> StoreConnection:
        connection: StoreConnection = await asyncpg.connect(
            url,
            connection_class=StoreConnection,
            timeout=self._timeout,
            # other settings use SET, because a pooler rejects startup parameters that it does not know
            server_settings={"application_name": self._name},
            **self._options,
        )
        _watch(connection)
        try:
            found = await queries.session_begin(
                connection, names=list(self._settings), values=list(self._settings.values())
            )
            connection.writable = not found["read_only"]
            connection.fits = connection.writable is not self._standby
            await connection.set_type_codec(
                "jsonb",
                schema="pg_catalog",
                encoder=lambda value: b"\x01" + msgspec.json.encode(value),
                decoder=lambda data: msgspec.json.decode(data[1:]),
                format="binary",
            )
            if self._admit is not None:
                await self._admit(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection


class PoolConnector:
    """Opens the connections of one pool. Waits for `restart` seconds while a database that was there is gone
    (see the module)."""

    def __init__(self, connector: Connector, restart: float) -> None:
        self._connector = connector
        self._restart = restart
        self._was_there = False
        self._gone_at: float | None = None

    async def __call__(self, *_: Any, **__: Any) -> StoreConnection:
        """Open a connection. asyncpg's pool calls this. Raises StoreUnavailable."""
        while True:
            try:
                connection = await self._connector()
            except StoreUnavailable as error:
                if error.reason is not StoreReason.UNREACHABLE or not self._may_restart():
                    raise
                await asyncio.sleep(RETRY)
            else:
                self._was_there, self._gone_at = True, None
                return connection

    def _may_restart(self) -> bool:
        if not self._was_there:
            return False
        if self._gone_at is None:
            self._gone_at = time.monotonic()
        return time.monotonic() - self._gone_at < self._restart
