"""Pool of connections: limited in number and reused, with one queue for a free connection.

A receiver may close an idle connection just as we write to it. That is not a failure of the receiver, so the
request is sent again on a new connection, within the same attempt, but only if no byte came back. The
receiver may have read the first request and get it twice, which at-least-once delivery allows.

A connection is used for a limited time, so that a changed DNS record takes effect, and the new address is
checked, within `MAX_AGE` and the time for which DNS results are cached.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final

from angarium.clock import steady
from angarium.core.address import AddressPolicy
from angarium.core.inbox import ANYWHERE
from angarium.dispatch.transport.connection import HttpConnection
from angarium.dispatch.transport.dial import Origin, dial
from angarium.dispatch.transport.exchange import HttpExchange, HungUp
from angarium.dispatch.transport.resolver import Resolver

KEEP_ALIVE: Final = 15.0  # seconds that a connection may be idle
MAX_AGE: Final = 30.0  # seconds after which a connection gets no further request
_SWEEP: Final = 5.0


class Closed(Exception):
    """The pool is closed."""


class Pool:
    """At most `limit` connections are in use, and as many are idle."""

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        names: Resolver,
        context: ssl.SSLContext,
        limit: int,
        body_limit: int,
        admitted: Callable[[HttpExchange], None],
    ) -> None:
        self._policy = policy
        self._names = names
        self._context = context
        self._limit = limit
        self._body_limit = body_limit
        self._admitted = admitted  # called with an exchange that leaves the queue
        self._loop = asyncio.get_running_loop()
        self._resting: dict[Origin, list[HttpConnection]] = {}  # idle, the one used last at the end
        self._rest_count = 0
        self._carried: set[HttpExchange] = set()  # dialing or on a connection
        self._waiting: deque[HttpExchange] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self.dialed = 0  # requests that needed a new connection
        self.reused = 0  # requests that did not

    @property
    def idle(self) -> int:
        """Number of connections that wait for another request."""
        return self._rest_count

    def carry(self, exchange: HttpExchange) -> None:
        """Send the request. `exchange.done` is called at the end."""
        if len(self._carried) < self._limit:
            self._carry(exchange)
        else:
            self._waiting.append(exchange)

    def drop(self, exchange: HttpExchange) -> None:
        """Abort the exchange at any stage. `exchange.done` is not called."""
        exchange.done = None
        if exchange.connection is not None:
            exchange.connection.close()
        if exchange.dialing is not None:
            exchange.dialing.cancel()
        if exchange in self._carried:
            self._carried.remove(exchange)
            self._next()
        elif exchange.stage == "queue" and exchange in self._waiting:
            self._waiting.remove(exchange)

    async def close(self) -> None:
        """Close every connection. Exchanges in progress end with Closed."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for resting in self._resting.values():
            for connection in resting:
                connection.close()
        self._resting.clear()
        left = [*self._carried, *self._waiting]
        dialing = [exchange.dialing for exchange in left if exchange.dialing is not None]
        for exchange in left:
            done = exchange.done
            self.drop(exchange)
            if done is not None:
                done(exchange, Closed())
        if dialing:
            await asyncio.wait(dialing, timeout=5)

    # carrying

    def _carry(self, exchange: HttpExchange) -> None:
        self._carried.add(exchange)
        try:
            connection = None if exchange.fresh else self._wake(exchange.origin)
            if connection is not None:
                self.reused += 1
                connection.begin(exchange)
            else:
                self.dialed += 1
                exchange.dialing = self._loop.create_task(self._dial(exchange))
        except Exception as error:
            # later: the caller does not expect the end before this returns
            self._loop.call_soon(self._finish, exchange, error)

    async def _dial(self, exchange: HttpExchange) -> None:
        origin = exchange.origin
        try:
            connection = await dial(
                origin,
                policy=ANYWHERE if origin.trusted else self._policy,
                names=self._names,
                context=self._context,
                protocol=lambda sock: HttpConnection(origin, self._body_limit, self._ended, self._lost, sock),
                stages=exchange,
            )
            if exchange.done is None:
                connection.close()
            else:
                connection.begin(exchange)
        except Exception as error:
            exchange.dialing = None
            self._finish(exchange, error)
        else:
            exchange.dialing = None

    def _ended(
        self, connection: HttpConnection, exchange: HttpExchange, error: Exception | None, reusable: bool
    ) -> None:
        stale = isinstance(error, HungUp) and connection.used > 1 and connection.received == 0
        if stale and not exchange.fresh and not self._closed:
            exchange.fresh = True
            exchange.connection = None
            self._carried.discard(exchange)
            self._forsake(exchange.origin)
            self._carry(exchange)
            return
        if reusable and not self._closed:
            self._rest(connection)
        elif reusable:
            connection.close()
        self._finish(exchange, error)

    def _finish(self, exchange: HttpExchange, error: Exception | None) -> None:
        self._carried.discard(exchange)
        done, exchange.done = exchange.done, None
        if self._waiting:
            self._next()
        if done is not None:
            done(exchange, error)

    def _next(self) -> None:
        if self._waiting and len(self._carried) < self._limit and not self._closed:
            exchange = self._waiting.popleft()
            self._admitted(exchange)
            self._carry(exchange)

    # idle connections

    def _rest(self, connection: HttpConnection) -> None:
        now = steady()
        if self._rest_count >= self._limit or now - connection.made_at > MAX_AGE:
            connection.close()
            return
        connection.idle_since = now
        self._resting.setdefault(connection.origin, []).append(connection)
        self._rest_count += 1
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP, self._sweep)

    def _wake(self, origin: Origin) -> HttpConnection | None:
        resting = self._resting.get(origin)
        now = steady()
        while resting:
            connection = resting.pop()
            self._rest_count -= 1
            if not resting:
                del self._resting[origin]
            if connection.alive and not _spent(connection, now):
                return connection
            connection.close()
        return None

    def _forsake(self, origin: Origin) -> None:
        """Close the idle connections of an origin: one was stale, so the others probably are."""
        for connection in self._resting.pop(origin, ()):
            self._rest_count -= 1
            connection.close()

    def _lost(self, connection: HttpConnection) -> None:
        resting = self._resting.get(connection.origin)
        if resting and connection in resting:
            resting.remove(connection)
            self._rest_count -= 1
            if not resting:
                del self._resting[connection.origin]

    def _sweep(self) -> None:
        self._sweeper = None
        now = steady()
        for origin, resting in list(self._resting.items()):
            kept = [connection for connection in resting if not _spent(connection, now)]
            self._rest_count -= len(resting) - len(kept)
            if kept:
                self._resting[origin] = kept
            else:
                del self._resting[origin]
            for connection in resting:
                if _spent(connection, now):
                    connection.close()
        if self._resting:
            self._sweeper = self._loop.call_later(_SWEEP, self._sweep)


def _spent(connection: HttpConnection, now: float) -> bool:
    """Whether an idle connection must not be used again."""
    return now - connection.idle_since > KEEP_ALIVE or now - connection.made_at > MAX_AGE
