"""Traces from the API call to the delivery, as a collector gets them from a real `angarium serve`."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import aiohttp.web

from angarium.receiver import verify
from tests.cli.test_serve import healthy, serve, token
from tests.kit.collector import FakeCollector, SentSpan, collecting
from tests.kit.patience import PATIENCE, until

SERVER, CLIENT, PRODUCER = 2, 3, 4
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
ROUTE = "/api/v1/app/{app_id}/msg"
MESSAGE = {"eventType": "a.b", "payload": {"card": "secret-payload"}}


@dataclass
class Heard:
    """A receiver: it fails at the first request of each message, and keeps the headers and bodies."""

    url: str = ""
    requests: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    def of(self, message_id: str) -> list[Mapping[str, str]]:
        return [headers for headers, _ in self.requests if headers["webhook-id"] == message_id]


@asynccontextmanager
async def listening() -> AsyncIterator[Heard]:
    heard = Heard()

    async def receive(request: aiohttp.web.BaseRequest) -> aiohttp.web.Response:
        body = await request.read()
        again = heard.of(request.headers["webhook-id"])
        heard.requests.append((request.headers, body))
        return aiohttp.web.Response(status=200 if again else 500)

    runner = aiohttp.web.ServerRunner(aiohttp.web.Server(receive))
    await runner.setup()
    try:
        await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        heard.url = f"http://{host}:{port}/hook?key=secret-query"
        yield heard
    finally:
        await runner.cleanup()


@asynccontextmanager
async def traced(
    database_url: str, there: FakeCollector, **variables: str
) -> AsyncIterator[tuple[aiohttp.ClientSession, subprocess.Popen[bytes]]]:
    """A server that sends its spans there, and an application `one`."""
    settings: dict[str, Any] = {
        "ANGARIUM_OTLP_ENDPOINT": there.url,
        "ANGARIUM_TRACE_RATIO": "0",
        "ANGARIUM_RETRY_SCHEDULE": "100ms",
        "ANGARIUM_RETRY_JITTER": "0",
    }
    async with (
        serve(database_url, **settings | variables) as (process, url),
        aiohttp.ClientSession(url, headers={"authorization": f"Bearer {token()}"}) as session,
    ):
        await healthy(url)
        await post(session, "app", {"name": "One", "uid": "one"})
        yield session, process


async def post(
    session: aiohttp.ClientSession,
    path: str,
    body: object,
    headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
) -> str:
    """The id in the response."""
    async with session.post(f"/api/v1/{path}", json=body, headers=headers) as answer:
        assert answer.status in (201, 202), await answer.text()
        found = await answer.json()
    return str(found["id"])


def of(there: FakeCollector, name: str, message_id: str) -> list[SentSpan]:
    return [one for one in there.named(name) if one.attributes["messaging.message.id"] == message_id]


async def acceptance(there: FakeCollector, message_id: str) -> tuple[SentSpan, SentSpan]:
    """The spans of the acceptance and of its request, which may arrive after those of attempts."""
    await until(lambda: of(there, "accept", message_id), "the span of the acceptance")
    (accepted,) = of(there, "accept", message_id)
    await until(lambda: there.parent(accepted), "the span of the request")
    request = there.parent(accepted)
    assert request is not None
    return accepted, request


async def test_what_a_caller_samples_is_traced_to_its_deliveries_and_nothing_else_is(
    database_url: str,
) -> None:
    async with (
        collecting() as there,
        listening() as heard,
        traced(database_url, there, ANGARIUM_TRACE_RECEIVERS="true") as (session, _),
    ):
        await post(session, "app/one/endpoint", {"url": heard.url, "secret": "whsec_" + "c2VjcmV0" * 6})
        await _is_linked_to_the_acceptance_that_belongs_to_the_callers_trace(session, there, heard)
        await _is_not_traced_and_a_message_is_accepted_once(session, there, heard)


async def _is_linked_to_the_acceptance_that_belongs_to_the_callers_trace(
    session: aiohttp.ClientSession, there: FakeCollector, heard: Heard
) -> None:
    ways: dict[str, dict[str, str]] = {
        "at once": SAMPLED,
        "through the application": SAMPLED | {"origin": "https://x.example"},
    }
    for way, sent_headers in ways.items():
        message_id = await post(session, "app/one/msg", MESSAGE, sent_headers)
        await until(lambda message_id=message_id: len(of(there, "attempt", message_id)) == 2, way)  # type: ignore[misc]
        accepted, request = await acceptance(there, message_id)
        assert (request.name, request.kind) == (f"POST {ROUTE}", SERVER)
        assert (request.trace_id, request.parent_id) == (TRACE, SPAN)
        assert request.attributes["http.response.status_code"] == 202
        assert (accepted.trace_id, accepted.kind) == (TRACE, PRODUCER)
        assert request.begin <= accepted.begin <= accepted.end
        first, second = attempts = sorted(of(there, "attempt", message_id), key=lambda one: one.begin)
        for attempt, sent in zip(attempts, heard.of(message_id), strict=True):
            assert (attempt.kind, attempt.parent_id) == (CLIENT, "")
            assert attempt.links == ((TRACE, accepted.span_id),)
            assert sent["traceparent"] == f"00-{attempt.trace_id}-{attempt.span_id}-01"
            assert attempt.attributes["server.address"] == "127.0.0.1"
        assert len({TRACE, first.trace_id, second.trace_id}) == 3
        assert (first.failed, first.attributes["http.response.status_code"]) == (True, 500)
        assert (second.failed, second.attributes["http.request.resend_count"]) == (False, 1)
    for headers, body in heard.requests:
        verify(body, headers, "whsec_" + "c2VjcmV0" * 6)
    assert "secret" not in str(there.spans)
    assert "Bearer" not in str(there.spans)


async def _is_not_traced_and_a_message_is_accepted_once(
    session: aiohttp.ClientSession, there: FakeCollector, heard: Heard
) -> None:
    """What a caller does not sample is not traced."""
    before = len(there.spans)
    posted = len(there.named(f"POST {ROUTE}"))
    twice = [*SAMPLED.items(), *SAMPLED.items()]
    untraced = [
        await post(session, "app/one/msg", MESSAGE, headers)
        for headers in (None, {"traceparent": f"00-{TRACE}-{SPAN}-00"}, {"traceparent": "?"}, twice)
    ]
    key = SAMPLED | {"idempotency-key": "1"}
    message_id = await post(session, "app/one/msg", MESSAGE, key)
    assert await post(session, "app/one/msg", MESSAGE, key) == message_id
    await until(lambda: len(of(there, "attempt", message_id)) == 2)
    await until(lambda: len(there.named(f"POST {ROUTE}")) == posted + 2)
    assert len(of(there, "accept", message_id)) == 1
    await until(lambda: all(len(heard.of(one)) == 2 for one in untraced))
    for one in untraced:
        assert all("traceparent" not in headers for headers in heard.of(one))
    assert len(there.spans) == before + 5


async def test_requests_are_traced_by_the_ratio_and_no_collector_that_is_away_disturbs_the_server(
    database_url: str,
) -> None:
    settings = {"ANGARIUM_TRACE_RATIO": "1", "ANGARIUM_OTLP_INTERVAL": "1s"}
    async with AsyncExitStack() as collector, listening() as heard:
        there = await collector.enter_async_context(collecting())
        async with traced(database_url, there, **settings) as (session, process):
            await post(session, "app/one/endpoint", {"url": heard.url})
            message_id = await post(session, "app/one/msg", MESSAGE)
            await until(lambda: len(of(there, "attempt", message_id)) == 2)
            _, request = await acceptance(there, message_id)
            assert request.parent_id == ""
            # receivers get nothing unless a setting says so
            assert all("traceparent" not in headers for headers, _ in heard.requests)
            async with session.get("/api/v1/app/none") as answer:
                assert answer.status == 404
            missing = "GET /api/v1/app/{app_id}"
            await until(lambda: bool(there.named(missing)))
            (span,) = there.named(missing)
            assert (span.attributes["http.response.status_code"], span.failed) == (404, False)
            await collector.aclose()
            message_id = await post(session, "app/one/msg", MESSAGE)
            await until(lambda: len(heard.of(message_id)) == 2, "it is delivered while the collector is away")
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0
