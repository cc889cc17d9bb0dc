"""Runs the receiver: an nginx that responds with 204 and counts, at almost no cost."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import program
from bench.child import child
from tests.kit.port import free_port

QUIET: Final = 1.0  # seconds without a further request after which all is over
_CONFIGURATION: Final = """
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log error;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_max_body_size 64m;
    client_body_buffer_size 64k;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{ return 204; }}
        location = /count {{ stub_status; }}
    }}
}}
"""


@dataclass
class Receiver:
    """Running. `count` is of requests since its start, without the ones that asked for it."""

    url: str
    pid: int
    _port: int
    _asked: int = field(default=0)

    async def count(self) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"GET /count HTTP/1.0\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        self._asked += 1
        counts = re.search(r"^ \d+ \d+ (\d+)", text, re.MULTILINE)
        assert counts, text
        return int(counts[1]) - self._asked

    async def completed(self, least: int, timeout: float) -> tuple[int, float]:
        """Wait until at least so many have come and no more come: the count, and when the last one came.

        Raises TimeoutError when too few have come by then.
        """
        last, at = await self.count(), time.monotonic()
        end = at + timeout
        while True:
            await asyncio.sleep(0.02)
            now = time.monotonic()
            if (count := await self.count()) != last:
                last, at = count, now
            elif last >= least and now - at >= QUIET:
                return last, at
            if now > end:
                raise TimeoutError(f"only {last} of {least} deliveries arrived")


@asynccontextmanager
async def receiver(directory: Path) -> AsyncIterator[Receiver]:
    nginx, port = program.ensure("nginx"), free_port()
    directory = directory / "nginx"
    directory.mkdir()
    directory.chmod(0o755)  # as root, its worker is another user
    (directory / "conf").write_text(_CONFIGURATION.format(directory=directory, port=port))
    command = (nginx, "-p", str(directory), "-c", str(directory / "conf"), "-g", "daemon off;")
    async with child(*command, log=directory / "nginx.log", port=port) as process:
        started = Receiver(f"http://127.0.0.1:{port}", process.pid, port)
        started._asked = 0
        # connections that only tried the port are not requests, so nothing was counted yet
        yield started
