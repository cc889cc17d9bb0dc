"""Patroni's primary is killed under load, alone and with its whole host. Takes minutes: `make failover`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from angarium.store.migrate import migrate
from tests.faults.account import account, report
from tests.faults.harness import client, servers, until_delivered
from tests.faults.patroni import Node, Patroni
from tests.faults.replicated import DATABASE, administered
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver, Reply

IN_FLIGHT = 16
LOAD = 2000
KILLS = 2


@pytest.fixture
async def patroni() -> AsyncIterator[Patroni]:
    async with Patroni() as made:
        primary = await made.primary()
        await administered(primary.port, f"create database {DATABASE}")
        await migrate(f"postgresql://postgres@127.0.0.1:{primary.port}/{DATABASE}")
        yield made


async def test_patroni_s_primary_is_killed_twice_under_load(patroni: Patroni) -> None:
    away = await _killed(patroni, patroni.url, patroni.kill_primary, "Patroni's primary killed")
    assert max(away) < PATIENCE


@pytest.mark.parametrize("by", ["HAProxy", "three hosts in the URL"])
async def test_patroni_s_host_is_killed_twice_under_load(patroni: Patroni, by: str) -> None:
    """The key of the lead has to end first: `ttl` is 20 seconds, the least that Patroni takes."""

    url = patroni.url if by == "HAProxy" else patroni.hosts_url
    away = await _killed(patroni, url, patroni.kill_host, f"Patroni's host killed, {by}")
    assert max(away) < PATIENCE


async def _killed(patroni: Patroni, url: str, kill: Callable[[], Awaitable[Node]], fault: str) -> list[float]:
    """Kill twice under load, and account for all; how long nothing was accepted each time."""
    async with Receiver(Reply(delay=0.02)) as receiver, servers(patroni.directory) as started:
        server = await started.serve(url, ANGARIUM_ENDPOINT_CONCURRENCY=str(IN_FLIGHT))
        async with client(server) as api:
            await api.app("one", receiver.url)
            away: list[float] = []
            for number in range(KILLS):
                loading = asyncio.create_task(api.load("one", LOAD))
                await api.until_accepted(number * LOAD + LOAD // 4)
                killed = await kill()
                since = time.monotonic()
                await until(lambda: api.send("one", {"up": "again"}), "it accepts again")
                away.append(time.monotonic() - since)
                await asyncio.wait_for(loading, PATIENCE)
                assert await patroni.primary() is not killed
                patroni.restart(killed)
                await patroni.synchronous()
            await until_delivered(api.accepted, receiver)
            result = account(api.accepted, receiver)
        assert await server.terminate() == 0
    report(
        fault, KILLS, result, refused=dict(api.refused),
        accepts_again_after=", ".join(f"{seconds:.1f} s" for seconds in away),
    )  # fmt: skip
    assert result.lost == 0
    assert result.duplicates <= KILLS * IN_FLIGHT
    return away
