"""Metrics of a real `angarium serve` at a collector: one resource for all processes, complete at the stop."""

from __future__ import annotations

import asyncio
import signal

import aiohttp
import pytest

from tests.cli.test_serve import healthy, serve, token
from tests.kit.collector import collecting, resources
from tests.kit.patience import PATIENCE, until
from tests.kit.port import free_port
from tests.kit.scrape import scrape
from tests.telemetry.test_served_metrics import post, receiver

MESSAGES = 10


@pytest.mark.parametrize("arguments", [(), ("--processes", "2")])
async def test_a_collector_has_what_prometheus_reads_and_all_that_was_done_at_the_stop(
    arguments: tuple[str, ...], database_url: str
) -> None:
    ops = free_port()
    async with (
        collecting() as there,
        receiver() as target,
        serve(
            database_url,
            *arguments,
            ANGARIUM_OPS_LISTEN=f"127.0.0.1:{ops}",
            ANGARIUM_OTLP_ENDPOINT=there.url,
            ANGARIUM_OTLP_INTERVAL="1s",
        ) as (process, url),
        aiohttp.ClientSession(url, headers={"authorization": f"Bearer {token()}"}) as session,
    ):
        await healthy(url)
        await post(session, "app", {"name": "One", "uid": "one"})
        await post(session, "app/one/endpoint", {"url": f"{target}/200"})
        await post(session, "app/one/msg", {"eventType": "a.b", "payload": {}}, 202)

        async def same() -> bool:
            """Metrics that the passing of time does not change."""
            read = (await scrape(f"http://127.0.0.1:{ops}")).samples
            lasting = ("intake_", "attempt", "complete_", "deliveries_", "build_info", "shards_", "processes")
            wanted = {key: value for key, value in read.items() if key[0].startswith(lasting)}
            assert wanted
            sent = there.samples() if there.metrics else {}
            delivered = sum(value for (name, _), value in sent.items() if name == "attempts_total")
            return delivered == 1 and wanted == {key: sent.get(key) for key in wanted}

        await until(same)
        for _ in range(MESSAGES):
            await post(session, "app/one/msg", {"eventType": "a.b", "payload": {}}, 202)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0
        last = there.samples()
    accepted = "intake_messages_total", frozenset({("result", "accepted")})
    assert last[accepted] == MESSAGES + 1
    assert (
        len({about["service.instance.id"] for request in there.metrics for about in resources(request)}) == 1
    )


async def test_a_collector_that_is_away_does_not_disturb_requests_or_the_stop(database_url: str) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    async with serve(database_url, ANGARIUM_OTLP_ENDPOINT=away, ANGARIUM_OTLP_INTERVAL="1s") as (
        process,
        url,
    ):
        await healthy(url)
        async with aiohttp.ClientSession(url, headers={"authorization": f"Bearer {token()}"}) as session:
            await post(session, "app", {"name": "One", "uid": "one"})
            await post(session, "app/one/msg", {"eventType": "a.b", "payload": {}}, 202)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0
