"""The probes of real servers, over their operations listener."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from angarium.core.probe import Probe
from angarium.store.embedded import EmbeddedPostgres
from tests.faults.harness import KEY, SECRET, Client, client, servers
from tests.faults.proxy import Proxy
from tests.kit.away import away
from tests.kit.command import run
from tests.kit.patience import PATIENCE, SLOW, until
from tests.kit.receiver import Held, Receiver
from tests.kit.scrape import scrape
from tests.server.probing import Probed, launched


@pytest.mark.parametrize("role", ["api", "dispatch"])
async def test_a_server_of_a_role_answers_each_probe(directory: Path, database_url: str, role: str) -> None:
    async with servers(directory) as started:
        probed = launched(started, database_url, "--role", role)
        await probed.until_ready()
        await _answers_each(probed, role)


async def _answers_each(probed: Probed, role: str) -> None:
    checks = {}
    for probe in Probe:
        status, found = await probed.ask(probe)
        assert (status, found["probe"], found["ok"]) == (200, probe, True)
        checks[probe] = {check["name"] for check in found["checks"]}
        assert all(check["reason"].endswith(".") for check in found["checks"])
    assert checks[Probe.STARTUP] == {"settings", "secrets", "schema", "connection"}
    links = {"engine-pool"}
    links |= {"pool"} if role != "dispatch" else set()
    assert checks[Probe.READINESS] == {"started", "draining", "schema", "restore"} | links
    links |= {"locks"} if role != "api" else set()
    assert checks[Probe.LIVENESS] == {"event-loop", "parts"} | links


@pytest.mark.parametrize("processes", [1, 2])
async def test_the_probes_of_a_server_from_a_restore_over_disturbances_to_its_stop(
    directory: Path, database_url: str, postgres: EmbeddedPostgres, processes: int
) -> None:
    """One server, because a start is most of the work."""
    held = Held()
    at = datetime.now(UTC).replace(microsecond=0)
    await asyncio.to_thread(_restore, database_url, "begin", "--at", at.isoformat())
    async with servers(directory) as started, Receiver(held) as receiver:
        probed = launched(
            started, database_url, "--processes", str(processes),
            ANGARIUM_DRAIN_DELAY="80s", ANGARIUM_REQUEST_TIMEOUT="60s",
        )  # fmt: skip
        await probed.until_ready()
        await _shows_a_restored_database_that_is_held(probed, database_url, at)
        if processes == 1:  # a supervisor answers for itself, too
            await _answers_each(probed, "all")
        async with client(probed.server) as api:
            await _a_database_that_is_away_fails_the_api_and_no_probe(probed, api, postgres, database_url)
            if processes > 1:
                await _a_child_that_is_stopped_ends_the_life_of_its_supervisor(probed)
            await api.app("one", receiver.url)
            assert await api.send("one", {"n": 0})
            await receiver.wait_for(1)
            await _readiness_ends_while_requests_are_accepted_for_the_delay(probed, api)
        held.release.set()
    owner = await asyncpg.connect(database_url)
    assert await owner.fetchval("select count(*) from angarium_1.pending") == 4, "nothing is lost"
    await owner.close()


def _restore(database_url: str, *words: str) -> None:
    variables = {
        "ANGARIUM_DATABASE_URL": database_url, "ANGARIUM_JWT_SECRET": SECRET, "ANGARIUM_SECRET_KEY": KEY
    }  # fmt: skip
    done = run("restore", *words, "--yes", **variables)
    assert done.returncode == 0, done.stderr


async def _shows_a_restored_database_that_is_held(probed: Probed, database_url: str, at: datetime) -> None:
    """Readiness and metrics do."""

    async def tells(reason: str, held: int, pace: int) -> bool:
        status, found = await probed.ask(Probe.READINESS)
        (check,) = (one for one in found["checks"] if one["name"] == "restore")
        assert (status, check["ok"]) == (200, True)
        seen = await scrape(probed.ops)
        gauges = seen.get("restore_held"), seen.get("restore_pace_deliveries")
        return (check["reason"], *gauges) == (reason, held, pace)

    held = (
        f"The database was restored to {at.isoformat()} and is held: nothing is sent, and no messages "
        "are accepted, until `angarium restore release`."
    )
    await until(lambda: tells(held, 1, 0), "it shows the hold", pause=SLOW)
    await asyncio.to_thread(_restore, database_url, "release", "--rate", "7")
    paced = "After a restore, all processes together start at most 7 deliveries a second."
    await until(lambda: tells(paced, 0, 7), "it shows the pace", pause=SLOW)


async def _a_database_that_is_away_fails_the_api_and_no_probe(
    probed: Probed, api: Client, postgres: EmbeddedPostgres, database_url: str
) -> None:
    async with away(postgres, database_url):
        assert (await api.call("GET", "/health"))[0] == 503
        assert [await probed.status(probe) for probe in Probe] == [200, 200, 200]
    await until(lambda: _healthy(api), "it uses the database again")


async def _healthy(api: Client) -> bool:
    return (await api.call("GET", "/health"))[0] == 200


async def _a_child_that_is_stopped_ends_the_life_of_its_supervisor(probed: Probed) -> None:
    await until(lambda: len(probed.server.workers()) == 2)
    assert await probed.status(Probe.LIVENESS) == 200
    stopped = probed.server.workers()[0]
    stopped.suspend()
    try:
        await until(lambda: _status_is(probed, 503), "a child is missed", pause=SLOW)
        ((name, process),) = await probed.failing(Probe.LIVENESS)
        assert name == "event-loop"
        assert process in (0, 1)
        assert await probed.status(Probe.READINESS) == 200, "the other one accepts requests"
    finally:
        stopped.resume()
    await until(lambda: _status_is(probed, 200), "the child is back", pause=SLOW)


async def _status_is(probed: Probed, expected: int) -> bool:
    return await probed.status(Probe.LIVENESS) == expected


async def _readiness_ends_while_requests_are_accepted_for_the_delay(probed: Probed, api: Client) -> None:
    """A second signal ends the delay, and the attempt that hangs is given up. No child is left."""
    server = probed.server
    children = server.workers()
    server.process.send_signal(signal.SIGTERM)
    await until(lambda: _draining(probed), "it is not ready")
    assert await probed.status(Probe.LIVENESS) == 200
    for number in range(1, 4):
        assert await api.send("one", {"n": number}), api.refused
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0
    assert not [child for child in children if child.is_running()]


async def _draining(probed: Probed) -> bool:
    return await probed.failing(Probe.READINESS) == [("draining", None)]


async def test_a_start_waits_for_the_database_and_a_stop_does_not(directory: Path, database_url: str) -> None:
    """The start is visible meanwhile. The stop ends in time though an attempt and the database hang."""
    held = Held()
    async with (
        Proxy(directory, database_url) as proxy,
        servers(directory) as started,
        Receiver(held) as receiver,
    ):
        proxy.part()
        probed = launched(started, proxy.url, ANGARIUM_REQUEST_TIMEOUT="60s", ANGARIUM_STOP_TIMEOUT="5s")
        await until(lambda: probed.status(Probe.STARTUP), "the listener answers")
        assert await probed.ask(Probe.STARTUP) == (503, {
            "probe": "startupz",
            "ok": False,
            "checks": [
                {"name": "settings", "ok": True, "reason": "The settings are valid."},
                {"name": "secrets", "ok": True, "reason": "The secrets are valid."},
                {
                    "name": "schema",
                    "ok": False,
                    "reason": "The schema has not been checked yet, or is being migrated.",
                },
                {
                    "name": "connection",
                    "ok": False,
                    "reason": "The pool has no connection to the database yet.",
                },
            ],
        })  # fmt: skip
        assert await probed.status(Probe.LIVENESS) == 200
        assert await probed.failing(Probe.READINESS) == [("started", None)]
        proxy.mend()
        await probed.until_ready()
        assert await probed.status(Probe.STARTUP) == 200
        server = probed.server
        async with client(server) as api:
            await api.app("one", receiver.url)
            assert await api.send("one", {"n": 0})
            await receiver.wait_for(1)
        proxy.part()
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait, 40) == 0, "it waits for what hangs"
        held.release.set()
