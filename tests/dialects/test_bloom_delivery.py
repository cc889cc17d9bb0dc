"""Bloom's deliveries: schedule, timeout, signatures, disabling and recovery."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook
from svix.webhooks import WebhookVerificationError

from angarium import profiles
from angarium.clock import SystemClock
from angarium.core.schedule import parse_schedule
from angarium.core.signature import Signer
from angarium.store.database import Database
from tests.e2e.verifier import Case, judged
from tests.kit.receiver import Receiver, Reply, redirect
from tests.kit.stand import Stand, product, standing

DAY = 86400.0
GAPS = [5, 300, 1800, 7200, 18000, 36000, 36000]


def bloom(**delivery: Any) -> Any:
    """The product as it ships, without the randomness of its delays."""
    return product("bloom", jitter=(0.0, 0.0), **delivery)


def gaps(times: list[float]) -> list[float]:
    return [round(b - a, 3) for a, b in itertools.pairwise(times)]


async def state(stand: Stand, message: str) -> str:
    """What became of a message at its only endpoint."""
    rows = await stand.native("GET", f"/msg/{message}/endpoint", expanded_statuses="true")
    return {0: "delivered", 1: "pending", 2: "failed", 3: "sending", 4: "canceled"}[rows["data"][0]["status"]]


async def test_eight_attempts_at_the_documented_times_and_then_no_more(database: Database) -> None:
    async with Receiver() as receiver, standing(database, bloom()) as stand:
        receiver.default = Reply(500)
        await stand.endpoint(receiver.url)
        message = await stand.send("tradeline.opened")
        times = await stand.schedule()
        assert gaps(times) == GAPS
        assert round(times[-1] - times[0], 3) == 27 * 3600 + 35 * 60 + 5
        assert await state(stand, message["id"]) == "failed"
        await stand.clock.advance_to(stand.clock.now() + 3 * DAY)
        assert await stand.to_next_attempt() is None
        assert len(receiver.requests) == 8


async def test_a_delay_grows_by_a_twentieth_at_most_and_never_shrinks(database: Database) -> None:
    async with Receiver() as receiver, standing(database, product("bloom")) as stand:
        receiver.default = Reply(500)
        await stand.endpoint(receiver.url)
        await stand.send("tradeline.opened")
        measured = gaps(await stand.schedule())
        for gap, documented in zip(measured, GAPS, strict=True):
            assert documented <= gap <= documented * 1.05 + 0.001


async def test_success_after_three_failures_comes_35_minutes_and_5_seconds_after_the_first(
    database: Database,
) -> None:
    async with Receiver() as receiver, standing(database, bloom()) as stand:
        receiver.plan(Reply(500), redirect("http://127.0.0.1:9/"), Reply(404))
        await stand.endpoint(receiver.url)
        message = await stand.send("tradeline.opened")
        times = await stand.schedule()
        assert round(times[-1] - times[0], 3) == 35 * 60 + 5
        assert await state(stand, message["id"]) == "delivered"


async def test_l18a_the_next_attempt_is_told_beforehand(database: Database) -> None:
    async with Receiver() as receiver, standing(database, bloom()) as stand:
        receiver.default = Reply(500)
        await stand.endpoint(receiver.url)
        message = await stand.send("tradeline.opened")
        assert await stand.to_next_attempt() is not None
        rows = await stand.native("GET", f"/msg/{message['id']}/endpoint")
        assert rows["data"][0]["nextAttempt"] is not None
        await stand.to_next_attempt()
        assert stand.clock.now() - 1_800_000_000.0 == pytest.approx(5, abs=0.01)


async def test_any_2xx_is_a_success_whatever_the_body_says(database: Database) -> None:
    async with Receiver() as receiver, standing(database, bloom()) as stand:
        receiver.plan(Reply(200, body=b'{"error": true}'))
        await stand.endpoint(receiver.url)
        message = await stand.send("user.created")
        await stand.until_attempts(1)
        assert await state(stand, message["id"]) == "delivered"


async def test_an_answer_within_15_seconds_is_in_time_and_a_later_one_is_not(database: Database) -> None:
    """In real time, both at once, with room for a busy machine; the exact number is the profile's."""
    shipped = profiles.load("bloom").delivery.timeout
    assert shipped == "15s"
    async with (
        Receiver() as prompt,
        Receiver() as late,
        standing(database, bloom(timeout=shipped), clock=SystemClock()) as stand,
    ):
        prompt.default, late.default = Reply(200, delay=10), Reply(200, delay=30)
        names = {await stand.endpoint(prompt.url): "prompt", await stand.endpoint(late.url): "late"}
        message = await stand.send("user.created")
        await stand.until_attempts(2)
        attempts = (await stand.native("GET", f"/attempt/msg/{message['id']}"))["data"]
        found = {names[one["endpointId"]]: one for one in attempts}
        assert found["prompt"]["status"] == 0
        assert found["late"]["status"] != 0
        assert 15_000 <= found["late"]["responseDurationMs"] < 30_000


async def test_the_request_on_the_wire_and_the_verifiers_of_receivers(database: Database) -> None:
    data = {"tradeline_id": "trd_1", "note": "é \u2028 🏦", "big": 12345678901234567890}
    async with Receiver() as receiver, standing(database, bloom(), clock=SystemClock()) as stand:
        endpoint = await stand.endpoint(receiver.url)
        message = await stand.send("tradeline.opened", data)
        (request,) = await receiver.wait_for(1)
        secret = (await stand.native("GET", f"/endpoint/{endpoint}/secret"))["key"]
        assert list(json.loads(request.body)) == ["type", "timestamp", "data"]
        assert json.loads(request.body)["type"] == "tradeline.opened"
        assert json.loads(request.body)["data"] == data
        assert json.loads(request.body)["timestamp"].endswith("Z")
        assert request.header("content-type") == "application/json"
        assert request.header("user-agent") == "Bloom-Webhooks/1.0"
        assert request.header("svix-id") == message["id"]
        assert message["id"].startswith("msg_")
        assert abs(int(request.header("svix-timestamp") or 0) - time.time()) < 60
        signature = request.header("svix-signature") or ""
        assert signature.startswith("v1,")
        for part in ("id", "timestamp", "signature"):
            assert request.header(f"svix-{part}") == request.header(f"webhook-{part}")
        assert endpoint.startswith("ep_")
        await stand.until_attempts(1)
        (attempt,) = (await stand.native("GET", f"/attempt/msg/{message['id']}"))["data"]
        assert attempt["id"].startswith("atmpt_")
        for family in ("svix", "webhook"):
            cases = [Case.of(request, secret, family), Case.of(request, secret, family, flip=20)]
            said = await judged(cases, family)
            assert set(map(tuple, said.values())) == {(True, False)}, said


async def test_both_keys_verify_while_a_new_one_replaces_the_old(database: Database) -> None:
    async with Receiver() as receiver, standing(database, bloom(), clock=SystemClock()) as stand:
        endpoint = await stand.endpoint(receiver.url)
        old = (await stand.native("GET", f"/endpoint/{endpoint}/secret"))["key"]
        await stand.native("POST", f"/endpoint/{endpoint}/secret/rotate", {})
        new = (await stand.native("GET", f"/endpoint/{endpoint}/secret"))["key"]
        assert old != new
        await stand.send("user.created")
        (request,) = await receiver.wait_for(1)
        assert len((request.header("svix-signature") or "").split(" ")) == 2
        headers = {name.lower(): value for name, value in request.headers}
        for secret in (old, new):
            SvixWebhook(secret).verify(request.body, headers)
            StandardWebhook(secret).verify(request.body, headers)
        with pytest.raises(WebhookVerificationError):
            SvixWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").verify(request.body, headers)


async def test_the_documented_signature_is_what_we_make() -> None:
    signer = Signer("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_after_five_days_of_only_failures_the_endpoint_is_disabled_and_can_be_enabled(
    database: Database,
) -> None:
    """And then a recover sends each failed or canceled message once."""
    async with Receiver() as receiver, standing(database, bloom()) as stand:
        receiver.default = Reply(500)
        endpoint, start = await stand.endpoint(receiver.url), stand.clock.now()
        sent = []
        for day in (0, 2, 4):
            await stand.clock.advance_to(max(stand.clock.now(), start + day * DAY))
            sent.append((await stand.send("user.synced"))["id"])
            await stand.schedule()
        shown = await stand.native("GET", f"/endpoint/{endpoint}")
        assert shown["disabled"] is True
        failed = len(receiver.requests)
        assert failed == 3 * 8

        await stand.native("PATCH", f"/endpoint/{endpoint}", {"disabled": False})
        # canceled ones are recovered too: those that were pending when the customer disabled it
        pending = (await stand.send("user.synced"))["id"]
        await stand.to_next_attempt()
        await stand.native("PATCH", f"/endpoint/{endpoint}", {"disabled": True})
        assert await state(stand, pending) == "canceled"
        await stand.native("PATCH", f"/endpoint/{endpoint}", {"disabled": False})

        receiver.default = Reply(200)
        before = len(receiver.requests)
        window = {"since": _time(start)}
        counted = await stand.native("GET", f"/endpoint/{endpoint}/recover", **window)
        assert counted == {"messages": 4}
        task = await stand.native("POST", f"/endpoint/{endpoint}/recover", window)
        await stand.run_tasks()
        done = await stand.native("GET", f"//background-task/{task['id']}")
        assert done["data"]["messagesSent"] == counted["messages"]
        await receiver.wait_for(before + 4)
        await stand.until_attempts(before + 4)
        got = [request.header("svix-id") for request in receiver.requests[before:]]
        assert sorted(got) == sorted([*sent, pending])  # type: ignore[type-var]
        for message in (*sent, pending):
            assert await state(stand, message) == "delivered"
        assert await stand.native("GET", f"/endpoint/{endpoint}/recover", **window) == {"messages": 0}
        assert (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"] is False


async def test_one_success_on_the_fourth_day_and_the_endpoint_stays(database: Database) -> None:
    async with Receiver() as receiver, standing(database, bloom()) as stand:
        receiver.default = Reply(500)
        endpoint, start = await stand.endpoint(receiver.url), stand.clock.now()
        for day in (0, 2, 4, 6, 7):
            await stand.clock.advance_to(max(stand.clock.now(), start + day * DAY))
            if day == 4:
                receiver.plan(Reply(200))
            await stand.send("user.synced")
            await stand.schedule()
        assert (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"] is False


async def test_an_endpoint_that_is_removed_or_disabled_gets_nothing_more(database: Database) -> None:
    async with Receiver() as receiver, standing(database, bloom()) as stand:
        receiver.default = Reply(500)
        removed, disabled = await stand.endpoint(receiver.url), await stand.endpoint(receiver.url)
        await stand.send("user.closed")
        await receiver.wait_for(2)
        await stand.until_attempts(2)
        await stand.native("DELETE", f"/endpoint/{removed}")
        await stand.native("PATCH", f"/endpoint/{disabled}", {"disabled": True})
        await stand.run_tasks()
        await stand.clock.advance_to(stand.clock.now() + 2 * DAY)
        assert await stand.to_next_attempt() is None
        assert len(receiver.requests) == 2


async def test_a_message_can_be_sent_again_at_any_time(database: Database) -> None:
    """After success, after the last attempt, and beside the retries that still wait."""
    async with Receiver() as receiver, standing(database, bloom(retries="5s")) as stand:
        endpoint = await stand.endpoint(receiver.url)

        async def resend(message: dict[str, Any]) -> None:
            before = len(receiver.requests)
            await stand.native("POST", f"/msg/{message['id']}/endpoint/{endpoint}/resend")
            again = (await receiver.wait_for(before + 1))[before]
            await stand.until_attempts(before + 1)
            first = next(r for r in receiver.requests if r.header("svix-id") == message["id"])
            assert again.header("svix-id") == message["id"]
            assert again.body == first.body

        succeeded = await stand.send("user.created")
        await stand.until_attempts(1)
        await resend(succeeded)
        assert await state(stand, succeeded["id"]) == "delivered"
        receiver.plan(Reply(500), Reply(500))
        exhausted = await stand.send("user.created")
        await stand.schedule()
        assert await state(stand, exhausted["id"]) == "failed"
        await resend(exhausted)
        assert await state(stand, exhausted["id"]) == "delivered"
        receiver.plan(Reply(500))
        waiting = await stand.send("user.created")
        await receiver.wait_for(6)
        await stand.until_attempts(6)
        await resend(waiting)
        assert await state(stand, waiting["id"]) == "delivered"


async def test_all_that_failed_since_a_message_is_replayed_and_nothing_older(database: Database) -> None:
    async with Receiver() as receiver, standing(database, bloom(retries="5s")) as stand:
        endpoint = await stand.endpoint(receiver.url)
        receiver.default = Reply(500)
        sent = []
        for _ in range(4):
            sent.append(await stand.send("user.updated"))
            await stand.schedule()
        receiver.plan(Reply(200))
        delivered = await stand.send("user.updated")
        await stand.schedule()
        receiver.default = Reply(200)
        before = len(receiver.requests)
        since = {"since": sent[1]["timestamp"]}
        assert await stand.native("GET", f"/endpoint/{endpoint}/recover", **since) == {"messages": 3}
        await stand.native("POST", f"/endpoint/{endpoint}/recover", since)
        await stand.run_tasks()
        await receiver.wait_for(before + 3)
        await stand.until_attempts(before + 3)
        got = {request.header("svix-id") for request in receiver.requests[before:]}
        assert got == {message["id"] for message in sent[1:]}
        assert delivered["id"] not in got
        assert await state(stand, sent[0]["id"]) == "failed"


async def test_a_recover_keeps_to_its_window(database: Database) -> None:
    async with Receiver() as receiver, standing(database, bloom(retries="5s")) as stand:
        endpoint = await stand.endpoint(receiver.url)
        receiver.default = Reply(500)
        times = []
        for _ in range(3):
            times.append(stand.clock.now())
            await stand.send("user.updated")
            await stand.schedule()
            await stand.clock.advance_to(stand.clock.now() + 3600)
        window = {"since": _time(times[1] - 60), "until": _time(times[2] - 60)}
        assert await stand.native("GET", f"/endpoint/{endpoint}/recover", **window) == {"messages": 1}
        refused = {"since": _time(stand.clock.now() - 15 * DAY)}
        with pytest.raises(AssertionError, match="422"):
            await stand.native("GET", f"/endpoint/{endpoint}/recover", **refused)


async def test_410_disables_at_once_and_retry_after_is_respected(database: Database) -> None:
    """1.9, 18."""
    async with Receiver() as receiver, standing(database, bloom()) as stand:
        endpoint = await stand.endpoint(receiver.url)
        receiver.plan(Reply(429, headers=[("retry-after", "90")]), Reply(410))
        await stand.send("user.updated")
        times = await stand.schedule()
        assert gaps(times) == [90]
        assert (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"] is True


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def test_the_profile_says_what_the_table_of_products_says() -> None:
    profile = profiles.load("bloom")
    assert list(parse_schedule(profile.delivery.retries)) == GAPS
    assert profile.delivery.jitter == (0.0, 0.05)
    assert profile.disable.failing_seconds == 5 * DAY
    assert profile.portal.lifetime_seconds == 7 * DAY
    assert profile.secrets.display == "reveal"
    assert msgspec.to_builtins(profile.ids) == {"message": "msg_", "endpoint": "ep_", "attempt": "atmpt_"}
    assert [scheme.family for scheme in profile.signing] == ["svix", "webhook"]
