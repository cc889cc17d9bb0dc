"""`angarium health` and `angarium doctor server` against a real operations listener."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from angarium.cli.health import ProbeName
from angarium.core.probe import ADVICE, Link, Probe, StartStep
from angarium.server.presence import Presence
from angarium.server.systemd import ServiceManager
from angarium.shutdown import Shutdown
from tests.kit.command import Done, run, run_apart
from tests.kit.port import free_port


@asynccontextmanager
async def present() -> AsyncIterator[tuple[Presence, str]]:
    """A process that works, and where it answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    presence = Presence(1, ServiceManager({}))
    presence.vitals.done(*StartStep)
    presence.vitals.serving = True
    async with presence.shown(listener, Shutdown()):
        yield presence, f"127.0.0.1:{listener.getsockname()[1]}"


async def command(*arguments: str, listen: str) -> Done:
    return await asyncio.to_thread(run, *arguments, ANGARIUM_OPS_LISTEN=listen)


async def test_health_is_0_for_a_probe_that_passes_and_1_for_one_that_fails() -> None:
    async with present() as (presence, listen):
        assert await command("health", listen=listen) == Done(0, "readyz: ok\n", "")
        presence.vitals.draining = True
        assert await command("health", listen=listen) == Done(1, "The process is stopping.\n", "")
        assert await command("health", "--probe", "livez", listen=listen) == Done(0, "livez: ok\n", "")
        shown = await command("health", "--json", "--ops", f"http://{listen}/", listen="")
        assert shown.returncode == 1
        assert json.loads(shown.stdout)["checks"][1] == {
            "name": "draining",
            "ok": False,
            "reason": "The process is stopping.",
        }


def test_health_is_1_when_there_is_no_answer() -> None:
    done = run("health", ANGARIUM_OPS_LISTEN=f"0.0.0.0:{free_port()}")
    assert done.returncode == 1
    assert re.match(r"http://127\.0\.0\.1:\d+/readyz does not answer the probe: ", done.stdout)
    assert run("health", ANGARIUM_OPS_LISTEN="").returncode == 2


async def test_a_page_that_is_not_a_probe_s_is_no_answer() -> None:
    async with present() as (presence, listen):
        presence.routes.pop("/readyz")
        done = await command("health", listen=listen)
        assert done.returncode == 1
        assert "does not answer the probe" in done.stdout


async def test_health_needs_no_proxy() -> None:
    async with present() as (_, listen):
        done = await asyncio.to_thread(
            run_apart, "health", ANGARIUM_OPS_LISTEN=listen, http_proxy="http://127.0.0.1:9"
        )
        assert done.returncode == 0, done.stderr


def test_health_asks_the_probes_that_there_are() -> None:
    assert list(map(str, ProbeName)) == list(map(str, Probe))


async def test_the_doctor_explains_each_probe_and_each_failing_check() -> None:
    async with present() as (presence, listen):
        well = await command("doctor", "server", listen=listen)
        assert well.returncode == 0, well.stderr
        assert "0 of 10 checks fail" in well.stdout
        assert "/livez  The process can work." in well.stdout
        presence.vitals.draining = True
        presence.vitals.watch_parts(lambda: ["Loader"])
        ill = await command("doctor", "server", listen=listen)
        assert ill.returncode == 1
        assert "2 of 10 checks fail" in ill.stdout
        for name in ("draining", "parts"):
            assert ADVICE[name].meaning in ill.stdout
            assert ADVICE[name].action in ill.stdout
        assert ADVICE["started"].meaning not in ill.stdout
        answers = json.loads((await command("doctor", "server", "--json", listen=listen)).stdout)
        (check,) = [one for one in answers[1]["checks"] if not one["ok"]]
        assert check["action"] == ADVICE["parts"].action
    gone = await command("doctor", "server", listen=listen)
    assert gone.returncode == 3
    assert "Check --ops (or ANGARIUM_OPS_LISTEN)" in gone.stderr


def test_the_doctor_of_a_receiver_still_needs_a_secret() -> None:
    done = run("doctor", "https://shop.example.com/webhooks")
    assert done.returncode == 2
    assert "--secret is missing" in done.stderr


@pytest.mark.parametrize("link", Link)
def test_every_connection_has_advice(link: Link) -> None:
    assert ADVICE[link].action
