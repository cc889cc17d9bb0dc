"""`/metrics` of a real `angarium serve --processes 2`: what is accepted, delivered and refused moves it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import aiohttp.web

from angarium import __version__
from angarium.telemetry.catalogue import CATALOGUE
from tests.cli.test_serve import healthy, serve, token
from tests.kit.patience import SLOW, until
from tests.kit.port import free_port
from tests.kit.process import workers
from tests.kit.scrape import Scrape, scrape

MESSAGES = 20


@asynccontextmanager
async def receiver() -> AsyncIterator[str]:
    """Answers with the status in the path."""

    async def receive(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        await request.read()
        return aiohttp.web.Response(status=int(request.path.strip("/")))

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(receive))
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def post(session: aiohttp.ClientSession, path: str, body: object, status: int = 201) -> None:
    async with session.post(f"/api/v1/{path}", json=body) as answer:
        assert answer.status == status, await answer.text()


def seen(url: str) -> Callable[[Callable[[Scrape], bool]], Awaitable[Scrape]]:
    """Scrape until something holds."""

    async def scraped(holds: Callable[[Scrape], bool]) -> Scrape:
        last = await scrape(url)

        async def does() -> bool:
            nonlocal last
            last = await scrape(url)
            return holds(last)

        try:
            await until(does, pause=SLOW)
        except AssertionError as error:
            raise AssertionError(last.samples) from error
        return last

    return scraped


async def test_what_happens_moves_the_metrics_of_both_processes(database_url: str) -> None:
    ops = free_port()
    variables: dict[str, Any] = {
        "ANGARIUM_OPS_LISTEN": f"127.0.0.1:{ops}",
        "ANGARIUM_RETRY_SCHEDULE": "100ms",
        "ANGARIUM_RETRY_JITTER": "0",
        "ANGARIUM_LOG_LEVEL": "warning",
    }
    async with (
        receiver() as target,
        serve(database_url, "--processes", "2", **variables) as (process, url),
        aiohttp.ClientSession(url, headers={"authorization": f"Bearer {token()}"}) as session,
    ):
        await healthy(url)
        when = seen(f"http://127.0.0.1:{ops}")
        await post(session, "app", {"name": "One", "uid": "one"})
        for path in (f"{target}/200", f"{target}/500", f"{target}/410", f"http://127.0.0.1:{free_port()}/"):
            await post(session, "app/one/endpoint", {"url": path})
        for number in range(MESSAGES):
            await post(
                session, "app/one/msg", {"eventType": "a.b", "eventId": str(number), "payload": {}}, 202
            )
        await post(session, "app/one/msg", {"eventType": "a.b", "eventId": "0", "payload": {}}, 409)
        await post(session, "app/none/msg", {"eventType": "a.b", "payload": {}}, 404)

        every = {
            name + ("_count" if family.buckets else "")
            for name, family in CATALOGUE.items()
            if not name.startswith(("application_", "otlp_"))
        } - {"db_errors_total"}

        def all_ended(now: Scrape) -> bool:
            return (
                now.total("attempts_total", outcome="delivered") == MESSAGES
                and now.total("attempts_total", outcome="exhausted", cause="5xx") == MESSAGES
                and now.total("attempts_total", outcome="exhausted", cause="connect_refused") == MESSAGES
                and now.total("endpoints_disabled_total", reason="gone") == 1
                and now.total("shards_owned") == 64
                and now.get("shards_unowned") == 0
                and now.names() >= every  # those of the database are read every few seconds
            )

        now = await when(all_ended)
        assert now.get("build_info", version=__version__, role="all") == 1
        assert now.get("intake_messages_total", result="accepted") == MESSAGES
        assert now.get("intake_messages_total", result="duplicate") == 1
        assert now.get("intake_messages_total", result="refused") == 1
        assert 3 * MESSAGES < now.total("deliveries_created_total") <= 4 * MESSAGES
        assert now.get("intake_batch_messages_sum") == MESSAGES + 2
        assert now.total("attempts_total", outcome="retry", side="receiver") == 2 * MESSAGES
        assert now.total("attempts_total", cause="2xx", side="none", product="standard") == MESSAGES
        attempts = now.total("attempts_total")
        assert now.get("complete_batch_outcomes_sum") == attempts
        assert now.total("attempt_seconds_count") == attempts
        assert now.get("attempt_seconds_count", delivered="yes") == MESSAGES
        assert now.total("attempt_lateness_seconds_count") == attempts
        assert now.get("delivery_seconds_count", attempts="first") == MESSAGES
        assert now.total("first_attempt_seconds_count") == now.total("attempts_total") - 2 * MESSAGES
        assert now.total("requests_total") == attempts
        assert now.total("api_requests_total", route="/api/v1/app/{app_id}/msg", code="202") == MESSAGES
        assert now.total("api_requests_total", method="POST", code="409") == 1
        assert now.get("api_request_seconds_count", group="accept") == MESSAGES + 2
        assert now.get("dispatchers") == 2
        assert now.get("db_writable") == 1
        assert now.get("attempts_limit") == 2 * 2000
        assert now.get("endpoints", state="disabled") == 1
        assert now.get("deliveries_complete") == 1
        assert now.get("partition_ahead_seconds", table="message") is not None
        assert now.total("db_wait_seconds_count", pool="engine") > 0
        assert now.get("processes", state="answering") == 2
        assert now.values("process") == {"0", "1", "supervisor"}
        assert not [value for value in now.values("route") if "one" in value or "none/" in value]

        # a child that dies takes no counter along
        killed = workers(process.pid)[0]
        killed.kill()
        now = await when(
            lambda now: (
                now.get("process_deaths_total") == 1
                and now.get("processes", state="answering") == 2
                and now.get("shards_owned") == 64
            )
        )
        assert now.get("intake_messages_total", result="accepted") == MESSAGES
        assert now.total("attempts_total") == attempts
        assert now.get("shard_changes_total", change="taken") > 64  # type: ignore[operator]

        # one that is stuck is counted, and delays a scrape by seconds only
        stuck = workers(process.pid)[0]
        os.kill(stuck.pid, signal.SIGSTOP)
        try:
            now = await when(lambda now: now.get("processes", state="silent") == 1)
            assert now.get("intake_messages_total", result="accepted") == MESSAGES
            assert now.total("attempts_total") == attempts
        finally:
            os.kill(stuck.pid, signal.SIGCONT)
        await when(lambda now: now.get("processes", state="silent") == 0)
