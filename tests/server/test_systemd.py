"""The messages to systemd, on a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from angarium.core.probe import Check, Probe, ProbeAnswer
from angarium.server import systemd
from angarium.server.systemd import ServiceManager
from angarium.shutdown import Shutdown
from tests.faults.harness import servers
from tests.kit.patience import PATIENCE, until
from tests.server.probing import Manager, Probed, launched, managing


async def read(manager: Manager, wanted: str, told: list[list[str]]) -> None:
    """Read messages into `told` until one has the line."""

    def arrived() -> bool:
        told.extend(manager.read())
        return any(wanted in lines for lines in told)

    await until(arrived, f"systemd is told {wanted}")


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_server_tells_that_it_is_ready_alive_and_stopping(
    directory: Path, database_url: str, processes: int
) -> None:
    async with managing(str(directory / "notify")) as manager, servers(directory) as started:
        probed = launched(
            started, database_url, "--processes", str(processes),
            NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="600000",
        )  # fmt: skip
        told: list[list[str]] = []
        await read(manager, "READY=1", told)
        assert await probed.status(Probe.READINESS) == 200, "it is ready when it says so"
        assert ["READY=1", "STATUS=Ready"] in told
        told.clear()
        await read(manager, "WATCHDOG=1", told)
        if processes > 1:
            await _the_watchdog_is_not_fed_while_a_child_is_stopped(manager, probed)
        probed.server.process.send_signal(signal.SIGTERM)
        told.clear()
        await read(manager, "STOPPING=1", told)
        assert await asyncio.to_thread(probed.server.process.wait, PATIENCE) == 0
        told += manager.read()
        assert sum(lines[0] == "STOPPING=1" for lines in told) == 1, "children tell nothing"


async def _the_watchdog_is_not_fed_while_a_child_is_stopped(manager: Manager, probed: Probed) -> None:
    told: list[list[str]] = []
    stopped = probed.server.workers()[0]
    stopped.suspend()
    try:
        missed = "STATUS=The event loop has not run for 10 seconds."
        await read(manager, missed, told)
        assert next(lines for lines in told if missed in lines) == [missed]
    finally:
        stopped.resume()
    told.clear()
    await read(manager, "WATCHDOG=1", told)
    await read(manager, "STATUS=Ready", told)


def well(probe: Probe) -> ProbeAnswer:
    return ProbeAnswer(probe, True, [Check("event-loop", True, "The event loop runs.")])


async def test_an_abstract_address_begins_with_an_at_sign() -> None:
    async with managing(f"@angarium-test-{os.getpid()}") as manager:
        ServiceManager({"NOTIFY_SOCKET": manager.path}).ready("Ready")
        assert manager.read() == [["READY=1", "STATUS=Ready"]]


async def test_the_variables_are_taken_from_the_environment() -> None:
    environ = {"NOTIFY_SOCKET": "/a", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "B": "c"}
    assert ServiceManager(environ).watchdog == 3.0
    assert environ == {"B": "c"}


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}],
    ids=["none", "no number", "of another process"],
)
async def test_without_a_watchdog_of_its_own_it_is_not_fed(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "ROUND", 0.01)
    async with managing(f"@angarium-test-{os.getpid()}") as manager:
        told = ServiceManager({"NOTIFY_SOCKET": manager.path} | environ)
        assert told.watchdog == 0
        async with told.following(well, Shutdown()):
            found: list[list[str]] = []
            await read(manager, "STATUS=Ready", found)
        assert found == [["STATUS=Ready"]], "and the status is told once"


async def test_without_a_socket_nothing_is_sent_and_one_that_is_gone_is_no_error() -> None:
    silent = ServiceManager({})
    silent.ready("Ready")
    async with silent.following(well, Shutdown()):
        pass
    ServiceManager({"NOTIFY_SOCKET": "/nowhere/notify"}).ready("Ready")
