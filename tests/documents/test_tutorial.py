"""The tutorial is done as it says, command after command, in one shell."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Final

from tests.kit.patience import until
from tests.kit.port import free_port
from tests.kit.server import dev

PAGE: Final = (Path(__file__).parents[2] / "docs/tutorial.md").read_text()
BLOCKS: Final = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


class Shell:
    """A shell that runs the lines of one terminal."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def printed(self) -> str:
        return self._log.read_text()

    async def run(self, block: str) -> str:
        """Type the block's commands and wait for their end. Returns what all commands printed."""
        assert self._process.stdin is not None
        for number, command in enumerate(re.findall(r"^\$ (.*)$", block, re.MULTILINE)):
            end = f"ended-{number}-{len(self.printed)}"
            self._process.stdin.write(f"{command}\necho {end}-$?\n".encode())
            await until(lambda end=end: end in self.printed)  # type: ignore[misc]
            assert f"{end}-0" in self.printed, self.printed
        return self.printed


async def test_the_commands_of_the_tutorial_show_what_it_says(tmp_path: Path) -> None:
    port = free_port()
    install, setting, *blocks = [block.replace("9000", str(port)) for block in BLOCKS]
    assert "angarium dev" in install
    assert re.findall(r"export (\w+)=", setting) == ["ANGARIUM_URL", "ANGARIUM_TOKEN"]
    (tmp_path / "receive.py").write_text(PROGRAM.replace("9000", str(port)))
    log = tmp_path / "log"
    async with dev(tmp_path / "data") as server:
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                "bash", "-m", cwd=tmp_path, stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output,
                env={
                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                    "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
                    "HOME": str(tmp_path),
                    "ANGARIUM_URL": server.url,
                    "ANGARIUM_TOKEN": server.token,
                },
            )  # fmt: skip
        try:
            shell = Shell(process, log)
            application, endpoint, receive, send, fail, show, again, link = blocks
            assert "customer-1" in await shell.run(application)
            assert "shop" in await shell.run(endpoint)
            await shell.run(receive)
            await until(lambda: listens(port))
            await shell.run(send)
            await until(lambda: "received ord_1" in shell.printed)
            stop, send_second, listing = fail.strip().split("\n")
            await shell.run(stop)
            await until(lambda: is_silent(port))
            await shell.run(send_second)
            # starting the command line costs much more than waiting
            await until(lambda: lists(shell, listing, "delivered", "retrying", "connect_refused"), pause=1.0)
            assert "refused" in (await shell.run(show)).lower()
            start, resend = again.strip().split("\n")
            await shell.run(start)
            await until(lambda: listens(port))
            await shell.run(resend)
            await until(lambda: "received ord_2" in shell.printed)
            assert f"{server.url}/" in (await shell.run(link)).splitlines()[-2]
            assert shell.printed.count("received ord_1") == shell.printed.count("received ord_2") == 1
        finally:
            await process.communicate(b"kill $(jobs -p)\n")


async def is_silent(port: int) -> bool:
    return not await listens(port)


async def lists(shell: Shell, listing: str, *wanted: str) -> bool:
    printed = await shell.run(listing)
    return all(word in printed for word in wanted)


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
