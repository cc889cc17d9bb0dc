"""Runs an example with the commands of its README."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.kit.patience import PATIENCE
from tests.node.npm import BIN

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
PROGRAMS: Final = {
    "uvicorn": (sys.executable, "-m", "uvicorn"),
    "flask": (sys.executable, "-m", "flask"),
    "python": (sys.executable,),
    "node": (str(BIN / "node"),),
}


@dataclass
class Example:
    """A folder in `examples`, or a copy of it, and the environment to run it in."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    copy: Path | None = None

    @property
    def folder(self) -> Path:
        return self.copy or EXAMPLES / self.name

    def command(self, start: str, **changed: str) -> list[str]:
        """The command of the README that starts with `start`, with some words replaced."""
        readme = (self.folder / "README.md").read_text()
        (shown,) = [line for line in re.findall(r"^\$ (.+)$", readme, re.MULTILINE) if line.startswith(start)]
        return [changed.get(word, word) for word in self.translated(shown)]

    def translated(self, shown: str) -> list[str]:
        """A shell command, with the programs of the tests."""
        program, *words = shlex.split(shown, comments=True)
        return [*PROGRAMS[program], *words]

    async def start(self, command: list[str]) -> Process:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGARIUM_")}
        path = f"{ROOT / 'src'}{os.pathsep}{self.folder}"
        more = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        return await asyncio.create_subprocess_exec(
            *command, cwd=self.folder, env=kept | more | self.environment, stdout=PIPE, stderr=STDOUT
        )

    async def run(self, command: list[str]) -> str:
        """Run a command that must succeed. Returns its output."""
        process = await self.start(command)
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, said.decode()
        return said.decode()

    @asynccontextmanager
    async def running(self, command: list[str], ready: str) -> AsyncIterator[Program]:
        """Run a command during the context, which starts when it prints the line `ready`."""
        process = await self.start(command)
        program = Program(process)
        try:
            await program.line(ready)
            yield program
        finally:
            if process.returncode is None:
                process.terminate()
            rest, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
            program.rest = rest.decode()


@dataclass
class Program:
    """A running process, the lines read from it, and the rest of its output after it ended."""

    process: Process
    said: list[str] = field(default_factory=list)
    rest: str = ""

    async def line(self, pattern: str) -> re.Match[str]:
        """Read up to the next line that matches."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while line := await self.process.stdout.readline():
                self.said.append(line.decode())
                if found := re.search(pattern, self.said[-1]):
                    return found
        raise AssertionError("".join(self.said))
