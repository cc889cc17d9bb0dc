"""What Bluma's receivers get, when, and what the log shows."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
from datetime import datetime
from typing import Any

import pytest

from angarium import profiles
from angarium.core import ids
from angarium.core.errors import BodyTooLarge
from angarium.core.signature import Signer
from angarium.service.application import ApplicationDraft
from angarium.service.endpoint_field import EndpointDraft
from angarium.store.database import Database
from tests.dialects.bluma import COMPLETED, ORG, Customer, Stand, bluma, standing
from tests.e2e.verifier import Case, judged
from tests.kit.clock import ManualClock
from tests.kit.patience import until
from tests.kit.receiver import Received, Receiver, Reply, Silence, redirect

ROW = ["id", "event_id", "event_type", "attempt_number", "status_code", "duration_ms", "error_message"]
EXACT: dict[str, Any] = {"jitter": (0.0, 0.0)}


def check(request: Received, secret: str) -> None:
    """The signatures, by the documents' own words."""
    digest = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    assert request.header("X-Bluma-Signature") == f"sha256={digest}"
    stamp = int(request.header("webhook-timestamp") or "0")
    signed = Signer(secret).sign(request.header("webhook-id") or "", stamp, request.body)
    assert signed in (request.header("webhook-signature") or "").split(" ")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def fail(stand: Stand, customer: Customer, receiver: Receiver, times: int) -> None:
    """So many failed attempts in a row, in virtual time."""
    wanted = stand.seen + times
    while stand.seen < wanted:
        if await stand.to_next_attempt() is None:
            await stand.emit(customer)


async def test_the_request_is_as_documented(database: Database) -> None:
    async with standing(database) as stand, Receiver() as receiver:
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        endpoint = ids.parse("webhook_", made["id"])
        assert endpoint is not None
        own = {"x-bluma-signature": "sha256=forged", "X-Own": "1"}
        await stand.services.endpoint.set_headers(customer.application.id, ids.text("ep_", endpoint), own)
        event_id = await stand.emit(customer)
        (request,) = await receiver.wait_for(1)
        assert request.header("x-own") == "1"
        assert (request.method, request.path) == ("POST", "/hook")
        body = json.loads(request.body)
        assert list(body) == ["id", "type", "created_at", "data"]
        assert (body["id"], body["type"], body["data"]) == (event_id, "video.completed", COMPLETED)
        assert event_id.startswith("evt_")
        assert body["created_at"].endswith("Z")
        check(request, made["secret"])
        names = [name.lower() for name, _ in request.headers]
        assert names.count("x-bluma-signature") == 1
        assert request.header("X-Bluma-Event-Id") == event_id == request.header("webhook-id")
        assert request.header("X-Bluma-Event-Type") == "video.completed"
        assert request.header("user-agent") == "Bluma-Webhooks/1.0"
        assert request.header("content-type") == "application/json"
        assert request.header("content-encoding") is None
        assert request.header("svix-id") is None


async def test_the_log_has_exactly_the_documented_keys(database: Database) -> None:
    async with standing(database) as stand, Receiver() as receiver:
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        event_id = await stand.emit(customer)
        await stand.until_attempts(1)
        (row,) = await customer.deliveries(made["id"])
        assert list(row) == [*ROW, "created_at"], "no next_retry_at after a success"
        assert row["id"].startswith("delivery_")
        assert (row["event_id"], row["event_type"]) == (event_id, "video.completed")
        assert (row["attempt_number"], row["status_code"], row["error_message"]) == (1, 200, None)
        assert isinstance(row["duration_ms"], int)
        assert row["created_at"].endswith("Z")


async def test_an_answer_after_five_seconds_is_a_connection_timeout(database: Database) -> None:
    """In real time with room for a busy machine; the exact number is the profile's."""
    shipped = profiles.load("bluma").delivery.timeout
    assert shipped == "5s"
    made_of = bluma(timeout=shipped, retries="1h")
    async with standing(database, product=made_of) as stand, Receiver() as receiver, Receiver() as slow:
        receiver.default, slow.default = Silence(), Reply(200, delay=0.5)
        customer = await stand.customer()
        late, made = await customer.webhook(slow.url), await customer.webhook(receiver.url)
        await stand.emit(customer)
        await stand.until_attempts(2)
        (row,) = await customer.deliveries(made["id"])
        assert list(row) == [*ROW, "next_retry_at", "created_at"]
        assert (row["status_code"], row["error_message"]) == (500, "Connection timeout")
        assert 5000 <= row["duration_ms"] < 25_000
        assert (await customer.deliveries(late["id"]))[0]["status_code"] == 200, "half a second is in time"


async def test_four_retries_at_3_s_5_min_30_min_and_1_h(database: Database) -> None:
    clock = ManualClock()
    async with standing(database, clock=clock, product=bluma(**EXACT)) as stand, Receiver() as receiver:
        receiver.default = Reply(500)
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        event_id = await stand.emit(customer)
        times = []
        while (time := await stand.to_next_attempt()) is not None:
            times.append(time)
            newest, *older = await customer.deliveries(made["id"])
            if len(times) < 5:
                assert newest["attempt_number"] == len(times)
                # how long the attempt took is real, and virtual time stood still meanwhile
                ended = at(newest["created_at"]) - newest["duration_ms"] / 1000
                wait = at(newest["next_retry_at"]) - ended
                assert wait == pytest.approx((3, 300, 1800, 3600)[len(times) - 1], abs=0.5)
            assert not any("next_retry_at" in row for row in older), "only when a retry is due"
        gaps = [round(b - a, 3) for a, b in itertools.pairwise(times)]
        assert gaps == [3, 300, 1800, 3600]
        rows = await customer.deliveries(made["id"])
        assert "next_retry_at" not in rows[0], "the last of the schedule"
        assert {row["event_id"] for row in rows} == {event_id}
        bodies = {request.body for request in receiver.requests}
        stamps = [request.header("webhook-timestamp") for request in receiver.requests]
        assert (len(bodies), len(set(stamps))) == (1, 5)
        for request in receiver.requests:
            check(request, made["secret"])


async def test_the_delays_vary_by_a_tenth(database: Database) -> None:
    clock = ManualClock()
    async with standing(database, clock=clock) as stand, Receiver() as receiver:
        receiver.default = Reply(500)
        customer = await stand.customer()
        await customer.webhook(receiver.url)
        await stand.emit(customer)
        times = []
        while (time := await stand.to_next_attempt()) is not None:
            times.append(time)
        gaps = [b - a for a, b in itertools.pairwise(times)]
        assert gaps == [pytest.approx(delay, rel=0.11) for delay in (3, 300, 1800, 3600)]
        assert gaps != [3, 300, 1800, 3600]


async def test_the_log_is_newest_or_oldest_first_and_continues_after_a_page(
    database: Database,
) -> None:
    async with standing(database) as stand, Receiver() as receiver:
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        sent = []
        for count in range(1, 6):
            sent.append(await stand.emit(customer))
            await stand.until_attempts(count)
        log = f"/webhooks/{made['id']}/deliveries"
        for order, expected in (("desc", sent[::-1]), ("asc", sent)):
            seen: list[str] = []
            more: dict[str, Any] = {}
            while True:
                page = await customer.call("GET", log, limit=2, order=order, **more)
                assert list(page) == ["deliveries", "next_cursor", "has_more"]
                seen += [row["event_id"] for row in page["deliveries"]]
                if not page["has_more"]:
                    break
                more = {"cursor": page["next_cursor"]}
            assert seen == expected
        assert [row["event_id"] for row in await customer.deliveries(made["id"])] == sent[::-1]
        await customer.call("GET", log, status=400, cursor="delivery_x")
        outsider = await stand.customer("outsider")
        await outsider.call("GET", log, status=404)


FAILURES = (
    (Reply(401), 401, "this endpoint's secret"),
    (Reply(404), 404, "Check the path in the URL"),
    (redirect("/elsewhere"), 302, "Redirects are not followed"),
    (Reply(500, b"boom"), 500, "log at the time"),
    (Reply(413), 413, "body limit"),
)


async def test_a_failure_is_described_with_advice(database: Database) -> None:
    async with standing(database, product=bluma(retries="1h")) as stand, Receiver() as receiver:
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        for count, (reply, code, words) in enumerate(FAILURES, 1):
            receiver.plan(reply)
            event_id = await stand.emit(customer)
            await stand.until_attempts(count)
            rows = await customer.deliveries(made["id"])
            row = next(one for one in rows if one["event_id"] == event_id)
            assert row["status_code"] == code
            assert words in row["error_message"]
        assert {request.path for request in receiver.requests} == {"/hook"}, "no redirect was followed"


async def test_a_2xx_whose_body_says_failure_is_a_success_and_nothing_listening_is_500(
    database: Database,
) -> None:
    async with standing(database, product=bluma(retries="1h")) as stand, Receiver() as receiver:
        receiver.default = Reply(200, b'{"error": true}')
        customer = await stand.customer()
        good = await customer.webhook(receiver.url)
        gone = await customer.webhook("http://127.0.0.1:1/hook")
        await stand.emit(customer)
        await stand.until_attempts(2)
        assert (await customer.deliveries(good["id"]))[0]["error_message"] is None
        (row,) = await customer.deliveries(gone["id"])
        assert row["status_code"] == 500, "what the documented log shows when nothing answered"
        assert "Nothing is listening" in row["error_message"]
        assert "next_retry_at" in row


async def test_410_disables_and_retry_after_postpones(database: Database) -> None:
    clock = ManualClock()
    async with standing(database, clock=clock, product=bluma(**EXACT)) as stand, Receiver() as receiver:
        receiver.plan(Reply(429, headers=[("retry-after", "120")]), Reply(410))
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        await stand.emit(customer)
        first = await stand.to_next_attempt()
        second = await stand.to_next_attempt()
        assert first is not None
        assert second is not None
        assert second - first == pytest.approx(120, abs=0.01)
        seen = await customer.call("GET", f"/webhooks/{made['id']}")
        assert (seen["is_active"], seen["disabled_reason"]) == (False, "gone")


async def test_ten_failed_attempts_in_a_row_disable_and_the_operator_was_warned(
    database: Database,
) -> None:
    """Acceptance 11, with the operator's alerts delivered to an endpoint of their own."""
    clock = ManualClock()
    async with (
        standing(database, clock=clock, product=bluma(**EXACT)) as stand,
        Receiver() as receiver,
        Receiver() as operator,
    ):
        receiver.default = Reply(500)
        alarms = await stand.services.application.create("org_operations", ApplicationDraft("Bluma", uid=ORG))
        alarm = await stand.services.endpoint.create(alarms, EndpointDraft(operator.url))
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        one = f"/webhooks/{made['id']}"
        for count, alerts in ((4, 0), (1, 1), (1, 1), (1, 2), (1, 2), (1, 3)):
            await fail(stand, customer, receiver, count)
            await operator.wait_for(alerts)
            assert (await customer.call("GET", one))["is_active"] is True
        await stand.emit(customer)  # one more is pending when the tenth fails
        await fail(stand, customer, receiver, 1)
        await operator.wait_for(4)
        told = [json.loads(request.body) for request in operator.requests]
        assert [one["type"] for one in told] == ["endpoint.failing"] * 3 + ["endpoint.disabled"]
        assert [one["data"].get("failures") for one in told] == [5, 7, 9, None]
        assert [one["data"]["endpointUid"] for one in told] == [None] * 4
        assert {one["data"]["appUid"] for one in told} == {customer.application.uid}
        assert [one["data"].get("fraction") for one in told] == [0.5, 0.7, 0.9, None]
        secret = alarm.keys[0].secret
        for request in operator.requests:
            stamp = int(request.header("webhook-timestamp") or "0")
            expected = Signer(secret).sign(request.header("webhook-id") or "", stamp, request.body)
            assert request.header("webhook-signature") == expected

        seen = await customer.call("GET", one)
        assert (seen["is_active"], seen["disabled_reason"]) == (False, "failing")
        rows = await stand.world.fetch("select state, due_at from delivery where endpoint_id <> $1", alarm.id)
        assert not any(row["due_at"] for row in rows), "what was pending is stopped"
        log = await customer.deliveries(made["id"])
        assert len(log) >= 10, "the log can still be read"
        assert not any("next_retry_at" in row for row in log)
        assert all("log at the time" in row["error_message"] for row in log)

        made_before = receiver.count
        await stand.emit(customer)
        await clock.advance_to(clock.now() + 7200)
        assert receiver.count == made_before, "nothing is sent to a disabled webhook"

        # enabling starts again
        assert (await customer.call("POST", f"{one}/enable"))["is_active"] is True
        (row,) = await stand.world.fetch("select count(*) from endpoint_health where failures > 0")
        assert row[0] == 0
        await fail(stand, customer, receiver, 4)
        assert (await customer.call("GET", one))["is_active"] is True, "fourteen, but only four since"

        # and so does another URL
        await fail(stand, customer, receiver, 5)
        await customer.call("PATCH", one, {"url": f"{receiver.url}/moved"})
        await fail(stand, customer, receiver, 9)
        assert (await customer.call("GET", one))["is_active"] is True, "nine, and nine before it moved"

        # and so does a new one in its place
        await customer.call("DELETE", one, status=204)
        fresh = await customer.webhook(receiver.url)
        await fail(stand, customer, receiver, 9)
        assert (await customer.call("GET", f"/webhooks/{fresh['id']}"))["is_active"] is True


async def test_what_a_disabled_webhook_missed_can_be_recovered(database: Database) -> None:
    async with standing(database, product=bluma(retries="1h")) as stand, Receiver() as receiver:
        receiver.default = Reply(500)
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        one = f"/webhooks/{made['id']}"
        sent = [await stand.emit(customer) for _ in range(10)]

        async def disabled() -> bool:
            return not (await customer.call("GET", one))["is_active"]

        await until(disabled)
        receiver.default = Reply(200)
        since = {"since": made["created_at"]}
        for wrong in (
            {},
            {"since": "yesterday"},
            {"since": 7},
            {"since": "2020-01-01T00:00:00Z"},
            {"since": "9999-12-31T23:59:59-10:00"},
        ):
            await customer.call("POST", f"{one}/recover", wrong, status=400)
        await customer.call("POST", f"{one}/recover", since, status=202)
        await stand.run_tasks()
        assert receiver.count == 10, "it waits until the webhook is enabled"
        await customer.call("POST", f"{one}/enable")
        await receiver.wait_for(20)
        again = [request.header("webhook-id") for request in receiver.requests[10:]]
        assert sorted(str(one) for one in again) == sorted(sent)
        await stand.world.until_states({0: 10})


async def test_a_success_resets_the_count(database: Database) -> None:
    clock = ManualClock()
    async with standing(database, clock=clock, product=bluma(**EXACT)) as stand, Receiver() as receiver:
        receiver.plan(*[Reply(500)] * 9, Reply(204), *[Reply(500)] * 9, Reply(200))
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        await fail(stand, customer, receiver, 20)
        assert (await customer.call("GET", f"/webhooks/{made['id']}"))["is_active"] is True


async def test_manual_resends_never_count(database: Database) -> None:
    async with standing(database, product=bluma(retries="1h")) as stand, Receiver() as receiver:
        receiver.default = Reply(500)
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        event_id = await stand.emit(customer)
        await stand.until_attempts(1)
        (row,) = await stand.world.fetch("select message_id, endpoint_id from delivery")
        message, endpoint = ids.text("msg_", row[0]), ids.text("ep_", row[1])
        for count in range(2, 14):
            await stand.services.replay.resend(customer.application.id, message, endpoint)
            await stand.until_attempts(count)
        log = await customer.deliveries(made["id"])
        assert [one["attempt_number"] for one in log] == list(range(13, 0, -1))
        assert {one["event_id"] for one in log} == {event_id}
        assert "next_retry_at" in log[0], "the schedule continues"
        assert (await customer.call("GET", f"/webhooks/{made['id']}"))["is_active"] is True
        (health,) = await stand.world.fetch("select failures from endpoint_health")
        assert health["failures"] == 1


async def test_a_test_is_one_attempt_that_never_counts(database: Database) -> None:
    clock = ManualClock()
    async with standing(database, clock=clock, product=bluma(**EXACT)) as stand, Receiver() as receiver:
        receiver.default = Reply(500)
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        endpoint = ids.parse("webhook_", made["id"])
        for _ in range(15):
            await stand.emit(customer, endpoint_id=endpoint)
            assert len(await stand.schedule()) == 1
        assert len(await customer.deliveries(made["id"])) == 15
        assert (await customer.call("GET", f"/webhooks/{made['id']}"))["is_active"] is True
        assert await stand.world.fetch("select failures from endpoint_health where failures > 0") == []


async def test_deleting_a_webhook_stops_what_is_pending(database: Database) -> None:
    clock = ManualClock()
    async with standing(database, clock=clock, product=bluma(**EXACT)) as stand, Receiver() as receiver:
        receiver.default = Reply(500)
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        await stand.emit(customer)
        await fail(stand, customer, receiver, 2)
        await customer.call("DELETE", f"/webhooks/{made['id']}", status=204)
        assert await stand.to_next_attempt() is None
        await clock.advance_to(clock.now() + 86400)
        assert receiver.count == 2


# what Node and Python must read as the same bytes
BODIES: dict[str, bytes] = {
    "emoji": '{"a":"🎬 é ü\u2028\u2029"}'.encode(),
    "escapes": rb'{"a":"\u00e9\ud83c\udfac\u2028"}',
    "big numbers": b'{"n":12345678901234567890123456789,"f":1.000000000000000000001,"e":1E400}',
    "spaces": b'{ "a" :\t[1,\n 2 ] }',
}


async def test_the_bytes_of_the_payload_are_sent_as_they_came(database: Database) -> None:
    async with standing(database) as stand, Receiver() as receiver:
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        for count, body in enumerate(BODIES.values(), 1):
            await stand.emit(customer, data=body)
            request = (await receiver.wait_for(count))[-1]
            assert request.body.endswith(b'"data":' + body + b"}")
            check(request, made["secret"])
        cases = [Case.of(request, made["secret"]) for request in receiver.requests]
        cases += [Case.of(request, made["secret"], flip=40) for request in receiver.requests]
        said = await judged(cases, names=["standardwebhooks for Python", "standardwebhooks for Node"])
        expected = [True] * len(BODIES) + [False] * len(BODIES)
        assert set(map(tuple, said.values())) == {tuple(expected)}


async def test_a_message_of_100_kib_goes_out_and_a_byte_more_is_refused_with_413(
    database: Database,
) -> None:
    async with standing(database) as stand, Receiver() as receiver:
        customer = await stand.customer()
        await customer.webhook(receiver.url)
        await stand.emit(customer, data=b'""')
        (small,) = await receiver.wait_for(1)
        fits = b'"' + b"x" * (102400 - len(small.body)) + b'"'
        longer_time = 4  # the time of the event has milliseconds or has not
        await stand.emit(customer, data=fits[:-5] + b'"')
        _, large = await receiver.wait_for(2)
        assert 102400 - 10 <= len(large.body) <= 102400
        with pytest.raises(BodyTooLarge):
            await stand.emit(customer, data=fits[:-1] + b"x" * (longer_time + 1) + b'"')
        token = stand.services.token.for_organization(ORG)
        answer = await stand.client.post(
            "/api/v1/app/first/msg",
            json={"eventType": "video.completed", "payload": {"a": "x" * 102400}},
            headers={"authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 413
        assert "the limit is 102400" in answer.text


async def test_a_video_in_the_sandbox_gives_its_events_and_takes_credits(
    database: Database,
) -> None:
    async with standing(database) as stand, Receiver() as receiver:
        customer = await stand.customer()
        made = await customer.webhook(
            receiver.url, "video.queued", "video.processing", "video.completed", "video.failed",
            "credits.low", "credits.exhausted",
        )  # fmt: skip
        body = {"template_id": "meme-dialogue", "context": {"prompt": "Test video"}}
        answer = await customer.call("POST", "/videos", body, status=202)
        assert (answer["status"], answer["template_id"]) == ("queued", "meme-dialogue")
        assert answer["id"].startswith("batch_")
        await receiver.wait_for(3)
        events = [json.loads(request.body) for request in receiver.requests]
        assert [one["type"] for one in events] == ["video.queued", "video.processing", "video.completed"]
        assert {one["data"]["id"] for one in events} == {answer["id"]}
        assert len({one["id"] for one in events}) == 3
        assert set(COMPLETED) <= set(events[2]["data"])
        for request in receiver.requests:
            check(request, made["secret"])

        await customer.call("POST", "/videos", {"context": {}}, status=400)
        failing = {**body, "template_id": "always-fails"}
        for _ in range(11):
            await customer.call("POST", "/videos", failing, status=202)
        await receiver.wait_for(3 + 2 + 11 * 3)
        events = [json.loads(request.body) for request in receiver.requests]
        kinds = [one["type"] for one in events]
        assert kinds.count("video.failed") == 11
        (low,) = [one for one in events if one["type"] == "credits.low"]
        (none,) = [one for one in events if one["type"] == "credits.exhausted"]
        assert (low["data"], none["data"]) == ({"remaining": 9}, {"remaining": 0})
        failed = next(one["data"] for one in events if one["type"] == "video.failed")
        assert failed["user_id"]
        assert failed["error"]["detail"]


async def test_the_catalogue_has_the_documented_types_and_says_which_are_ours() -> None:
    events = {event.name: event for event in bluma().profile.events}
    documented = {"video.completed", "video.failed", "video.queued", "video.processing"}
    documented |= {"credits.low", "credits.exhausted"}
    assert {name for name, event in events.items() if not event.ours} == documented
    assert set(events) - documented == {"video.deleted"}
    assert all(event.description and event.example is not None for event in events.values())


async def test_deliveries_take_nothing_from_the_customers_own_calls(database: Database) -> None:
    """There is no allowance that deliveries could use up: a burst of them leaves the API as it was."""
    async with standing(database) as stand, Receiver() as receiver:
        customer = await stand.customer()
        made = await customer.webhook(receiver.url)
        await asyncio.gather(*(stand.emit(customer) for _ in range(200)))
        await receiver.wait_for(200)
        await stand.until_attempts(200)
        first: dict[str, Any] = await customer.call("GET", f"/webhooks/{made['id']}/deliveries", limit=250)
        assert len(first["deliveries"]) == 200
