"""Carries the facts that probes need from child processes to the supervisor.

A child sends its facts every second, as one datagram that never blocks. The supervisor notes when it arrived:
a child that is paused, or whose event loop does not turn, sends none.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from angarium.clock import steady
from angarium.core.probe import Facts
from angarium.vitals import BEAT, Vitals

START_PATIENCE: Final = 60.0  # seconds that a child may take until its first report
LARGEST: Final = 64 * 1024

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Facts).decode


@contextlib.asynccontextmanager
async def reporting(vitals: Vitals, channel: socket.socket) -> AsyncIterator[None]:
    """Sends the facts of this process meanwhile."""
    task = asyncio.create_task(_reporting(vitals, channel), name="report")
    try:
        yield
    finally:
        task.cancel()


async def _reporting(vitals: Vitals, channel: socket.socket) -> None:
    channel.setblocking(False)
    while True:
        with contextlib.suppress(OSError):  # the supervisor does not read, or is gone
            channel.send(_encode(vitals.facts()))
        await asyncio.sleep(BEAT)


@dataclass(slots=True)
class _Child:
    """The last report of a child. `patience`: seconds for which it may be silent without a fault."""

    facts: Facts = field(default_factory=Facts)
    heard_at: float = field(default_factory=steady)
    patience: float = START_PATIENCE


class Reports:
    """The last reports of `count` children. Calls `ready` once, when all of them serve."""

    def __init__(self, count: int, ready: Callable[[], None] = lambda: None) -> None:
        self._children = [_Child() for _ in range(count)]
        self._ready: Callable[[], None] | None = ready

    def facts(self) -> list[Facts]:
        """The facts of the children, by number."""
        now = steady()
        return [
            msgspec.structs.replace(
                child.facts,
                beat_age=max(child.facts.beat_age, now - child.heard_at - child.patience),
            )
            for child in self._children
        ]

    @contextlib.contextmanager
    def received(self, number: int) -> Iterator[socket.socket]:
        """Takes the reports of a new child meanwhile. Yields the child's end."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        here.setblocking(False)
        self._children[number] = _Child()
        loop = asyncio.get_running_loop()
        loop.add_reader(here, self._read, number, here)
        try:
            yield there
        finally:
            loop.remove_reader(here)
            here.close()
            there.close()
            self._children[number] = _Child()

    def _read(self, number: int, channel: socket.socket) -> None:
        try:
            facts = _decode(channel.recv(LARGEST))
        except OSError:
            return
        self._children[number] = _Child(facts, steady(), 0.0)
        if self._ready is not None and all(child.facts.serving for child in self._children):
            ready, self._ready = self._ready, None
            ready()
