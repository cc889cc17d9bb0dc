"""Spans of messages that come in by every route, and of every way to send one again: each has its own link.

The parts are those of a server, in one process, with real HTTP from callers, to receivers and to a collector.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import MetaData, create_engine
from svix.api import MessageIn, Svix, SvixOptions

from angarium.client import Angarium
from angarium.clock import SystemClock, datetime_at
from angarium.core.product import Product
from angarium.outbox import Forwarder
from angarium.outbox.sqlalchemy import OutboxTable
from angarium.receiver import verify
from angarium.shutdown import Shutdown
from angarium.store.database import Database
from angarium.telemetry.otlp import collector as module
from angarium.telemetry.otlp.collector import Collector
from angarium.telemetry.otlp.tracer import MOST_ASKED, OtlpTracer
from tests.api.serving import serving
from tests.kit.collector import FakeCollector, SentSpan, collecting
from tests.kit.patience import until
from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import ORG, Stand, product, standing
from tests.kit.traced import Untouched
from tests.kit.world import product as standard

PARENT = "00f067aa0ba902b7"
SECRET = "whsec_" + "c2VjcmV0" * 6
MESSAGE = {"eventType": "order.filled", "payload": {"n": 1}}


def trace(number: int) -> str:
    return f"{number:032x}"


def asking(number: int) -> dict[str, str]:
    """The header of a caller whose span is sampled."""
    return {"traceparent": f"00-{trace(number)}-{PARENT}-01"}


@dataclass
class Site:
    """A server with an application, and what its spans are sent to."""

    stand: Stand
    url: str
    there: FakeCollector
    receiver: Receiver
    client: httpx.AsyncClient

    @property
    def token(self) -> str:
        return self.stand.services.token.for_organization(ORG)

    async def post(
        self, path: str, body: Any = MESSAGE, headers: Mapping[str, str] | None = None, status: int = 202
    ) -> Any:
        """Below the application."""
        answer = await self.client.post(f"/app/{self.stand.app_id}{path}", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def message(self, number: int, **more: Any) -> str:
        """A message in the trace of that number."""
        return str((await self.post("/msg", MESSAGE | more, asking(number)))["id"])

    def of(self, name: str, message_id: str) -> list[SentSpan]:
        spans = [
            one for one in self.there.named(name) if one.attributes["messaging.message.id"] == message_id
        ]
        return sorted(spans, key=lambda one: one.begin)

    async def linked(self, number: int, message_id: str, attempts: int) -> list[SentSpan]:
        """Wait for the attempts; all belong to the acceptance in the trace of that number."""
        await until(lambda: len(self.of("attempt", message_id)) >= attempts, f"{attempts} spans of attempts")
        (accepted,) = self.of("accept", message_id)
        await until(lambda: self.there.parent(accepted), "the span of the request, which may end after them")
        request = self.there.parent(accepted)
        assert request is not None
        assert (request.trace_id, request.parent_id) == (trace(number), PARENT)
        assert accepted.trace_id == trace(number)
        found = self.of("attempt", message_id)
        assert [one.links for one in found] == [((trace(number), accepted.span_id),)] * attempts
        assert len({one.trace_id for one in found} - {trace(number)}) == attempts
        return found


@asynccontextmanager
async def tracing(
    database: Database, monkeypatch: pytest.MonkeyPatch, made: Product | None = None, *, passes: bool = True
) -> AsyncIterator[Site]:
    monkeypatch.setattr(module, "EVERY", 0.05)
    async with collecting() as there, Receiver() as receiver:
        collector = Collector(there.url, {}, "all", Shutdown())
        async with collector:
            # all in one second, however long a test takes
            tracer = OtlpTracer(collector, 0.0, passes=passes, steady=lambda: 0.0)
            async with (
                standing(database, made or standard("50ms"), clock=SystemClock(), tracer=tracer) as stand,
                serving(stand.app) as url,
                httpx.AsyncClient(base_url=f"{url}/api/v1") as client,
            ):
                found = Site(stand, url, there, receiver, client)
                client.headers["authorization"] = f"Bearer {found.token}"
                yield found


async def test_each_message_of_a_batch_has_its_own_span(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tracing(database, monkeypatch) as at:
        await at.stand.endpoint(at.receiver.url)
        batch = {"messages": [MESSAGE, MESSAGE | {"eventType": "not a type!"}, MESSAGE]}
        results = (await at.post("/msg/batch", batch, asking(1)))["results"]
        sent = [one["id"] for one in results if "id" in one]
        assert len(sent) == 2
        for one in sent:
            await at.linked(1, one, 1)
        accepted = at.there.named("accept")
        assert len({one.span_id for one in accepted}) == len(accepted) == 2
        assert len({one.parent_id for one in accepted}) == 1
        assert at.there.named("POST /api/v1/app/{app_id}/msg/batch")[0].trace_id == trace(1)

        # one request cannot make more spans than many
        many = {"messages": [MESSAGE] * (3 * MOST_ASKED)}
        results = (await at.post("/msg/batch", many, asking(2)))["results"]
        await until(lambda: len(at.receiver.requests) == 2 + len(results))
        await at.stand.world.until_states({0: 2 + len(results)})
        await until(lambda: len(at.there.named("attempt")) == MOST_ASKED)
        assert len(at.there.named("accept")) == MOST_ASKED


async def test_messages_of_the_client_the_outbox_and_svixs_sdk_are_linked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tracing(database, monkeypatch) as at:
        await at.stand.endpoint(at.receiver.url)
        app = at.stand.app_id

        def send() -> str:
            with Angarium(at.url, at.token) as client:
                return client.send(app, "a.b", {}, traceparent=asking(1)["traceparent"]).id

        await at.linked(1, await asyncio.to_thread(send), 1)

        def forward() -> None:
            engine = create_engine("sqlite://")
            metadata = MetaData()
            outbox = OutboxTable(metadata)
            metadata.create_all(engine)
            with engine.begin() as connection:
                connection.execute(outbox.insert(app, "a.b", {}, traceparent=asking(2)["traceparent"]))
                connection.execute(outbox.insert(app, "a.b", {}))
                connection.execute(outbox.insert(app, "a.b", {}, traceparent="00-wrong\r\nx: y"))
            with Angarium(at.url, at.token) as client:
                assert Forwarder(outbox.on(engine), client).step() == 3
            engine.dispose()

        await asyncio.to_thread(forward)
        await until(lambda: len(at.receiver.requests) == 4)
        await until(lambda: len(at.there.named("accept")) == 2)
        (of_row,) = [one for one in at.there.named("accept") if one.trace_id == trace(2)]
        await at.linked(2, of_row.attributes["messaging.message.id"], 1)

        def by_sdk() -> str:
            message = Svix(at.token, SvixOptions(server_url=at.url)).message
            message._client.headers.update(asking(3))  # as instrumentation does
            with message._httpx_client:
                return message.create(app, MessageIn(event_type="a.b", payload={})).id

        await at.linked(3, await asyncio.to_thread(by_sdk), 1)
        assert len(at.there.named("accept")) == 3


async def test_whatever_sends_a_message_again_its_attempt_is_linked_to_that_message(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tracing(database, monkeypatch) as at:
        endpoint_id = await at.stand.endpoint(at.receiver.url)
        at.receiver.plan(Reply(500), Reply(500))
        since = datetime_at(at.stand.world.clock.now()) - timedelta(hours=1)
        failed = await at.message(1)
        assert [one.failed for one in await at.linked(1, failed, 2)] == [True, True]
        await at.stand.world.until_states({2: 1})
        delivered = await at.message(2)
        await at.linked(2, delivered, 1)
        untraced = str((await at.post("/msg"))["id"])
        await at.stand.world.until_states({0: 2, 2: 1})

        one = f"/endpoint/{endpoint_id}"
        await at.post(f"/msg/{delivered}{one}/resend", {}, asking(3))
        (_, manual) = await at.linked(2, delivered, 2)
        assert (manual.failed, manual.attributes["http.request.resend_count"]) == (False, 1)
        await at.post(f"/msg/{untraced}{one}/resend", {}, asking(4))
        await at.post(f"{one}/recover", {"since": since.isoformat()}, asking(5))
        await at.stand.run_tasks()
        attempts = await at.linked(1, failed, 3)
        assert [one.failed for one in attempts] == [True, True, False]
        other = await at.stand.endpoint(at.receiver.url + "/other")
        await at.post(f"/endpoint/{other}/replay-missing", {"since": since.isoformat()}, asking(6))
        await at.stand.run_tasks()
        await at.linked(1, failed, 4)
        await at.linked(2, delivered, 3)
        await until(lambda: len(at.receiver.requests) == 10)
        for span in await at.linked(1, failed, 4):
            assert span.attributes["angarium.endpoint"] in (endpoint_id, other)
        assert at.of("attempt", untraced) == []
        # those requests are traced, but accepted nothing
        await until(lambda: {trace(n) for n in (3, 4, 5, 6)} <= {one.trace_id for one in at.there.spans})
        assert {one.trace_id for one in at.there.named("accept")} == {trace(1), trace(2)}

        ping = await at.post(f"{one}/send-example", {"eventType": "svix.ping"}, asking(7))
        await at.linked(7, ping["id"], 1)


@pytest.mark.parametrize("way", [{}, {"origin": "https://x.example"}], ids=["at once", "by the application"])
async def test_a_header_that_is_not_valid_is_ignored(
    database: Database, monkeypatch: pytest.MonkeyPatch, way: dict[str, str]
) -> None:
    wrong = [
        *("", "?", "00", "ff" + asking(1)["traceparent"][2:], asking(1)["traceparent"].upper(), "0" * 4000),
        *(asking(1)["traceparent"] + "-more", f"00-{'0' * 32}-{PARENT}-01", f"00-{trace(1)}-{'0' * 16}-01"),
        *("é" * 55, "\u00a0", "a\tb", "00-{}-{}-01"),
    ]
    async with tracing(database, monkeypatch) as at:
        await at.stand.endpoint(at.receiver.url)
        for value in wrong:
            answer = await at.client.post(
                f"/app/{at.stand.app_id}/msg",
                content=json.dumps(MESSAGE),
                headers=[
                    (b"traceparent", value.encode("latin-1")),
                    *((k.encode(), v.encode()) for k, v in way.items()),
                ],
            )
            assert answer.status_code == 202, value
        await until(lambda: len(at.receiver.requests) == len(wrong))
        await at.linked(2, await at.message(2), 1)  # its spans come last
        assert {one.trace_id for one in at.there.named("accept")} == {trace(2)}
        assert len(at.there.named("attempt")) == 1
        assert len([one for one in at.receiver.requests if one.header("traceparent")]) == 1


@pytest.mark.parametrize("passes", [True, False])
async def test_a_receiver_gets_the_context_only_if_a_setting_says_so_and_its_own_header_otherwise(
    database: Database, monkeypatch: pytest.MonkeyPatch, passes: bool
) -> None:
    async with tracing(database, monkeypatch, passes=passes) as at:
        plain = await at.stand.endpoint(at.receiver.url, secret=SECRET)
        await at.stand.endpoint(
            at.receiver.url.replace("/hook", "/own"), secret=SECRET, headers={"TraceParent": "mine"}
        )
        message_id = await at.message(1)
        spans = {one.attributes["angarium.endpoint"]: one for one in await at.linked(1, message_id, 2)}
        for request in await at.receiver.wait_for(2):
            sent = [value for name, value in request.headers if name.lower() == "traceparent"]
            if request.path == "/own":
                assert sent == ["mine"]
            else:
                span = spans[plain]
                assert sent == ([f"00-{span.trace_id}-{span.span_id}-01"] if passes else [])
            assert not any(trace(1) in value for _, value in request.headers)
            assert not {"tracestate", "baggage"} & {name.lower() for name, _ in request.headers}
            verify(request.body, dict(request.headers), SECRET)


@pytest.mark.parametrize("name", ["bluum", "bluma", "bloom"])
async def test_messages_of_a_product_are_linked_and_keep_its_form(
    database: Database, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with tracing(database, monkeypatch, product(name)) as at:
        await at.stand.endpoint(at.receiver.url)
        await at.post("/msg")
        (plain,) = await at.receiver.wait_for(1)
        await at.linked(1, await at.message(1), 1)
        traced = at.receiver.requests[1]
    names = [one for one, _ in traced.headers]
    names.remove("traceparent")
    assert names == [one for one, _ in plain.headers]


async def test_nothing_is_asked_of_tracing_that_is_off(database: Database) -> None:
    off = Untouched()
    async with (
        Receiver() as receiver,
        standing(database, standard("50ms"), clock=SystemClock(), tracer=off) as stand,
        serving(stand.app) as url,
        httpx.AsyncClient(base_url=f"{url}/api/v1/app/{stand.app_id}", headers=asking(1)) as client,
    ):
        await stand.endpoint(receiver.url)
        receiver.plan(Reply(500))
        client.headers["authorization"] = f"Bearer {stand.services.token.for_organization(ORG)}"
        for path, body, way in (
            ("/msg", MESSAGE, {}),
            ("/msg", MESSAGE, {"origin": "https://x.example"}),
            ("/msg/batch", {"messages": [MESSAGE]}, {}),
            ("/msg", MESSAGE, {}),  # now that the token is known, at once
        ):
            answer = await client.post(path, json=body, headers=way)
            assert answer.status_code == 202, answer.text
        await stand.world.until_states({0: 4})
        assert len(receiver.requests) == 5
        rows = await stand.world.fetch("select trace from message")
        assert [row["trace"] for row in rows] == [None] * 4
    assert off.asked == []
