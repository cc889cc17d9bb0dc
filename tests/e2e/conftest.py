"""One real server, started from the command line as a stranger would, for all tests of this directory."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.patience import PATIENCE
from tests.kit.receiver import Received, Receiver, Reply

SCHEDULE = "200ms,400ms"
MEMORY = Path("/dev/shm")

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Server:
    """What `angarium dev --json` said, and where it logs."""

    url: str
    token: str
    organization: str
    pid: int
    log: Path

    def client(self, token: str | None = None) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {token or self.token}"}
        return httpx.AsyncClient(base_url=f"{self.url}/api/v1", headers=headers, timeout=60)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2 * 1024**3
    directory = Path(tempfile.mkdtemp(prefix="angarium-test-", dir=MEMORY if roomy else None))
    log = directory / "log"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGARIUM_")}
    changed = {
        "ANGARIUM_RETRY_SCHEDULE": SCHEDULE,
        "ANGARIUM_RETRY_JITTER": "0",
        "ANGARIUM_LOG_FORMAT": "json",
    }
    arguments = ("dev", "--json", "--port", "0", "--data", str(directory / "data"))
    with log.open("wb") as errors:
        process = subprocess.Popen(
            (sys.executable, "-m", "angarium.cli.main", *arguments),
            env=kept | changed,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        said = json.loads(line)
        yield Server(**{name: said[name] for name in ("url", "token", "organization", "pid")}, log=log)
        assert process.poll() is None, f"the server ended by itself: {log.read_text()[-5000:]}"
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def api(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP with the organization's token."""
    async with server.client() as client:
        yield client


@pytest.fixture
def fresh() -> str:
    """A word that no other test uses: the server, and so the organization, is shared."""
    return f"t{next(_numbers)}"


class Hooks(Receiver):
    """A receiver that answers by path: `/ok…` 200, `/fail…` 500, `/heal…` 500 twice and then 200."""

    def __init__(self) -> None:
        super().__init__(default=self._answer)
        self._seen: dict[tuple[str, str], int] = {}

    def _answer(self, request: Received) -> Reply:
        if request.path.startswith("/fail"):
            return Reply(500, b"broken")
        if request.path.startswith("/heal"):
            key = request.path, request.header("webhook-id") or ""
            self._seen[key] = self._seen.get(key, 0) + 1
            return Reply(500, b"not yet") if self._seen[key] <= 2 else Reply(200, b"better")
        return Reply(200, b"thanks")

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, message: str) -> list[Received]:
        """What came for one message."""
        return [one for one in self.requests if one.header("webhook-id") == message]


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    async with Hooks() as receiver:
        yield receiver


def secret(byte: int = 101) -> str:
    """A symmetric secret that is the same every time."""
    return "whsec_" + base64.b64encode(bytes([byte]) * 32).decode()


async def made(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> str:
    """The id of what a POST made."""
    answer = await client.post(path, json=body)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])
