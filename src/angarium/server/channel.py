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

Handlers = Mapping[str, Callable[[], bytes]]


class Channel:
    """The supervisor's end. `open` it first."""

    def __init__(self, own: socket.socket) -> None:
        self._socket = own
        self._numbers = count()
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        reader, self._writer = await asyncio.open_connection(sock=self._socket)
        self._reading = asyncio.create_task(self._read(reader), name="channel")

    def close(self) -> None:
        if self._reading is not None:
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
                if (asked := self._pending.get(number)) is not None and not asked.done():
                    asked.set_result(answer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        for asked in self._pending.values():
            if not asked.done():
                asked.set_exception(ConnectionResetError("the process has ended"))


@contextlib.asynccontextmanager
async def answering(own: socket.socket | None, answers: Handlers) -> AsyncIterator[None]:
    """The child's end: answer questions meanwhile. None: there is no supervisor."""
    if own is None:
        yield
        return
    task = asyncio.create_task(_answer(own, answers), name="channel")
    try:
        yield
    finally:
        task.cancel()


async def _answer(own: socket.socket, answers: Handlers) -> None:
    reader, writer = await asyncio.open_connection(sock=own)
    try:
        while line := await reader.readline():
            number, question = line.decode().split()
            found = answers[question]()
            writer.write(b"%d %d\n" % (int(number), len(found)) + found)
            await writer.drain()
    except OSError:
        pass  # the supervisor has ended
    finally:
        writer.close()
