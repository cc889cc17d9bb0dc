"""Collects the facts about this process that its probes need (core/probe.py).

A task notes once a second that the event loop runs. Another looks at each connection to the database every
few seconds: has a statement succeeded since? If not, it runs one. If that fails, it opens a fresh connection.
Only if the fresh one works, the connection counts as stuck; otherwise the database is unavailable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from angarium.clock import steady
from angarium.core.probe import Facts, Link, StartStep

log = structlog.get_logger(__name__)

BEAT: Final = 1.0  # seconds between two notes that the loop runs
ROUND: Final = 5.0  # seconds between two looks at the connections
PATIENCE: Final = 10.0  # seconds for a statement on a connection in use, and again for a fresh connection
SCHEMA_ROUNDS: Final = 12  # looks at the connections for each look at the schema

Ask = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class _Watched:
    """A connection. `progressed`: when it last worked, by the steady time; None: it is not used now."""

    progressed: Callable[[], float | None]
    ask: Ask | None
    fresh: Ask
    stuck_since: float | None = None


class Vitals:
    """The facts about this process. `now`: the steady time."""

    def __init__(self, now: Callable[[], float] = steady) -> None:
        self._now = now
        self._done: set[StartStep] = set()
        self._beat_at = now()
        self._parts: list[Callable[[], Iterable[str]]] = []
        self._watched: dict[Link, _Watched] = {}
        self._schema: Callable[[], Awaitable[str | None]] | None = None
        self._misfit: str | None = None
        self._restore: Callable[[], str | None] = lambda: None
        self.serving = False
        self.draining = False

    def done(self, *steps: StartStep) -> None:
        """These steps of the start are done."""
        self._done.update(steps)

    def watch_parts(self, ended: Callable[[], Iterable[str]]) -> None:
        """`ended` returns the parts that ended although they should not have."""
        self._parts.append(ended)

    def watch(
        self, link: Link, progressed: Callable[[], float | None], *, fresh: Ask, ask: Ask | None = None
    ) -> None:
        """Watch a connection. `ask` uses it, if its owner does not do so by itself; `fresh` opens another one
        and does the same. Both raise an error if that fails."""
        self._watched[link] = _Watched(progressed, ask, fresh)

    def watch_schema(self, misfit: Callable[[], Awaitable[str | None]]) -> None:
        """`misfit` says why the schema does not fit, and raises an error if the database does not answer."""
        self._schema = misfit

    def watch_restore(self, restore: Callable[[], str | None]) -> None:
        """`restore` says what a restore of the database means for this process now."""
        self._restore = restore

    def forget(self) -> None:
        """Watch nothing any more: connections and parts end on purpose."""
        self._parts.clear()
        self._watched.clear()
        self._schema = None

    def facts(self) -> Facts:
        """The facts at this moment."""
        now = self._now()
        return Facts(
            done=frozenset(self._done),
            serving=self.serving,
            draining=self.draining,
            beat_age=now - self._beat_at,
            links=tuple(self._watched),
            ended=tuple(sorted(name for ended in self._parts for name in ended())),
            stuck={
                link: now - one.stuck_since
                for link, one in self._watched.items()
                if one.stuck_since is not None
            },
            misfit=self._misfit,
            restore=self._restore(),
        )

    @contextlib.asynccontextmanager
    async def noted(self) -> AsyncIterator[None]:
        """Notes and looks meanwhile."""
        tasks = [
            asyncio.create_task(self._beating(), name="beat"),
            asyncio.create_task(self._watching(), name="watch"),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def _beating(self) -> None:
        while True:
            self._beat_at = self._now()
            await asyncio.sleep(BEAT)

    async def _watching(self) -> None:
        rounds = 0
        while True:
            await asyncio.sleep(ROUND)
            await self.look()
            rounds += 1
            if rounds % SCHEMA_ROUNDS == 0:
                await self.look_at_schema()

    async def look(self) -> None:
        """Look at each connection once."""
        await asyncio.gather(*(self._look(link, one) for link, one in list(self._watched.items())))

    async def look_at_schema(self) -> None:
        """Check the schema again. While the database does not answer, the last result counts."""
        if self._schema is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(PATIENCE):
                    self._misfit = await self._schema()

    async def _look(self, link: Link, one: _Watched) -> None:
        if self._works(one) or (one.ask is not None and await _succeeds(one.ask)):
            one.stuck_since = None
        elif not await _succeeds(one.fresh) or self._works(one):
            one.stuck_since = None  # the database is unavailable to others, too; or it works by now
        elif one.stuck_since is None:
            one.stuck_since = self._now()
            log.warning("connection.stuck", connection=link.value)

    def _works(self, one: _Watched) -> bool:
        progressed = one.progressed()
        return progressed is None or self._now() - progressed < ROUND


async def _succeeds(ask: Ask) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            await ask()
    except Exception:  # whatever it is, the connection does not work
        return False
    return True
