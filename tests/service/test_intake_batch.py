"""Intake without a database: how requests share batches, what fits, and the result of each if one fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any
from uuid import UUID

import msgspec
import pytest
from structlog.testing import capture_logs

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import (
    BadRequest,
    BodyTooLarge,
    Conflict,
    NotFound,
    Overloaded,
    StoreReason,
    StoreUnavailable,
)
from angarium.core.nouns import Message
from angarium.core.product import Product
from angarium.service.intake import (
    CROWD,
    GATHER,
    MAX_BATCH,
    MAX_BATCH_BYTES,
    REMEMBERED,
    Accepted,
    Draft,
    Intake,
    Result,
)
from angarium.store import accept as store
from angarium.store.accept import Item, NewDelivery, Stored
from angarium.store.connection import Connection
from angarium.store.fault import RowRefused, ValueRefused
from tests.kit import virtual
from tests.kit.virtual import VirtualLoop
from tests.kit.world import product

ORG, STRANGER = "org_a", "org_new"
APP = UUID(int=7)
HOUR = 3600.0
HOLD = 1.0  # seconds that a commit takes


@dataclass
class Bench:
    """An intake at work in virtual time. It stands for the clock, the products and the database too."""

    loop: VirtualLoop
    made: Product = field(default_factory=product)
    takes: float = HOLD
    at: float | None = None  # where the clock stands; None: it goes with the loop
    fails: list[Exception] = field(default_factory=list)
    refuses: bytes = b"refused"  # a payload that the database refuses,
    refusal: RowRefused = field(default_factory=lambda: ValueRefused("DataError 22000"))  # and how
    taken: dict[bytes, Message] = field(default_factory=dict)
    asked: list[list[bytes]] = field(default_factory=list)  # for messages with these keys
    began: list[float] = field(default_factory=list)
    batches: list[list[Item]] = field(default_factory=list)
    handed: list[int] = field(default_factory=list)
    late: int = 0
    organizations: set[str] = field(default_factory=lambda: {ORG})
    intake: Any = None

    def now(self) -> float:
        return self.loop.time() if self.at is None else self.at

    def steady(self) -> float:
        return self.now()

    def apart(self) -> float:
        return 0.0

    async def wait(self, event: asyncio.Event, until: float) -> None:
        raise AssertionError("intake waits for no time of day")

    def known(self, org_id: str) -> Product | None:
        return self.made if org_id in self.organizations else None

    async def of(self, org_id: str) -> Product:
        self.organizations.add(org_id)
        return self.made

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        yield

    async def accept(
        self, connection: Connection, items: Sequence[Item], now: float, *, last: Collection[str] = ()
    ) -> tuple[list[Stored], list[NewDelivery]]:
        self.began.append(self.loop.time())
        assert now <= self.now()
        await asyncio.sleep(self.takes)
        if self.fails:
            raise self.fails.pop(0)
        if any(item.payload == self.refuses for item in items):
            raise self.refusal
        self.batches.append(list(items))
        stored = [
            Stored(
                None if item.app == "nowhere" else APP, item.event_id is None and item.key not in self.taken
            )
            for item in items
        ]
        return stored, [NewDelivery(APP, APP, item.id, 0, False, 0, now, "a.b", b"", now) for item in items]

    async def accepted_before(
        self, connection: Connection, keys: Sequence[bytes], now: float
    ) -> dict[bytes, Message]:
        self.asked.append(list(keys))
        assert now <= self.now()
        return {key: self.taken[key] for key in keys if key in self.taken}

    def hand_over(self, new_deliveries: Sequence[NewDelivery], since: float) -> None:
        self.handed.append(len(new_deliveries))

    def fan_out(self) -> None:
        self.late += 1

    def put(self, count: int = 1, **fields: Any) -> list[Result]:
        """A number of requests with one message each. Returns the list of their results."""
        told: list[Result] = []
        for _ in range(count):
            assert self.intake.put(draft(**fields), told.append)
        return told

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]

    @property
    def pauses(self) -> list[float]:
        return [round(later - at, 6) for at, later in pairwise(self.began)]


def draft(payload: bytes = b"{}", **fields: Any) -> Draft:
    plain = Draft(org_id=ORG, app="app", event_type="a.b", payload=payload)
    return msgspec.structs.replace(plain, **fields)


def message(result: Result) -> Message:
    assert isinstance(result, Accepted)
    return result.message


Test = Callable[[Bench], Coroutine[Any, Any, None]]
Run = Callable[..., None]


@pytest.fixture
def in_virtual_time(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(test: Test, **bounds: Any) -> None:
        async def work(loop: VirtualLoop) -> None:
            bench: Any = Bench(loop)
            monkeypatch.setattr(store, "accept", bench.accept)
            monkeypatch.setattr(store, "accepted_before", bench.accepted_before)
            bench.intake = Intake(bench, bench, os.urandom, bench.hand_over, bench.fan_out, bench, **bounds)
            await bench.intake.start()
            await test(bench)
            await bench.intake.stop()

        virtual.run(work)

    return run


# which requests go together


def test_a_single_request_is_written_at_once_and_the_next_wait_for_its_commit(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        began = bench.loop.time()
        bench.put()
        await asyncio.sleep(HOLD / 2)
        told = bench.put(3)
        assert told == []
        await asyncio.sleep(2 * HOLD)
        assert bench.began == [began, began + HOLD]
        assert bench.sizes == bench.handed == [1, 3]
        assert [message(one).id for one in told] == [item.id for item in bench.batches[1]]

    in_virtual_time(test)


def test_after_a_large_batch_the_next_one_gathers(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        for first, following, pause in (
            (CROWD, 1, HOLD + GATHER),
            (CROWD - 1, 1, HOLD),
            (CROWD, MAX_BATCH // 2 - 1, HOLD + GATHER),
            (CROWD, MAX_BATCH // 2, HOLD),
        ):
            bench.began.clear()
            bench.put(first)
            await asyncio.sleep(HOLD / 2)
            bench.put(following)
            await asyncio.sleep(10)
            assert bench.pauses == [pause], (first, following)

    in_virtual_time(test)


def test_stopping_writes_all_pending_messages_without_gathering(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.put(CROWD)
        await asyncio.sleep(HOLD / 2)
        told = bench.put(CROWD)
        began = bench.loop.time()
        await bench.intake.stop()
        assert bench.loop.time() - began == HOLD / 2 + HOLD
        assert len(told) == CROWD
        with pytest.raises(Overloaded, match="shutting down"):
            await bench.intake.accept(draft())
        await bench.intake.stop()

    in_virtual_time(test)


def test_a_batch_is_made_of_whole_requests_until_it_is_large_enough(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.put()
        await asyncio.sleep(HOLD / 2)
        many = [asyncio.create_task(bench.intake.accept_many([draft()] * 600)) for _ in range(3)]
        await asyncio.gather(*many)
        assert bench.sizes[1:] == [1200, 600]
        half = b"x" * (MAX_BATCH_BYTES // 2)
        large = [asyncio.create_task(bench.intake.accept(draft(half, verbatim=True))) for _ in range(3)]
        bench.made = replace(bench.made, max_body=MAX_BATCH_BYTES)
        await asyncio.gather(*large)
        assert bench.sizes[3:] == [2, 1]

    in_virtual_time(test)


def test_a_batch_that_is_full_takes_no_other_request(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.put(MAX_BATCH + 1)
        await asyncio.sleep(10)
        assert bench.sizes == [MAX_BATCH, 1]

    in_virtual_time(test)


def test_many_messages_are_accepted_in_one_commit_up_to_a_number(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        results = await bench.intake.accept_many([draft(b"%d" % number) for number in range(MAX_BATCH)])
        assert [message(result).payload for result in results] == [b"%d" % n for n in range(MAX_BATCH)]
        assert bench.sizes == [MAX_BATCH]
        with pytest.raises(BadRequest) as refusal:
            await bench.intake.accept_many([draft()] * (MAX_BATCH + 1))
        assert refusal.value.detail == "A batch has at most 1000 messages."

    in_virtual_time(test)


# what fits


def test_waiting_messages_are_limited_by_number(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        for _ in range(3):
            bench.put()
            await asyncio.sleep(HOLD / 2)  # that one is being written, and does not wait any more
            told = bench.put(10)
            with pytest.raises(Overloaded) as refusal:
                bench.put()
            assert refusal.value.detail != "The server is shutting down."
            await asyncio.sleep(3 * HOLD)
            assert len(told) == 10

    in_virtual_time(test, capacity=10)


def test_waiting_messages_are_limited_by_bytes(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        for _ in range(3):
            bench.put()
            await asyncio.sleep(HOLD / 2)
            told = bench.put(2, payload=b"12345")
            with pytest.raises(Overloaded):
                bench.put(payload=b"1")
            told += bench.put(payload=b"")
            await asyncio.sleep(3 * HOLD)
            assert len(told) == 2

    in_virtual_time(test, capacity_bytes=10)


def test_by_default_ten_thousand_messages_of_64_mebibytes_wait(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.put(10_000)
        with pytest.raises(Overloaded):
            bench.put()
        await asyncio.sleep(60)
        mebibyte = b"x" * 1024 * 1024
        bench.put(64, payload=mebibyte)
        with pytest.raises(Overloaded):
            bench.put(payload=b"x")

    in_virtual_time(test)


# the result of each


def test_a_new_organization_is_looked_up_first(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        told: list[Result] = []
        assert not bench.intake.put(draft(org_id=STRANGER), told.append)
        assert (await bench.intake.accept(draft(org_id=STRANGER))).message.app_id == APP
        assert told == []
        assert bench.organizations == {ORG, STRANGER}
        await bench.intake.accept_many([draft(org_id="org_third")])
        assert bench.organizations == {ORG, STRANGER, "org_third"}
        assert bench.intake.put(draft(org_id=STRANGER), told.append)
        await asyncio.sleep(2 * HOLD)
        assert len(told) == 1

    in_virtual_time(test)


def test_a_failing_callback_does_not_block_other_callers(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        def gone(result: Result) -> None:
            raise ConnectionResetError

        with capture_logs() as logs:
            before = bench.put()
            assert bench.intake.put(draft(), gone)
            canceled = asyncio.create_task(bench.intake.accept(draft()))
            await asyncio.sleep(HOLD / 2)
            canceled.cancel()
            after = bench.put()
            await asyncio.sleep(3 * HOLD)
        assert (len(before), len(after), canceled.cancelled()) == (1, 1, True)
        told = [entry["event"] for entry in logs]
        assert told == ["intake.untold"], "who canceled a request is no fault"

    in_virtual_time(test)


@pytest.mark.parametrize("error", [StoreUnavailable("away"), RuntimeError()])
def test_when_a_batch_fails_all_callers_get_an_error_and_the_next_is_written(
    in_virtual_time: Run, error: Exception
) -> None:
    async def test(bench: Bench) -> None:
        bench.fails = [error]
        with capture_logs():
            results = await bench.intake.accept_many([draft(), draft()])
        assert [type(result) for result in results] == [StoreUnavailable, StoreUnavailable]
        if isinstance(error, StoreUnavailable):
            assert results[0] is error
        bench.fails = [error]
        with capture_logs(), pytest.raises(StoreUnavailable):
            await bench.intake.accept(draft())
        assert isinstance(await bench.intake.accept(draft()), Accepted)
        assert bench.handed == [1]

    in_virtual_time(test)


def test_only_the_message_that_cannot_be_stored_is_refused(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bad = draft(bench.refuses)
        results = await bench.intake.accept_many([draft(b"1"), bad, draft(b"2")])
        assert [type(result) for result in results] == [Accepted, BadRequest, Accepted]
        assert results[1].detail == "The message contains a value that cannot be stored."
        assert [message(results[place]).payload for place in (0, 2)] == [b"1", b"2"]

    in_virtual_time(test)


def test_the_other_of_two_messages_in_a_request_is_stored(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        results = await bench.intake.accept_many([draft(bench.refuses), draft(b"2")])
        assert [type(result) for result in results] == [BadRequest, Accepted]

    in_virtual_time(test)


def test_a_refusal_not_caused_by_values_is_not_reported_as_the_senders_error(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.refusal = RowRefused("CheckViolationError 23514")
        results = await bench.intake.accept_many([draft(b"1"), draft(bench.refuses), draft(b"2")])
        assert [type(result) for result in results] == [Accepted, StoreUnavailable, Accepted]

    in_virtual_time(test)


def test_each_result_is_that_of_its_message(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        first = message(await bench.intake.accept(draft(b"first")))
        bench.taken = {b"key": first}
        bench.made = replace(bench.made, max_body=5)
        results = await bench.intake.accept_many(
            [
                draft(b"1"), draft(b"123456"), draft(app="nowhere"), draft(event_id="taken"),
                draft(idempotency_key=b"key"), draft(event_id="taken", idempotency_key=b"other"),
                draft(app="nowhere", idempotency_key=b"key"), draft(b"12345"),
            ]
        )  # fmt: skip
        kinds = [Accepted, BodyTooLarge, NotFound, Conflict, Accepted, Conflict, NotFound, Accepted]
        assert [type(result) for result in results] == kinds
        assert [message(results[place]).payload for place in (0, 4, 7)] == [b"1", b"first", b"12345"]
        assert [results[place].replayed for place in (0, 4, 7)] == [False, True, False]
        assert results[1].detail == "The message has 6 bytes; the limit is 5."
        assert bench.sizes == [1, 7]
        results = await bench.intake.accept_many([draft(b"123456")] * 2)
        assert [type(result) for result in results] == [BodyTooLarge, BodyTooLarge]
        assert bench.sizes == [1, 7], "nothing is left to be stored"

    in_virtual_time(test)


# what is stored


def test_every_field_of_a_draft_is_stored_and_returned(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.at = 1_800_000_000.25
        full = draft(
            b'{"a":1}', channels=("c", "d"), tags=("t",), retention=2 * HOUR, idempotency_key=b"key",
            deliver_at=1_800_000_060.0, content_type="text/plain", endpoint_id=None,
        )  # fmt: skip
        made = message(await bench.intake.accept(full))
        (item,) = bench.batches[0]
        assert item == Item(
            id=item.id, org_id=ORG, app="app", event_type="a.b", payload=b'{"a":1}', event_id=None,
            channels=("c", "d"), tags=("t",), expires_at=datetime_at(1_800_000_000 + 3 * HOUR), key=b"key",
            endpoint_id=None, due_at=1_800_000_060.0, content_type="text/plain", actor=None,
        )  # fmt: skip
        assert ids.created_at(item.id) == bench.at
        assert made == Message(
            id=item.id, app_id=APP, event_id=None, event_type="a.b", payload=b'{"a":1}',
            channels=("c", "d"), tags=("t",), expires_at=item.expires_at, created_at=datetime_at(bench.at),
        )  # fmt: skip
        await bench.intake.accept(draft())
        (item,) = bench.batches[1]
        assert (item.due_at, item.expires_at) == (
            bench.at,
            datetime_at(1_800_000_000 + 90 * 24 * HOUR + HOUR),
        )

    in_virtual_time(test)


def test_a_payload_is_put_into_the_envelope_of_the_product(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.at = 1_800_000_000.0
        bench.made = product(envelope={"id": "{id}", "kind": "{type}", "at": "{time}", "data": "{data}"})
        now, then, raw = await bench.intake.accept_many(
            [draft(), draft(occurred_at=bench.at - HOUR), draft(b"raw", verbatim=True)]
        )
        said = [msgspec.json.decode(message(one).payload or b"") for one in (now, then)]
        assert [one["at"][:19] for one in said] == ["2027-01-15T08:00:00", "2027-01-15T07:00:00"]
        assert said[0]["id"] == bench.made.message_format.message_id(message(now).id)
        assert [(one["kind"], one["data"]) for one in said] == [("a.b", {})] * 2
        assert message(raw).payload == b"raw"

    in_virtual_time(test)


def test_ids_grow_also_when_the_clock_is_set_back_a_little(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.at = 1_800_000_000.0

        async def made(count: int) -> list[float]:
            results = await bench.intake.accept_many([draft()] * count)
            found = [message(result).id for result in results]
            assert found == sorted(found)
            return [round(ids.created_at(one) - 1_800_000_000.0, 6) for one in found]

        micro = 0.000001
        assert await made(3) == [0.0, micro, 2 * micro]
        assert await made(1) == [round(4 * micro, 6)], "the time stood still"
        bench.at -= 0.875
        assert await made(1) == [round(6 * micro, 6)]
        bench.at -= 0.25
        assert await made(1) == [-1.125], "it was set back permanently"

    in_virtual_time(test)


def test_an_intake_that_has_not_started_accepts_nothing(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        database: Any = bench
        intake = Intake(database, bench, os.urandom, bench.hand_over, bench.fan_out, database)
        with pytest.raises(Overloaded):
            await intake.accept(draft())
        await intake.stop()

    in_virtual_time(test)


def test_the_reason_of_the_last_failure_is_reported_for_some_time(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.at = 1_800_000_000.0

        async def fail() -> None:
            bench.fails = [StoreUnavailable(reason=StoreReason.DISK_FULL)]
            with pytest.raises(StoreUnavailable):
                await bench.intake.accept(draft())

        assert bench.intake.waiting is None
        await fail()
        bench.at += REMEMBERED - 0.25
        assert bench.intake.waiting is StoreReason.DISK_FULL
        bench.at += 0.25
        assert bench.intake.waiting is None, "no request came since, so it is not known"
        await fail()
        assert bench.intake.waiting is StoreReason.DISK_FULL
        await bench.intake.accept(draft())
        assert bench.intake.waiting is None

    in_virtual_time(test)


def test_no_payload_is_kept_longer_than_messages_are(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.at = 500_000 * HOUR + 1
        for retention, hours in ((HOUR - 2, 1), (HOUR - 1, 2), (5 * HOUR, 6), (99 * HOUR, 11)):
            (found,) = await bench.intake.accept_many([draft(retention=retention)])
            assert message(found).expires_at.timestamp() / HOUR - 500_000 == hours

    in_virtual_time(test, history=10 * HOUR)


def test_each_id_has_random_bits_of_its_own(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        bench.at = 1_800_000_000.0
        noise = bytes(range(24))
        asked: list[int] = []

        def entropy(size: int) -> bytes:
            asked.append(size)
            return noise[:size]

        database: Any = bench
        intake = Intake(database, bench, entropy, bench.hand_over, bench.fan_out, database)
        await intake.start()
        made = [message(result).id for result in await intake.accept_many([draft()] * 3)]
        await intake.stop()
        assert asked == [24]
        first = int(bench.at * 1_000_000)
        assert made == [ids.at(first + place, noise[8 * place : 8 * place + 8]) for place in range(3)]

    in_virtual_time(test)


def test_only_keys_of_messages_that_were_not_stored_are_looked_up(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        await bench.intake.accept_many([draft(idempotency_key=b"new"), draft(), draft(event_id="taken")])
        await bench.intake.accept_many([draft(app="nowhere", idempotency_key=b"other")])
        assert bench.asked == []
        first = message(await bench.intake.accept(draft()))
        bench.taken[b"old"] = first
        results = await bench.intake.accept_many(
            [draft(idempotency_key=b"old"), draft(idempotency_key=b"new"), draft(event_id="taken")]
        )
        assert bench.asked == [[b"old"]]
        assert results[0] == Accepted(first, replayed=True)
        assert isinstance(results[2], Conflict)

    in_virtual_time(test)


def test_each_message_has_the_product_of_its_organization(in_virtual_time: Run) -> None:
    async def test(bench: Bench) -> None:
        await bench.intake.accept_many([draft(org_id=STRANGER), draft()])
        assert bench.organizations == {ORG, STRANGER}

    in_virtual_time(test)
