"""How a Receiver reports each outcome: the response, the log line, its level and the error in the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from angarium.receiver import (
    Answer,
    BadPayload,
    Claim,
    Event,
    Key,
    MemoryStore,
    NoMatch,
    Receiver,
    RetryLater,
)
from angarium.receiver.outcome import record
from angarium.testing import sign
from tests.receiver.memory import MemoryInbox, MemoryQueue

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type":"order.filled","timestamp":"2025-06-15T14:30:15Z","data":{"id":"ord_1"}}'
NOW = 1_750_000_000
SECRETS = "no secret is configured"


@dataclass
class Order:
    id: int


class Failing(MemoryStore):
    """A store with one method that fails."""

    def __init__(self, name: str) -> None:
        super().__init__()
        setattr(self, name, self._fail)

    def _fail(self, *_: Any, **__: Any) -> Any:
        raise ConnectionError("the store is down")


def receiver_with(handler: Callable[[Any], Any] | None = None, **options: Any) -> Receiver:
    receiver = Receiver("standard", options.pop("secret", SECRET), clock=lambda: NOW, **options)
    if handler is not None:
        receiver.on("order.*")(handler)
    return receiver


def post(receiver: Receiver, body: bytes = BODY, event_id: str = "msg_1", secret: str = SECRET) -> Answer:
    return receiver.handle(body, sign(body, secret, id=event_id, timestamp=NOW))


def fail(event: Event[Any]) -> None:
    raise LookupError("no such order")


def ask_for_later(event: Event[Any]) -> None:
    raise RetryLater(0)


def take_order(order: Order) -> None: ...


def pass_over(event: Event[Any]) -> None: ...


def held() -> MemoryStore:
    store = MemoryStore()
    assert store.claim(Key("standard", "msg_1"), "another", lease=60, now=NOW) is Claim.TAKEN
    return store


def no_secret() -> str:
    raise LookupError(SECRETS)


KNOWN = {"source": "standard", "id": "msg_1", "type": "order.filled"}


INFO, ERROR = logging.INFO, logging.ERROR
VIDEO = b'{"type":"video.failed"}'


@pytest.mark.parametrize(
    ("made", "body", "status", "outcome", "retry_after", "level", "error"),
    [
        (lambda: receiver_with(pass_over), BODY, 200, "handled", None, INFO, None),
        (lambda: receiver_with(pass_over), VIDEO, 200, "unrouted", None, INFO, None),
        (lambda: receiver_with(fail), BODY, 500, "failed", None, ERROR, LookupError),
        (lambda: receiver_with(ask_for_later), BODY, 503, "retry_later", "1", INFO, None),
        (lambda: receiver_with(pass_over, store=held(), retry_after=7.2), BODY, 503, "held", "8", INFO, None),
        (lambda: receiver_with(pass_over, store=Failing("claim")), BODY, 503, "unavailable", "5", ERROR,
         ConnectionError),
        (lambda: receiver_with(queue=MemoryQueue(refusals=1), retry_after=9), BODY, 503, "unavailable",
         "9", ERROR, ConnectionError),
        (lambda: receiver_with(queue=MemoryQueue()), BODY, 202, "queued", None, INFO, None),
        (lambda: receiver_with(inbox=MemoryInbox()), BODY, 202, "kept", None, INFO, None),
    ],
)  # fmt: skip
def test_each_outcome_is_one_answer_and_one_line(
    made: Callable[[], Receiver], body: bytes, status: int, outcome: str, retry_after: str | None,
    level: int, error: type[Exception] | None, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO, "angarium.receiver")
    answer = post(made(), body)
    headers = {"content-type": "application/json"}
    assert answer.status == status
    assert answer.headers == headers | ({} if retry_after is None else {"retry-after": retry_after})
    told = json.loads(answer.body)
    assert told.keys() == ({"outcome", "detail"} if outcome == "held" else {"outcome"})
    assert told["outcome"] == outcome
    line = KNOWN | {"outcome": outcome, "status": status, "type": json.loads(body)["type"]}
    assert taken_apart(caplog) == [(line, level, error)]


def taken_apart(caplog: pytest.LogCaptureFixture) -> list[tuple[dict[str, Any], int, type[Any] | None]]:
    """The values of each line without its duration, its level, and the type of its error."""
    lines = []
    for one in caplog.records:
        values = {name: value for name, value in one.__dict__["delivery"].items() if name != "ms"}
        lines.append((values, one.levelno, one.exc_info[0] if one.exc_info else None))
    return lines


def test_a_second_request_for_a_queued_or_stored_event_is_a_duplicate() -> None:
    for receiver in (receiver_with(queue=MemoryQueue()), receiver_with(inbox=MemoryInbox())):
        repeat = [post(receiver) for _ in range(2)][1]
        assert (repeat.status, json.loads(repeat.body)) == (200, {"outcome": "duplicate"})


def test_a_refused_request_gets_the_reason_and_its_id_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = post(receiver_with(pass_over), secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
    assert answer.status == 401
    assert json.loads(answer.body) == {"outcome": "no_match", "detail": str(NoMatch())}
    line = {"outcome": "no_match", "status": 401, "source": "standard"}
    assert taken_apart(caplog) == [(line, logging.WARNING, None)]


def test_a_misconfiguration_is_described_in_the_log_only(caplog: pytest.LogCaptureFixture) -> None:
    answer = post(receiver_with(pass_over, secret=no_secret))
    told = json.loads(answer.body)
    assert (answer.status, told["outcome"]) == (500, "bad_secret")
    assert SECRETS not in told["detail"]
    assert "log" in told["detail"]
    ((line, level, error),) = taken_apart(caplog)
    assert line == {"outcome": "bad_secret", "status": 500, "source": "standard"}
    assert level == logging.ERROR
    assert error is not None
    assert SECRETS in caplog.text


def test_a_payload_of_the_wrong_type_is_described_in_the_response_and_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = post(receiver_with(take_order))
    why = "data.id is not int"
    assert answer.status == 400
    assert json.loads(answer.body) == {"outcome": "bad_payload", "detail": why}
    line = KNOWN | {"outcome": "bad_payload", "status": 400, "detail": why}
    assert taken_apart(caplog) == [(line, logging.WARNING, None)]


@pytest.mark.parametrize("routed", [False, True])
def test_only_a_body_that_is_not_json_and_has_no_handler_is_a_warning(
    routed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "angarium.receiver")
    receiver = receiver_with(pass_over)
    if routed:
        receiver.default(pass_over)
    assert post(receiver, b"a=1").status == 200
    ((line, level, _),) = taken_apart(caplog)
    assert level == (logging.INFO if routed else logging.WARNING)
    assert ("detail" in line) is not routed


@pytest.mark.parametrize(
    ("failing", "outcome", "handler", "status"),
    [("done", "not_remembered", pass_over, 200), ("release", "not_released", fail, 500)],
)
def test_a_store_that_fails_after_the_work_is_a_warning(
    failing: str, outcome: str, handler: Any, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert post(receiver_with(handler, store=Failing(failing))).status == status
    line = {"outcome": outcome, "source": "standard", "id": "msg_1"}
    assert taken_apart(caplog)[0] == (line, logging.WARNING, ConnectionError)


def test_a_line_has_the_milliseconds_that_the_response_took(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "angarium.receiver")
    times: Iterable[float] = iter([10.0, 10.25])
    monkeypatch.setattr("angarium.receiver.receiver.time.perf_counter", lambda: next(times))  # type: ignore[call-overload]
    post(receiver_with(pass_over))
    monkeypatch.undo()
    assert caplog.records[0].__dict__["delivery"]["ms"] == 250.0
    assert caplog.records[0].getMessage().endswith(" ms=250.0")


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("msg_1", "msg_1"),
        (5, "5"),
        (1.25, "1.2"),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('a"b', r'"a\"b"'),
        ("a\nb", r'"a\nb"'),
        ("é", r'"\u00e9"'),
        ("\x7f", r'"\u007f"'),
    ],
)
def test_a_line_quotes_values_with_spaces_and_special_characters(
    value: Any, printed: str, caplog: pytest.LogCaptureFixture
) -> None:
    record("handled", level=logging.WARNING, id=value, left_out=None)
    assert caplog.records[0].getMessage() == f"delivery outcome=handled id={printed}"


class Noting(MemoryStore):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def claim(self, key: Key, token: str, *, lease: float, now: float) -> Claim:
        self.calls.append(("claim", key, token, lease, now))
        return super().claim(key, token, lease=lease, now=now)

    def done(self, key: Key, token: str, *, ttl: float, now: float) -> None:
        self.calls.append(("done", key, token, ttl, now))
        super().done(key, token, ttl=ttl, now=now)

    def release(self, key: Key, token: str) -> None:
        self.calls.append(("release", key, token))
        super().release(key, token)


@pytest.mark.parametrize(("handler", "end"), [(pass_over, "done"), (fail, "release")])
def test_a_claim_ends_with_the_token_that_it_was_taken_with(handler: Any, end: str) -> None:
    store = Noting()
    post(receiver_with(handler, store=store, lease=30, ttl=500, source="shop"))
    claim, ended = store.calls
    token = claim[2]
    assert len(token) == 32
    assert claim == ("claim", ("shop", "msg_1"), token, 30, NOW)
    assert ended == (end, ("shop", "msg_1"), token, *((500, NOW) if end == "done" else ()))


# ------------------------------------------------------------------------------------- queues and inboxes


def test_an_event_is_put_into_its_queue_once_and_again_if_the_queue_failed() -> None:
    queue = MemoryQueue(refusals=1)
    receiver = receiver_with(queue=queue)
    assert queue.bound == [receiver]
    assert [post(receiver).status for _ in range(3)] == [503, 202, 200]
    (item,) = queue.items
    assert receiver.load(item).raw == BODY
    assert receiver.load(item).data == {"id": "ord_1"}


def test_a_worker_of_a_queue_runs_the_handler_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "angarium.receiver")
    store, ran = Noting(), list[str]()
    receiver = receiver_with(lambda event: ran.append(event.id), queue=MemoryQueue(), store=store)
    assert post(receiver).status == 202
    item = worked_item(receiver)
    caplog.clear()
    for _ in range(2):
        receiver.process(item)
    assert ran == ["msg_1"]
    # beside the claim of the hand-over
    assert {key for _, key, *_ in store.calls} == {("standard", "msg_1"), ("standard#work", "msg_1")}
    assert taken_apart(caplog) == [
        (KNOWN | {"outcome": "handled"}, logging.INFO, None),
        (KNOWN | {"outcome": "duplicate"}, logging.INFO, None),
    ]


def worked_item(receiver: Receiver) -> dict[str, str | None]:
    return receiver.verify(BODY, sign(BODY, SECRET, id="msg_1", timestamp=NOW)).dump()


def test_a_queues_worker_gets_the_error_of_a_handler_and_may_retry() -> None:
    failures, ran = [LookupError("no such order")], list[str]()

    def handler(event: Event[Any]) -> None:
        if failures:
            raise failures.pop()
        ran.append(event.type)

    receiver = receiver_with(handler, queue=MemoryQueue())
    with pytest.raises(LookupError):
        receiver.process(worked_item(receiver))
    receiver.process(worked_item(receiver))
    assert ran == ["order.filled"]


async def test_a_worker_of_a_queue_in_a_loop_runs_async_handlers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "angarium.receiver")
    ran: list[Any] = []

    async def handler(event: Event[Any]) -> None:
        ran.append(event.data)

    await receiver_with(handler).aprocess(worked_item(receiver_with()))
    assert ran == [{"id": "ord_1"}]
    caplog.clear()
    await receiver_with().aprocess(worked_item(receiver_with()))
    assert taken_apart(caplog) == [(KNOWN | {"outcome": "unrouted"}, logging.INFO, None)]


def test_an_inbox_gets_the_source_the_id_and_the_time_of_the_receivers_clock() -> None:
    inbox = MemoryInbox()
    receiver = receiver_with(inbox=inbox, source="shop")
    assert [post(receiver).status for _ in range(2)] == [202, 200]
    assert inbox.calls == [("put", ("shop", "msg_1"), NOW)] * 2
    assert receiver.load(inbox.waiting[0].item).raw == BODY


# ------------------------------------------------------------------------------------------------ set-up


def test_invalid_options_are_refused_when_a_receiver_is_made() -> None:
    with pytest.raises(ValueError, match="an inbox or a queue, not both"):
        receiver_with(inbox=MemoryInbox(), queue=MemoryQueue())
    assert receiver_with(source="s" * 90).source == "s" * 90
    with pytest.raises(ValueError, match="at most 90 characters"):
        receiver_with(source="s" * 91)
    with pytest.raises(ValueError, match="at least one event type"):
        receiver_with().on()
    receiver = receiver_with()
    receiver.default(pass_over)
    with pytest.raises(ValueError, match="already a default handler"):
        receiver.default(pass_over)


def test_a_receivers_tolerance_replaces_that_of_its_scheme() -> None:
    headers = sign(BODY, SECRET, timestamp=NOW - 11)
    assert receiver_with(tolerance=11).handle(BODY, headers).status == 200
    assert receiver_with(tolerance=10).handle(BODY, headers).status == 401


def test_staleness_is_separate_for_each_resource_and_source() -> None:
    store = MemoryStore()
    shop, bank = (receiver_with(store=store, source=source) for source in ("shop", "bank"))
    newer = shop.verify(BODY, sign(BODY, SECRET, timestamp=NOW))
    earlier = BODY.replace(b"14:30:15", b"14:30:14")
    older = shop.verify(earlier, sign(earlier, SECRET, timestamp=NOW))
    assert not shop.is_stale(newer, "ord_1")
    assert shop.is_stale(older, "ord_1")
    assert not shop.is_stale(older, "ord_2")
    assert not bank.is_stale(older, "ord_1")
    timeless = shop.verify(b"{}", sign(b"{}", SECRET, timestamp=NOW))
    with pytest.raises(ValueError, match="has no timestamp"):
        shop.is_stale(timeless, "ord_1")


async def test_staleness_in_a_loop_is_separate_for_each_resource() -> None:
    receiver = receiver_with()
    newer = receiver.verify(BODY, sign(BODY, SECRET, timestamp=NOW))
    earlier = BODY.replace(b"14:30:15", b"14:30:14")
    older = receiver.verify(earlier, sign(earlier, SECRET, timestamp=NOW))
    stale = [await receiver.ais_stale(*one) for one in ((newer, "a"), (older, "a"), (older, "b"))]
    assert stale == [False, True, False]


@pytest.mark.parametrize("seconds", [0, 0.5, 1, 86400])
def test_a_handler_may_ask_for_any_finite_time(seconds: float) -> None:
    error = RetryLater(seconds)
    assert error.seconds == seconds
    assert str(error) == f"retry in {seconds:g} s"
    assert RetryLater().seconds == 60


def test_a_bad_payload_is_a_value_error() -> None:
    assert issubclass(BadPayload, ValueError)
