"""The answers of a Receiver, with the store in memory."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import threading
from typing import Any

import pytest

from angarium.receiver import (
    SCHEMES,
    Answer,
    BadSecret,
    Claim,
    Event,
    Key,
    MemoryStore,
    Receiver,
    RetryLater,
    verify,
)
from angarium.receiver.scheme.standard import Standard
from angarium.testing import sign
from tests.kit.patience import PATIENCE

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type":"order.filled","timestamp":"2025-06-15T14:30:15Z","data":{"id":"ord_1"}}'


class Now:
    def __init__(self) -> None:
        self.time = 1_750_000_000.0

    def __call__(self) -> float:
        return self.time


class Down(MemoryStore):
    """A store whose named methods fail."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            setattr(self, name, self._fail)

    def _fail(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("the store is down")


def post(receiver: Receiver, event_id: str = "msg_1", body: bytes = BODY, **more: Any) -> Answer:
    return receiver.handle(body, sign(body, SECRET, id=event_id, timestamp=int(receiver.clock()), **more))


def said(answer: Answer) -> str:
    return str(json.loads(answer.body)["outcome"])


def test_a_handled_event_is_200_and_its_duplicate_too_without_a_second_run() -> None:
    ran: list[Any] = []
    receiver = Receiver("standard", SECRET)
    receiver.default(ran.append)
    assert (post(receiver).status, said(post(receiver))) == (200, "duplicate")
    assert post(receiver).status == 200
    assert len(ran) == 1


def test_two_events_about_one_resource_are_both_handled() -> None:
    ran: list[Any] = []
    receiver = Receiver("standard", SECRET)
    receiver.default(lambda event: ran.append(event.data["id"]))
    assert [post(receiver, one).status for one in ("msg_1", "msg_2")] == [200, 200]
    assert ran == ["ord_1", "ord_1"]


def test_receivers_with_different_sources_share_a_store() -> None:
    store, ran = MemoryStore(), list[Any]()
    for source in ("shop", "bank"):
        receiver = Receiver("standard", SECRET, store=store, source=source)
        receiver.default(ran.append)
        post(receiver)
    assert len(ran) == 2


def test_a_handler_that_fails_is_500_and_runs_again_at_the_next_attempt() -> None:
    ran: list[Any] = []
    receiver = Receiver("standard", SECRET)

    @receiver.on("order.*")
    def handler(event: Event[Any]) -> None:
        ran.append(event.id)
        if len(ran) == 1:
            raise RuntimeError("the database is away")

    assert [post(receiver).status for _ in range(3)] == [500, 200, 200]
    assert len(ran) == 2


def test_a_handler_may_ask_for_a_later_attempt() -> None:
    receiver = Receiver("standard", SECRET)

    @receiver.default
    def handler(event: Event[Any]) -> None:
        raise RetryLater(90.2)

    answer = post(receiver)
    assert (answer.status, answer.headers["retry-after"]) == (503, "91")


def test_an_untrusted_request_is_401_and_an_unreadable_one_400_or_413() -> None:
    receiver = Receiver("standard", SECRET, max_body=1000)
    good = sign(BODY, SECRET)
    assert receiver.handle(BODY + b" ", good).status == 401
    assert receiver.handle(BODY, {}).status == 401
    assert receiver.handle(BODY, {**good, "webhook-signature": "nonsense"}).status == 401
    assert receiver.handle(BODY, sign(BODY, SECRET, timestamp=1)).status == 401
    assert receiver.handle(BODY, {**good, "webhook-timestamp": "soon"}).status == 400
    assert receiver.handle(b" " * 1001, good).status == 413


def test_a_signed_body_that_is_not_json_goes_to_the_default_handler(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "angarium.receiver")  # whatever a queue's worker has set for all
    receiver = Receiver("standard", SECRET)
    receiver.on("order.*")(lambda event: pytest.fail("it has no type"))
    good = sign(b"a=1", SECRET)
    assert receiver.handle(b"a=1", good).status == 200
    assert "outcome=unrouted" in caplog.text
    assert "not JSON" in caplog.text
    ran: list[Any] = []
    receiver.default(lambda event: ran.append(event.data))
    assert receiver.handle(b"a=1", good).status == 200
    assert ran == [b"a=1"]


def test_a_misconfigured_receiver_is_500_and_only_its_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = sign(BODY, SECRET)
    for receiver, body in (
        (Receiver("standard", SECRET), json.loads(BODY)),
        (Receiver("standard", lambda: "whsec_"), BODY),
        (Receiver("standard", lambda: dict[str, str]()["SECRET"]), BODY),
    ):
        answer = receiver.handle(body, good)
        assert answer.status == 500
        assert b"log" in answer.body
    assert "raw body" in caplog.text


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
@pytest.mark.parametrize("kind", ["whpk_", "whsk_"])
def test_an_ed25519_key_is_refused_as_the_secret_of_an_hmac(scheme: str, kind: str) -> None:
    """A public key is not secret: anyone could sign with it."""
    text = kind + base64.b64encode(bytes(64 if kind == "whsk_" else 32)).decode()
    asymmetric = isinstance(SCHEMES[scheme], Standard)
    for given in (text.encode(), *(() if asymmetric else (text, " " + text))):
        with pytest.raises(BadSecret, match="shared secret"):
            Receiver(scheme, given)
        with pytest.raises(BadSecret, match="shared secret"):
            Receiver(scheme, [SECRET, given])
        with pytest.raises(BadSecret, match="shared secret"):
            verify(BODY, sign(BODY, SECRET), given, scheme)
        with pytest.raises(BadSecret, match="shared secret"):
            sign(BODY, given, scheme)


@pytest.mark.parametrize(
    "wrong", ["", "  ", b"", [], [""], None, 5, ["whsec_"], "whsec_not base64!", "whpk_AAAA"]
)
def test_a_bad_secret_is_refused_when_the_receiver_is_made(wrong: Any) -> None:
    with pytest.raises(BadSecret):
        Receiver("standard", wrong)


def test_secrets_from_a_generator_are_used_for_every_request() -> None:
    receiver = Receiver("standard", (secret for secret in (SECRET,)))
    assert [receiver.handle(BODY, sign(BODY, SECRET)).status for _ in range(2)] == [200, 200]


def test_handle_raises_nothing_for_any_arguments() -> None:
    receiver = Receiver("standard", SECRET)
    for body, headers in ((None, None), (BODY, 5), ("\ud800", {}), (BODY, [("webhook-id",)]), (b"", b"")):
        assert receiver.handle(body, headers).status in (400, 401, 500)  # type: ignore[arg-type]


def test_a_function_of_secrets_is_called_for_each_request() -> None:
    secrets: list[str] = []
    receiver = Receiver("standard", lambda: secrets)
    assert post(receiver).status == 500
    secrets.append(SECRET)
    assert post(receiver).status == 200


def test_a_parallel_duplicate_is_503_with_retry_after_and_runs_once() -> None:
    ran: list[Any] = []
    receiver = Receiver("standard", SECRET)
    inside, leave = threading.Event(), threading.Event()

    @receiver.default
    def handler(event: Event[Any]) -> None:
        ran.append(event.id)
        inside.set()
        assert leave.wait(PATIENCE)

    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(post(receiver)))
    thread.start()
    assert inside.wait(PATIENCE)
    held = post(receiver)
    leave.set()
    thread.join()
    assert (held.status, held.headers["retry-after"], said(held)) == (503, "5", "held")
    assert (answers[0].status, post(receiver).status, len(ran)) == (200, 200, 1)


def test_a_lease_that_has_ended_is_taken_over() -> None:
    now, store, ran = Now(), MemoryStore(), list[Any]()
    receiver = Receiver("standard", SECRET, store=store, clock=now, lease=60)
    receiver.default(ran.append)
    # as a process leaves it that died in its handler
    assert store.claim(Key("standard", "msg_1"), "dead", lease=60, now=now()) is Claim.TAKEN
    now.time += 59
    assert post(receiver).status == 503
    now.time += 2
    assert (post(receiver).status, len(ran)) == (200, 1)


def test_an_event_is_remembered_for_seven_days() -> None:
    now, ran = Now(), list[Any]()
    receiver = Receiver("standard", SECRET, clock=now)
    receiver.default(ran.append)
    post(receiver)
    now.time += 7 * 24 * 3600 - 1
    post(receiver)
    assert len(ran) == 1
    now.time += 2
    post(receiver)
    assert len(ran) == 2


@pytest.mark.parametrize(
    ("failing", "statuses", "runs"),
    [("claim", [503, 503], 0), ("done", [200, 503], 1), ("release", [200, 200], 1)],
)
def test_an_unavailable_store_is_503_before_the_work_and_ignored_after_it(
    failing: str, statuses: list[int], runs: int
) -> None:
    receiver, ran = Receiver("standard", SECRET, store=Down(failing)), list[Any]()
    receiver.default(ran.append)
    assert [post(receiver).status for _ in range(2)] == statuses
    assert len(ran) == runs


def test_a_handler_that_fails_while_the_store_is_unavailable_is_500() -> None:
    receiver = Receiver("standard", SECRET, store=Down("release"))
    receiver.default(lambda event: 1 / 0)
    assert post(receiver).status == 500


def test_an_interrupted_handler_releases_its_claim() -> None:
    receiver, fail = Receiver("standard", SECRET), [KeyboardInterrupt, SystemExit, StopIteration]

    @receiver.default
    def handler(event: Event[Any]) -> None:
        if fail:
            raise fail.pop()

    assert post(receiver).status == 500  # StopIteration, an Exception
    for kind in (SystemExit, KeyboardInterrupt):
        with pytest.raises(kind):
            post(receiver)
    assert said(post(receiver)) == "handled"


async def test_in_a_loop_sync_and_async_handlers_run_once() -> None:
    ran: list[Any] = []
    receiver = Receiver("standard", SECRET)

    @receiver.on("a")
    async def waiting(event: Event[Any]) -> None:
        await asyncio.sleep(0.05)
        ran.append(event.type)

    @receiver.on("b")
    def blocking(event: Event[Any]) -> None:
        ran.append(event.type)
        assert threading.current_thread() is not threading.main_thread()

    for one in "ab":
        body = f'{{"type":"{one}"}}'
        headers = sign(body, SECRET, id=one)
        answers = await asyncio.gather(*(receiver.ahandle(body, headers) for _ in range(5)))
        assert {answer.status for answer in answers} <= {200, 503}
        assert (await receiver.ahandle(body, headers)).status == 200
    assert ran == ["a", "b"]


async def test_a_canceled_handler_releases_its_claim() -> None:
    receiver, inside = Receiver("standard", SECRET), asyncio.Event()
    patient = [True]

    @receiver.default
    async def handler(event: Event[Any]) -> None:
        inside.set()
        if patient.pop() if patient else False:
            await asyncio.sleep(60)

    headers = sign(BODY, SECRET)
    task = asyncio.create_task(receiver.ahandle(BODY, headers))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said(await receiver.ahandle(BODY, headers)) == "handled"


async def test_a_canceled_blocking_handler_keeps_its_claim_until_the_lease_ends() -> None:
    now, ran, inside, leave = Now(), list[Any](), threading.Event(), threading.Event()
    receiver = Receiver("standard", SECRET, clock=now)

    @receiver.default
    def handler(event: Event[Any]) -> None:
        ran.append(event.id)
        inside.set()
        assert leave.wait(20)

    headers = sign(BODY, SECRET, timestamp=int(now()))
    task = asyncio.create_task(receiver.ahandle(BODY, headers))
    assert await asyncio.to_thread(inside.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await receiver.ahandle(BODY, headers)).status == 503
    leave.set()
    now.time += 61
    assert (await receiver.ahandle(BODY, headers)).status == 200
    assert len(ran) == 2


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1])
def test_retry_later_refuses_a_negative_or_infinite_time(seconds: float) -> None:
    receiver = Receiver("standard", SECRET)

    @receiver.default
    def handler(event: Event[Any]) -> None:
        raise RetryLater(seconds)

    assert post(receiver).status == 500


def test_an_async_handler_runs_without_a_loop_too() -> None:
    ran: list[Any] = []
    receiver = Receiver("standard", SECRET)

    @receiver.default
    async def handler(event: Event[Any]) -> None:
        await asyncio.sleep(0)
        ran.append(event.id)

    assert post(receiver).status == 200
    assert ran == ["msg_1"]


async def test_an_async_handler_cannot_be_run_by_handle_within_a_loop() -> None:
    receiver = Receiver("standard", SECRET)

    @receiver.default
    async def handler(event: Event[Any]) -> None: ...

    assert post(receiver).status == 500


def test_each_request_is_one_line_that_names_no_secret_and_no_payload(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "angarium.receiver")
    receiver = Receiver("standard", SECRET)
    receiver.on("order.filled")(lambda event: None)
    post(receiver)
    post(receiver)
    receiver.handle(BODY, sign(BODY, SECRET, id='evil" outcome=handled\n') | {"webhook-signature": "v1,x"})
    lines: list[dict[str, Any]] = [record.__dict__["delivery"] for record in caplog.records]
    assert [line["outcome"] for line in lines] == ["handled", "duplicate", "no_match"]
    assert lines[0].keys() == {"outcome", "status", "source", "id", "type", "ms"}
    assert "delivery outcome=handled status=200 source=standard id=msg_1 type=order.filled ms=" in caplog.text
    for hidden in ("ord_1", SECRET, "evil"):
        assert hidden not in caplog.text


def at(seconds: int) -> bytes:
    return BODY.replace(b"14:30:15", f"14:30:{seconds:02}".encode())


def test_an_older_event_about_a_resource_is_stale_and_a_duplicate_is_not() -> None:
    receiver, stale = Receiver("standard", SECRET), list[bool]()
    receiver.default(lambda event: stale.append(receiver.is_stale(event, event.data["id"])))
    for number, seconds in enumerate((10, 30, 20, 30, 31)):
        assert post(receiver, f"msg_{number}", at(seconds)).status == 200
    assert stale == [False, False, True, False, False]


async def test_staleness_works_in_a_loop_and_requires_a_timestamp() -> None:
    receiver, stale = Receiver("standard", SECRET), list[bool]()

    @receiver.default
    async def handler(event: Event[Any]) -> None:
        stale.append(await receiver.ais_stale(event, "ord_1"))

    for number, body in enumerate((at(30), at(20), b"{}")):
        answer = await receiver.ahandle(body, sign(body, SECRET, id=str(number)))
    assert stale == [False, True]
    assert answer.status == 500


def test_the_memory_store_is_bounded_and_never_drops_a_claim_that_is_held() -> None:
    store = MemoryStore(size=3)

    def key(number: int) -> Key:
        return Key("source", str(number))

    assert store.claim(key(0), "token", lease=60, now=0) is Claim.TAKEN
    for number in range(1, 50):
        assert store.claim(key(number), "token", lease=60, now=0) is Claim.TAKEN
        store.done(key(number), "token", ttl=60, now=0)
    assert store.claim(key(0), "other", lease=60, now=0) is Claim.HELD
    assert store.claim(key(49), "other", lease=60, now=0) is Claim.DONE
    assert store.claim(key(1), "other", lease=60, now=0) is Claim.TAKEN  # forgotten
    assert store.claim(key(2), "other", lease=60, now=0) is Claim.TAKEN
    with pytest.raises(MemoryError):
        store.claim(key(3), "other", lease=60, now=0)
    assert store.claim(key(3), "other", lease=60, now=61) is Claim.TAKEN
