"""Samples of product documents, stored as they were printed, run as processes on loopback.

Surroundings that a fragment leaves out may be put around it; its own lines stay as they are. (An import
that an earlier fragment of the same document already has is left out: JavaScript refuses a second one.)
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.kit.patience import PATIENCE
from tests.kit.receiver import Received, Reply, Wire
from tests.node.npm import BIN

HERE = Path(__file__).parent
NODE_MODULES = HERE.parent / "node" / "node_modules"


def sample(name: str) -> str:
    """A stored sample."""
    path = HERE / name
    return (path if path.exists() else path.with_name(f"{path.name}.txt")).read_text("utf-8")


def compose(*parts: str) -> str:
    """Parts after one another; each names a stored sample or is text of its own."""
    lines: list[str] = []
    imports: set[str] = set()
    for part in parts:
        text = sample(part) if "\n" not in part and part.endswith((".mjs", ".py")) else part
        for line in text.splitlines():
            if part.endswith(".mjs"):
                if line in imports:
                    continue
                imports |= {line} if line.startswith("import ") else set()
            lines.append(line)
    return "\n".join(lines) + "\n"


@dataclass
class Running:
    """A receiver that listens. `output` is what it has written."""

    process: asyncio.subprocess.Process
    port: int = 0
    output: list[str] = field(default_factory=list)
    _spoke: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wrote(self, line: str) -> None:
        self.output.append(line)
        self._spoke.set()

    def said(self, words: str) -> bool:
        return any(words in line for line in self.output)

    async def says(self, words: str) -> None:
        """Returns once the words are written: an answer may arrive before what was printed ahead of it."""
        async with asyncio.timeout(PATIENCE):
            while not self.said(words):
                self._spoke.clear()
                await self._spoke.wait()


@asynccontextmanager
async def running(source: str, language: str, **variables: str) -> AsyncIterator[Running]:
    """The program, started; `language` is `node` or `python`."""
    with tempfile.TemporaryDirectory(prefix="angarium-sample-") as name:
        directory = Path(name)
        if language == "node":
            program = directory / "server.mjs"
            (directory / "node_modules").symlink_to(NODE_MODULES)
            command = [str(BIN / "node"), "--import", (HERE / "loopback.mjs").as_uri(), str(program)]
        else:
            program = directory / "server.py"
            command = [sys.executable, str(HERE / "flask_app.py"), str(program)]
        program.write_text(source, "utf-8")
        process = await asyncio.create_subprocess_exec(
            *command, cwd=directory, env=os.environ | variables,
            stdout=PIPE, stderr=STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        started = Running(process)
        ready = asyncio.Event()
        reading = asyncio.create_task(_read(started, process.stdout, ready))
        try:
            await asyncio.wait_for(ready.wait(), PATIENCE)
            assert started.port, "".join(started.output)
            yield started
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading


async def _read(started: Running, stream: asyncio.StreamReader, ready: asyncio.Event) -> None:
    while line := (await stream.readline()).decode("utf-8", "replace"):
        word, _, port = line.strip().partition(" ")
        if word == "listening" and port.isdigit():
            started.port = int(port)
            ready.set()
        else:
            started.wrote(line)
    ready.set()


@dataclass(frozen=True)
class Tampered:
    """A behaviour for tests/kit/receiver.py: pass the request on with one bit of its body changed."""

    request: Received
    url: str

    async def play(self, wire: Wire) -> None:
        body = bytearray(self.request.body)
        body[len(body) // 2] ^= 1
        headers = {k: v for k, v in self.request.headers if k.lower() not in ("host", "content-length")}
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(self.url, content=bytes(body), headers=headers)
        wire.write(Reply(answer.status_code, answer.content).wire_form())


class Redis:
    """As much of a Redis server as the samples ask for: GET, SETEX and polite answers to the rest."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Redis:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while head := await reader.readline():
                words = []
                for _ in range(int(head[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2].decode())
                writer.write(self._answer(words))
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, words: list[str]) -> bytes:
        match [words[0].upper(), *words[1:]]:
            case ["GET", key]:
                value = self.values.get(key)
                return b"$-1\r\n" if value is None else f"${len(value)}\r\n{value}\r\n".encode()
            case ["SETEX", key, _, value]:
                self.values[key] = value
                return b"+OK\r\n"
            case ["HELLO", *_]:
                return b"-ERR unknown command 'HELLO'\r\n"
            case _:
                return b"+OK\r\n"
