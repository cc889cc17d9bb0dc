"""A channel on which a supervisor asks its children: a question is a word, and the answer is bytes.

A child answers in its event loop, so one that is stuck does not answer. The supervisor waits no longer than
it wants to, and ignores an answer that comes late.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import count
from typing import Final

import structlog

log = structlog.get_logger(__name__)

LAST: Final = -1  # the number of the answer that a child sends without a question, when it ends
Handlers = Mapping[str, Callable[[], bytes]]


class Channel:
    """The supervisor's end. `open` it first."""

    def __init__(self, own: socket.socket) -> None:
        self._socket = own
        self._numbers = count()
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        self._reading: asyncio.Task[None] | None = None
        self.last: bytes | None = None  # what the child sent when it ended

    async def open(self) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._socket)
        self._reading = asyncio.create_task(self._read(reader), name="channel")

    async def ended(self, timeout: float) -> None:
        """Read what a child sent when it ended, and close."""
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=timeout)
            self._reading.cancel()
            self._writer.close()

    async def ask(self, question: str, timeout: float) -> bytes:
        """The child's answer. Raises TimeoutError, and ConnectionError if the child has ended."""
        number = next(self._numbers)
        self._pending[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(f"{number} {question}\n".encode())
            async with asyncio.timeout(timeout):
                return await self._pending[number]
        finally:
            del self._pending[number]

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while head := await reader.readline():
                number, length = map(int, head.split())
                answer = await reader.readexactly(length)
                if number == LAST:
                    self.last = answer
                elif (asked := self._pending.get(number)) is not None and not asked.done():
                    asked.set_result(answer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        for asked in self._pending.values():
            if not asked.done():
                asked.set_exception(ConnectionResetError("the process has ended"))


@contextlib.asynccontextmanager
async def answering(
    own: socket.socket | None, answers: Handlers, last: Callable[[], bytes] | None = None
) -> AsyncIterator[None]:
    """The child's end: answer questions meanwhile, and send the answer `last` on leaving. None: there is no
    supervisor."""
    if own is None:
        yield
        return
    reader, writer = await asyncio.open_connection(sock=own)
    task = asyncio.create_task(_answer(reader, writer, answers), name="channel")
    try:
        yield
    finally:
        task.cancel()
        if last is not None:
            try:
                _write(writer, LAST, last())
            except Exception:
                # telemetry must not end what it observes
                log.exception("telemetry.failed")
        writer.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Handlers) -> None:
    try:
        while line := await reader.readline():
            number, question = line.decode().split()
            _write(writer, int(number), answers[question]())
            await writer.drain()
    except OSError:
        pass  # the supervisor has ended


def _write(writer: asyncio.StreamWriter, number: int, answer: bytes) -> None:
    writer.write(b"%d %d\n" % (number, len(answer)) + answer)
