"""What Bluum's receivers get, and when."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import svix.webhooks
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from angarium import profiles
from angarium.core.errors import BodyTooLarge
from angarium.core.signature import Signer
from angarium.store.database import Database
from tests.dialects.bluum import ACCOUNT, FILLED, Stand, bluum, standing
from tests.kit.clock import ManualClock
from tests.kit.patience import until
from tests.kit.receiver import Raw, Received, Receiver, Reply

TRANSFERS = [
    f"transfer.{kind}.{what}"
    for kind in ("deposit", "withdrawal")
    for what in ("initiated", "completed", "failed")
]
LADDER = (60, 300, 1800, 7200, 28800)


@pytest.fixture
async def stand(database: Database) -> AsyncIterator[Stand]:
    async with standing(database) as stand:
        yield stand


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def headers_of(request: Received) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


def event_of(request: Received) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(request.body)
    return event


# -------------------------------------------------------------------------------------------------- the wire


async def test_the_golden_request_of_bluum_on_the_wire(stand: Stand, receiver: Receiver) -> None:
    """One POST, signed over its exact bytes, with `application/json`."""
    tenant, _ = await stand.tenant()
    made = await tenant.webhook(receiver.url.replace("/hook", "/webhooks/bluum"), "order.*")
    event_id = await stand.send(tenant)
    (request,) = await receiver.wait_for(1)
    assert (request.method, request.path) == ("POST", "/webhooks/bluum")
    headers = headers_of(request)
    assert set(headers) - {"host", "content-length", "accept", "accept-encoding"} == {
        "content-type", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature",
    }  # fmt: skip
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["user-agent"] == "Bluum-Webhooks/1.0"
    assert headers["webhook-id"] == event_id
    assert re.fullmatch(r"evt_[0-9A-Za-z]{27}", event_id)
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert re.fullmatch(r"v1,[A-Za-z0-9+/]{43}=", headers["webhook-signature"])
    at = event_of(request)["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z", at)
    assert request.body.decode() == (
        '{"event":"order.filled","timestamp":"' + at + '","data":{"id":"ord_x9y8z7a6b5c4d3e2",'
        '"account_id":"3d0b0e65-35d3-4dcd-8df7-10286ebb4b4b","symbol":"AAPL","side":"buy",'
        '"status":"filled","filled_qty":"10","average_price":"178.50"},"id":"' + event_id + '"}'
    )
    for verifier in (Webhook(made["secret"]), svix.webhooks.Webhook(made["secret"])):
        verifier.verify(request.body.decode(), headers)
        with pytest.raises((WebhookVerificationError, svix.webhooks.WebhookVerificationError)):
            verifier.verify(request.body.decode().replace("178.50", "178.51"), headers)


async def test_the_time_is_the_events_and_whole_seconds_look_as_documented(
    stand: Stand, receiver: Receiver
) -> None:
    from angarium.core import ids
    from angarium.service.intake import Draft

    tenant, _ = await stand.tenant()
    await tenant.webhook(receiver.url, "order.*")
    app = ids.text(ids.APPLICATION, tenant.application.id)
    draft = Draft(stand.org_id, app, "order.filled", b"{}", occurred_at=1749997815.0)
    await stand.services.intake.accept(draft)
    (request,) = await receiver.wait_for(1)
    assert event_of(request)["timestamp"] == "2025-06-15T14:30:15Z"


async def test_the_documented_keys_come_first_and_the_id_can_be_left_out(database: Database) -> None:
    assert list(profiles.load("bluum").envelope) == ["event", "timestamp", "data", "id"]
    import msgspec

    profile = profiles.load("bluum")
    faithful = {name: value for name, value in profile.envelope.items() if name != "id"}
    product = bluum(msgspec.structs.replace(profile, envelope=faithful))
    async with standing(database, product=product) as stand, Receiver() as receiver:
        tenant, _ = await stand.tenant()
        await tenant.webhook(receiver.url, "order.*")
        await stand.send(tenant)
        (request,) = await receiver.wait_for(1)
        assert list(event_of(request)) == ["event", "timestamp", "data"]


async def test_any_text_arrives_byte_for_byte_and_more_than_100_kib_is_refused(
    stand: Stand, receiver: Receiver
) -> None:
    tenant, _ = await stand.tenant()
    made = await tenant.webhook(receiver.url, "order.*")
    data = '{"a":"é 😀 \u2028","n":123456789012345678901234567890}'
    await stand.send(tenant, data=data.encode())
    (request,) = await receiver.wait_for(1)
    assert f'"data":{data}'.encode() in request.body
    assert request.header("content-encoding") is None
    Webhook(made["secret"]).verify(request.body.decode(), headers_of(request))
    limit = stand.product.max_body
    assert limit == 100 * 1024
    with pytest.raises(BodyTooLarge):
        await stand.send(tenant, data={"a": "x" * limit})


# ------------------------------------------------------------------------------------------- who gets what


async def test_transfer_wildcard_gets_all_six_and_types_added_later_but_no_orders(
    stand: Stand, receiver: Receiver
) -> None:
    from angarium.service.event_type import EventTypeDraft

    tenant, _ = await stand.tenant()
    await tenant.webhook(receiver.url, "transfer.*")
    for name in ("order.filled", "account.created", "document.approved"):
        await stand.send(tenant, name)
    for name in TRANSFERS:
        await stand.send(tenant, name)
    await stand.services.event_type.create(
        stand.org_id, "transfer.internal.completed", EventTypeDraft("Added later")
    )
    await stand.send(tenant, "transfer.internal.completed")
    requests = await receiver.wait_for(7)
    assert {event_of(one)["event"] for one in requests} == {*TRANSFERS, "transfer.internal.completed"}
    names = [row["name"] for row in await tenant.listed("/webhooks/event-types")]
    assert names[-1] == "transfer.internal.completed"
    await stand.world.until_states({0: 7})  # and there was no other delivery


async def test_a_wildcard_is_of_whole_words_and_any_depth(stand: Stand, receiver: Receiver) -> None:
    tenant, _ = await stand.tenant()
    await tenant.webhook(receiver.url, "order.*", "transfer.deposit.*")
    for name in (
        "order",
        "orders.x",
        "order.filled",
        "order.a.b.c",
        "transfer.withdrawal.failed",
        "transfer",
    ):
        await stand.send(tenant, name)
    last = await stand.send(tenant, "transfer.deposit.failed")
    requests = await receiver.wait_for(3)
    assert {event_of(one)["event"] for one in requests} == {
        "order.filled", "order.a.b.c", "transfer.deposit.failed",
    }  # fmt: skip
    assert last in {one.header("webhook-id") for one in requests}
    await stand.world.until_states({0: 3})


async def test_documents_and_verifications_are_different_events(stand: Stand) -> None:
    async with Receiver() as documents, Receiver() as verifications:
        tenant, _ = await stand.tenant()
        await tenant.webhook(documents.url, "document.*")
        await tenant.webhook(verifications.url, "kyc.*")
        await stand.send(tenant, "document.approved")
        await stand.send(tenant, "kyc.verification.approved")
        (one,), (two,) = await documents.wait_for(1), await verifications.wait_for(1)
        assert event_of(one)["event"] == "document.approved"
        assert event_of(two)["event"] == "kyc.verification.approved"
        await stand.world.until_states({0: 2})


async def test_a_changed_or_deleted_webhook_gets_what_it_asks_for_now(stand: Stand) -> None:
    async with Receiver() as first, Receiver() as second:
        tenant, _ = await stand.tenant()
        made = await tenant.webhook(first.url, "order.*")
        one = f"/webhooks/{made['id']}"
        await stand.send(tenant)
        await first.wait_for(1)
        await tenant.call("PATCH", one, {"url": second.url})
        await stand.send(tenant)
        await second.wait_for(1)
        await tenant.call("DELETE", one, status=204)
        await stand.send(tenant)
        await tenant.webhook(second.url, "order.*")
        last = await stand.send(tenant)
        requests = await second.wait_for(2)
        assert requests[-1].header("webhook-id") == last
        assert len(first.requests) == 1


async def test_rotation_signs_with_both_secrets_until_the_overlap_ends(
    stand: Stand, receiver: Receiver
) -> None:
    tenant, _ = await stand.tenant()
    made = await tenant.webhook(receiver.url, "order.*")
    rotated = await tenant.call("POST", f"/webhooks/{made['id']}/rotate-secret")
    await stand.send(tenant)
    (request,) = await receiver.wait_for(1)
    for secret in (made["secret"], rotated["secret"]):
        Webhook(secret).verify(request.body.decode(), headers_of(request))


# ------------------------------------------------------------------- success, failure, retries, dead letters


async def test_only_2xx_is_success_and_no_redirect_is_followed(stand: Stand, receiver: Receiver) -> None:
    tenant, _ = await stand.tenant()
    made = await tenant.webhook(receiver.url, "order.*")
    one = f"/webhooks/{made['id']}/attempts"
    receiver.plan(
        Reply(204, body=b""), Reply(200, body=b'{"error":true}'), Reply(302, headers=[("location", "/x")])
    )
    for _ in range(3):
        await stand.send(tenant)
    await stand.until_attempts(3)
    rows = await tenant.listed(one)
    assert sorted((row["status"], row["status_code"]) for row in rows) == [
        ("failed", 302), ("succeeded", 200), ("succeeded", 204),
    ]  # fmt: skip
    assert len(receiver.requests) == 3


async def test_every_attempt_is_listed_with_a_text_and_the_next_time(
    stand: Stand, receiver: Receiver
) -> None:
    tenant, _ = await stand.tenant()
    made = await tenant.webhook(receiver.url, "order.*")
    receiver.plan(Reply(500))
    event_id = await stand.send(tenant)
    await stand.until_attempts(1)
    (row,) = await tenant.listed(f"/webhooks/{made['id']}/attempts")
    assert (row["event_id"], row["event"], row["attempt_number"]) == (event_id, "order.filled", 1)
    assert row["webhook_id"] == made["id"]
    assert row["id"].startswith("att_")
    assert "500" in row["error_message"]
    assert row["next_retry_at"] > row["created_at"]
    assert await tenant.listed(f"/webhooks/{made['id']}/attempts", starting_after=row["id"]) == []


async def test_six_attempts_in_10_hours_36_minutes_then_dead_and_replayed(
    database: Database, receiver: Receiver
) -> None:
    """Delays count from the previous failure; there is one id; every request is signed again."""
    receiver.default = Reply(500)
    async with standing(database, clock=ManualClock()) as stand:
        tenant, _ = await stand.tenant()
        made = await tenant.webhook(receiver.url, "order.*")
        letters, replay = (
            f"/webhooks/{made['id']}/dead-letters",
            f"/webhooks/{made['id']}/dead-letters/replay",
        )
        event_id = await stand.send(tenant)
        times = []
        while (at := await stand.to_next_attempt()) is not None:
            times.append(at)
            if len(times) < 6:
                assert await tenant.listed(letters) == [], "not dead yet"
        gaps = [after - before for before, after in pairwise(times)]
        assert len(gaps) == 5
        for gap, step in zip(gaps, LADDER, strict=True):
            assert 0.9 * step - 0.01 <= gap <= 1.1 * step + 0.01
        assert 0.9 * 38160 <= times[-1] - times[0] <= 1.1 * 38160
        assert (await tenant.call("GET", f"/webhooks/{made['id']}"))["status"] == "active", "410 only"

        (letter,) = await tenant.listed(letters)
        assert (letter["id"], letter["object"], letter["status"]) == (event_id, "dead_letter", "dead")
        assert (letter["event"], letter["failed_attempts"]) == ("order.filled", 6)
        assert letter["payload"]["data"] == FILLED
        assert letter["payload"]["id"] == event_id

        answer = await tenant.call("POST", replay, {"since": "2020-01-01T00:00:00Z"}, status=400)
        assert answer["error"]["param"] == "since"
        receiver.default = Reply(200)
        answer = await tenant.call("POST", replay, status=202)
        assert answer["object"] == "replay"
        await stand.run_tasks()
        requests = await receiver.wait_for(7)
        await stand.until_attempts(7)
        assert await tenant.listed(letters) == []
        assert {request.header("webhook-id") for request in requests} == {event_id}
        assert len({request.body for request in requests}) == 1, "the same bytes"
        assert len({request.header("webhook-timestamp") for request in requests}) == 6, "fresh timestamps"
        signer = Signer(made["secret"])
        for request in requests:
            at = int(request.header("webhook-timestamp") or 0)
            assert request.header("webhook-signature") == signer.sign(event_id, at, request.body)


async def test_one_dead_letter_or_some_can_be_replayed_and_a_failed_replay_leaves_it_dead(
    database: Database, receiver: Receiver
) -> None:
    receiver.default = Reply(500)
    async with standing(database, product=bluum(retries="20ms")) as stand:
        tenant, _ = await stand.tenant()
        made = await tenant.webhook(receiver.url, "order.*")
        letters = f"/webhooks/{made['id']}/dead-letters"
        sent = [await stand.send(tenant) for _ in range(3)]
        await stand.until_attempts(6)
        await stand.world.until_states({2: 3})
        assert [row["id"] for row in await tenant.listed(letters)] == sent[::-1]
        page = await tenant.call("GET", letters, limit=1, starting_after=sent[2])
        assert ([row["id"] for row in page["data"]], page["has_more"]) == ([sent[1]], True)

        answer = await tenant.call("POST", f"{letters}/{sent[0]}/replay", status=202)
        assert answer["count"] == 1
        await stand.until_attempts(7)

        async def dead() -> bool:
            return {row["status"] for row in await tenant.listed(letters)} == {"dead"}

        await until(dead)
        assert len(await tenant.listed(letters)) == 3, "it failed again, and is still there"

        receiver.default = Reply(200)
        answer = await tenant.call("POST", f"{letters}/replay", {"event_ids": sent[:2]}, status=202)
        assert answer["count"] == 2
        await stand.world.until_states({0: 2, 2: 1})
        assert [row["id"] for row in await tenant.listed(letters)] == [sent[2]]
        for wrong in ([], "x", ["evt_1"], [7], sent * 50):
            await tenant.call("POST", f"{letters}/replay", {"event_ids": wrong}, status=400)


async def test_what_was_canceled_when_disabled_is_kept_for_replay(
    database: Database, receiver: Receiver
) -> None:
    receiver.default = Reply(500)
    async with standing(database) as stand:
        tenant, _ = await stand.tenant()
        made = await tenant.webhook(receiver.url, "order.*")
        one = f"/webhooks/{made['id']}"
        event_id = await stand.send(tenant)
        await stand.until_attempts(1)
        await tenant.call("PATCH", one, {"status": "disabled"})
        (letter,) = await tenant.listed(f"{one}/dead-letters")
        assert (letter["id"], letter["status"]) == (event_id, "canceled")
        receiver.default = Reply(200)
        await tenant.call("POST", f"{one}/dead-letters/replay", status=202)
        await stand.run_tasks()
        (letter,) = await tenant.listed(f"{one}/dead-letters")
        assert (letter["status"], receiver.count) == ("replaying", 1), "it waits until the webhook is enabled"
        await tenant.call("POST", f"{one}/enable")
        await stand.world.until_states({0: 1})


async def test_a_410_disables_and_nothing_else_does(stand: Stand, receiver: Receiver) -> None:
    tenant, _ = await stand.tenant()
    made = await tenant.webhook(receiver.url, "order.*")
    receiver.plan(Reply(410))
    await stand.send(tenant)

    async def gone() -> bool:
        found = await tenant.call("GET", f"/webhooks/{made['id']}")
        return (found["status"], found.get("disabled_reason")) == ("disabled", "gone")

    await until(gone)
    rule = stand.product.disable
    assert (rule.consecutive, rule.failing_for, rule.on_gone) == (None, None, True)


# ---------------------------------------------------------------------------------------------- the timeout


def test_the_timeout_is_thirty_seconds() -> None:
    assert bluum().timeout == 30.0
    assert bluum().schedule.delays == LADDER


async def test_an_answer_in_time_is_a_success_and_one_after_it_is_a_failure(
    database: Database, receiver: Receiver
) -> None:
    """In real time, with a fifth of the product's own timeout and room for a busy machine."""
    async with standing(database, product=bluum(timeout="6s", retries="1h")) as stand:
        tenant, _ = await stand.tenant()
        made = await tenant.webhook(receiver.url, "order.*")
        receiver.plan(Reply(200, delay=1.5), Reply(200, delay=20))
        await stand.send(tenant)
        await stand.until_attempts(1)
        await stand.send(tenant)
        await stand.until_attempts(2)
        late, early = await tenant.listed(f"/webhooks/{made['id']}/attempts")
        assert (early["status"], early["status_code"]) == ("succeeded", 200)
        assert (late["status"], late["status_code"], late["error_code"]) == ("failed", None, "timeout")
        assert 6000 <= late["duration_ms"] < 20_000


async def test_an_account_is_named_in_transfers_and_documents(stand: Stand, receiver: Receiver) -> None:
    tenant, _ = await stand.tenant()
    await tenant.webhook(receiver.url, "transfer.*", "document.*")
    for event in stand.product.profile.events:
        if event.group in ("transfer", "document"):
            await stand.send(tenant, event.name, event.example)
    for request in await receiver.wait_for(8):
        assert event_of(request)["data"]["account_id"] == ACCOUNT


async def test_an_answer_that_is_no_http_is_a_failure_in_words(stand: Stand, receiver: Receiver) -> None:
    tenant, _ = await stand.tenant()
    made = await tenant.webhook(receiver.url, "order.*")
    receiver.plan(Raw(b"not http at all\r\n\r\n"))
    await stand.send(tenant)
    await stand.until_attempts(1)
    (row,) = await tenant.listed(f"/webhooks/{made['id']}/attempts")
    assert row["status"] == "failed"
    assert row["status_code"] is None
    assert row["error_message"]
