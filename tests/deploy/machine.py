"""The systemd unit on a Debian that boots: installed by the commands of docs/deploying.md, as they are.

`make systemd-check` runs this. It takes minutes and needs root. The machine is a container of systemd that
shares the network of this one, so it finds PostgreSQL and the receiver of the test.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.image import ORGANIZATION, Api
from tests.deploy.meaning import DEPLOY, ROOT
from tests.deploy.root import AUTHORITIES, mirror
from tests.kit.debian import ensure
from tests.kit.patience import PATIENCE, until, wait_until
from tests.kit.pgbouncer import PgBouncer
from tests.kit.port import free_port
from tests.kit.receiver import Receiver

PACKAGES: Final = ("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "ca-certificates")
PAGE: Final = (ROOT / "docs" / "deploying.md").read_text()
BOOT: Final = 300.0
STOP: Final = 180.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A Debian that runs; `init` is the process id of its systemd on this machine."""

    place: Path
    init: int

    def run(self, command: str, patience: float = 900) -> str:
        """What a command of root in the source printed. Raises if it fails."""
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root", "PIP_CERT": "/authorities.crt", "PIP_DEFAULT_TIMEOUT": "180",
            "SYSTEMD_COLORS": "0",
        }  # fmt: skip
        sys.stderr.write(f"  # {command}\n")
        done = subprocess.run(
            ("nsenter", f"--target={self.init}", "--all", "/bin/sh", "-c", f"cd /source && {command}"),
            env=variables, stdout=subprocess.PIPE, text=True, timeout=patience, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}\n{self.journal()}"
        return done.stdout

    def journal(self) -> str:
        """What the service and systemd said about it."""
        command = ("nsenter", f"--target={self.init}", "--all", "journalctl", "--unit=angarium", "--no-pager")
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def shown(self, key: str) -> str:
        """A property of the service."""
        command = ("systemctl", "show", f"--property={key}", "--value", "angarium")
        done = subprocess.run(
            ("nsenter", f"--target={self.init}", "--all", *command),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()


def commands() -> list[str]:
    """What the page tells root to run."""
    section = PAGE.partition("\n## systemd\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return [line.removeprefix("# ") for block in blocks for line in block.splitlines()]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    assert ensure("systemd-nspawn")
    dist = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist))
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with tempfile.TemporaryDirectory(prefix="angarium-machine-", dir="/var/tmp") as directory:
        place = Path(directory) / "root"
        made = (str(ensure("mmdebstrap")), "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}")
        subprocess.run((*made, "bookworm", str(place), mirror()), check=True, stdout=sys.stderr)
        (place / "etc/machine-id").write_text(
            f"{uuid.uuid4().hex}\n"
        )  # else it asks questions at its first start
        source = place / "source"
        source.mkdir()
        for name in ("deploy", "requirements", "dist"):
            (source / name).mkdir()
        booted = subprocess.Popen(
            (
                *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot"),
                *(f"--directory={place}", "--resolv-conf=bind-host"),
                f"--bind-ro={DEPLOY}:/source/deploy",
                f"--bind-ro={ROOT / 'requirements'}:/source/requirements",
                f"--bind-ro={dist}:/source/dist",
                f"--bind-ro={AUTHORITIES}:/authorities.crt",
            ),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            running = wait_until(lambda: up(place, booted.pid), "the machine is up", BOOT)
            yield running
        finally:
            booted.send_signal(signal.SIGTERM)  # an orderly end
            booted.wait(STOP)


def up(place: Path, container: int) -> Machine | None:
    """The machine, once it has started everything."""
    # its first child only makes the one that becomes init
    for child in Path(f"/proc/{container}/task/{container}/children").read_text().split():
        command = ("nsenter", f"--target={child}", "--all", "systemctl", "is-system-running")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.stdout.strip() == "running":
            return Machine(place, int(child))
    return None


async def test_the_unit_installed_as_the_page_says_delivers_restarts_and_stops(
    machine: Machine, database_url: str
) -> None:
    *install, reload, enable, status, token = commands()
    assert (reload, enable.split()[1]) == ("systemctl daemon-reload", "enable")
    api, ops = free_port(), free_port()
    async with PgBouncer(database_url, "session", servers=90) as bouncer, Receiver() as receiver:
        for one in install:
            await asyncio.to_thread(machine.run, one)
        etc = machine.place / "etc/angarium"
        # what the page tells to write: the URL of a database that exists, and settings
        (etc / "database_url").write_text(bouncer.url)
        text = (etc / "angarium.env").read_text().replace(":8071", f":{api}").replace(":9464", f":{ops}")
        more = "ANGARIUM_ALLOWED_SUBNETS=127.0.0.0/8\nANGARIUM_HTTPS_ONLY=false\n"
        (etc / "angarium.env").write_text(text + more)
        for one in (reload, enable):
            await asyncio.to_thread(machine.run, one)
        # the start is over when requests are answered
        assert "Active: active (running)" in await asyncio.to_thread(machine.run, status)
        call = Api(f"http://127.0.0.1:{api}/api/v1", (await asyncio.to_thread(machine.run, token)).strip())
        app = await call("app", name="A customer")
        await call(f"app/{app['id']}/endpoint", url=receiver.url)
        await call(f"app/{app['id']}/msg", eventType="order.filled", payload={"number": 1})
        (request,) = await receiver.wait_for(1)
        assert json.loads(request.body) == {"number": 1}

        assert ORGANIZATION in token
        shown = {key: await asyncio.to_thread(machine.shown, key) for key in ("MainPID", "NRestarts", "UID")}
        assert int(shown["UID"]) > 60000  # of those that systemd gives to services
        seen = await asyncio.to_thread(machine.run, f"tr '\\0' '\\n' < /proc/{shown['MainPID']}/environ")
        assert "ANGARIUM_JWT_SECRET_FILE=/run/credentials/angarium.service/jwt_secret" in seen
        assert (etc / "jwt_secret").read_text() not in seen

        await asyncio.to_thread(machine.run, f"kill -KILL {shown['MainPID']}")

        async def again() -> bool:
            state = await asyncio.to_thread(machine.shown, "ActiveState")
            return state == "active" and await asyncio.to_thread(machine.shown, "NRestarts") == "1"

        await until(again)
        await call(f"app/{app['id']}/msg", eventType="order.filled", payload={"number": 2})
        second = (await receiver.wait_for(2))[-1]
        assert json.loads(second.body) == {"number": 2}

        await asyncio.to_thread(machine.run, "systemctl stop angarium", PATIENCE * 2)
        assert await asyncio.to_thread(machine.shown, "Result") == "success"
        assert await asyncio.to_thread(machine.shown, "ExecMainStatus") == "0"
