"""A network between one process and PostgreSQL that can be parted: bytes are held back, none is lost.

It replaces a cable: neither side is notified while it is cut, as with a real partition.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit

SOCKET = ".s.PGSQL.5432"


class Proxy:
    """Listens in `directory` as PostgreSQL would, and passes on to the socket that `url` names."""

    here = "127.0.0.1"  # the receivers' address, for processes behind it
    program: tuple[str, ...] = ()  # the command that starts a process there; empty: it gets `url` only

    def __init__(self, directory: Path, url: str) -> None:
        self._path = directory / SOCKET
        parts = urlsplit(url)
        self._upstream = Path(parse_qs(parts.query)["host"][0]) / SOCKET
        self.url = f"postgresql://postgres@/{parts.path.lstrip('/')}?host={quote(str(directory), safe='')}"
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._connected, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def part(self) -> None:
        """Cut the connection, without notifying either side."""
        self._whole.clear()

    def mend(self) -> None:
        """Deliver what was held back."""
        self._whole.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        back: asyncio.StreamWriter | None = None
        try:
            await self._whole.wait()
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_unix_connection(self._upstream)
                await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except asyncio.CancelledError:
            writer.transport.abort()
            if back is not None:
                back.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
        await self._whole.wait()
        writer.close()
