"""Spans of attempts that fail or that a fault on our side holds up, and their trace ids in the log."""

from __future__ import annotations

import msgspec
from structlog.testing import capture_logs

from angarium.core.trace import OpenSpan
from angarium.dispatch.transport.resolver import SystemResolver
from angarium.dispatch.transport.sender import Sender
from angarium.service import trace
from tests.dispatch.test_our_faults import HOSTS, Names
from tests.kit.patience import until
from tests.kit.receiver import Receiver, Reply
from tests.kit.traced import Traced
from tests.kit.world import LOOPBACK, World

REQUEST = OpenSpan(b"t" * 16, b"s" * 8, None, 0)


async def test_an_attempt_that_a_fault_of_ours_holds_up_has_a_span_and_so_has_the_one_that_follows(
    world: World,
) -> None:
    names, traced = Names(), Traced()
    names.dead = True
    resolver = SystemResolver(lookup=names.lookup)
    sender = Sender(
        policy=LOOPBACK, response_limit=1000, connections=100, resolver=resolver, now=world.clock.now
    )
    app = await world.application()
    async with Receiver() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        for host in HOSTS:
            await world.endpoint(app, f"http://{host}:{port}/hook")
        async with (
            world.dispatching(sender=sender, tracer=traced) as dispatcher,
            world.intake(dispatcher.hand_over, tracer=traced) as intake,
        ):
            trace.began(REQUEST)
            try:
                await intake.accept(world.draft(app))
            finally:
                trace.began(None)
            await until(lambda: bool(traced.named("attempt")))
            await until(lambda: bool(dispatcher._outages.faults))
            assert await world.fetch("select 1 from attempt") == []
            names.dead = False
            await world.until_states({0: len(HOSTS)})
    (accepted,) = traced.named("accept")
    attempts = traced.named("attempt")
    assert {tuple(one.links) for one in attempts} == {(accepted.span.context,)}
    held = [one for one in attempts if one.error is not None]
    assert held
    assert all("http.response.status_code" not in one.attributes for one in held)
    assert len(attempts) - len(held) == len(HOSTS)
    assert len({one.span.trace_id for one in attempts}) == len(attempts)
    # nothing was recorded of those that were held up, so the others are no repetitions
    assert not any("http.request.resend_count" in one.attributes for one in attempts)


async def test_the_log_line_of_an_attempt_names_its_trace_if_it_has_one(world: World) -> None:
    traced = Traced()
    app = await world.application()
    async with Receiver() as receiver:
        receiver.plan(Reply(500))
        await world.endpoint(app, receiver.url)
        with capture_logs() as lines:
            async with (
                world.dispatching(tracer=traced) as dispatcher,
                world.intake(dispatcher.hand_over, tracer=traced) as intake,
            ):
                trace.began(REQUEST)
                try:
                    await intake.accept(world.draft(app))
                finally:
                    trace.began(None)
                await world.until_states({0: 1})
                await intake.accept(world.draft(app))
                await world.until_states({0: 2})
    told = [line for line in lines if line["event"] == "delivery.attempted"]
    spans = traced.named("attempt")
    assert [line.get("trace_id") for line in told] == [*(one.span.trace_id.hex() for one in spans), None]
    assert "trace_id" not in told[2]
    assert [one.error for one in spans] == ["http_500", None]
    assert [one.attributes.get("http.request.resend_count") for one in spans] == [None, 1]
    assert msgspec.json.encode(told[0])
