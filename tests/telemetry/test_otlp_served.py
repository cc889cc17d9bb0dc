"""Metrics and spans of a real `angarium serve` at a collector: one resource for all processes, complete at
the stop. test_tracing.py has what the spans say, and a collector that is away."""

from __future__ import annotations

import asyncio
import signal

import aiohttp
import pytest

from tests.cli.test_serve import healthy, serve, token
from tests.kit.collector import collecting, resources
from tests.kit.patience import PATIENCE, SLOW, until
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
            ANGARIUM_TRACE_RATIO="1",
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

        await until(same, pause=SLOW)
        for _ in range(MESSAGES):
            await post(session, "app/one/msg", {"eventType": "a.b", "payload": {}}, 202)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0
        last = there.samples()
    accepted = "intake_messages_total", frozenset({("result", "accepted")})
    assert last[accepted] == MESSAGES + 1
    acceptances = {one.span_id: one for one in there.named("accept")}
    assert len(acceptances) == MESSAGES + 1
    attempts = there.named("attempt")
    assert attempts
    for attempt in attempts:
        ((trace_id, span_id),) = attempt.links
        assert acceptances[span_id].trace_id == trace_id
    assert (
        len({about["service.instance.id"] for request in there.metrics for about in resources(request)}) == 1
    )
