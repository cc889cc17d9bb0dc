"""The completer drops nothing, tells lanes in order, and does what follows from an outcome with it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from uuid import UUID

import msgspec
import pytest
from structlog.testing import capture_logs

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.alert import OPERATIONS
from angarium.core.errors import StoreReason, StoreUnavailable
from angarium.core.failure import kind_of
from angarium.core.health import Health
from angarium.core.lane import Lane, Limits
from angarium.core.lifecycle import Move
from angarium.core.nouns import Application, DisabledReason, Endpoint
from angarium.core.outcome import AttemptResult
from angarium.dispatch.active_lane import ActiveLane
from angarium.dispatch.alert import DISABLED, FAILING, Alert
from angarium.dispatch.completer import (
    AGAIN,
    CAPACITY,
    CROWD,
    GATHER,
    MAX_BATCH,
    SLOW,
    TRIES,
    Completer,
    Outcome,
)
from angarium.store import background_task, complete, requeue, shard
from angarium.store.accept import NewDelivery
from angarium.store.complete import Completed, Completion, HealthRecord
from angarium.store.connection import Connection
from angarium.store.disable import Disable
from angarium.store.fault import StatementFailed
from angarium.store.target import find_target
from tests.kit import virtual
from tests.kit.clock import ManualClock
from tests.kit.completing import written_by
from tests.kit.patience import until
from tests.kit.task import finish_tasks
from tests.kit.virtual import VirtualLoop
from tests.kit.world import ORG, World

APP, ENDPOINT = UUID(int=1), UUID(int=2)
ARRIVED = AttemptResult(200, None, None, b"ok", 3)
FAILED = AttemptResult(500, kind_of("http_500"), "The receiver answered 500.", b"no", 12)
URL = "http://127.0.0.1:9/"
DELIVERED, PENDING, CANCELED = 0, 1, 4
NOW = 1_800_000_000.0


def outcome(number: int, due_at: float | None = None, **changes: Any) -> Outcome:
    completion = Completion(
        attempt_id=UUID(int=number), app_id=APP, endpoint_id=ENDPOINT, message_id=UUID(int=number),
        move=Move.RETRY if due_at else Move.DELIVER, failures=0, number=1, due_at=due_at, manual_at=None,
        answer=ARRIVED, succeeded=not due_at, revision=1,
    )  # fmt: skip
    completion = msgspec.structs.replace(completion, **changes)
    return Outcome(ActiveLane(APP, ENDPOINT, 2, Lane(Limits(1, 1), 0.0)), completion)


# when batches are written, in virtual time


class LoopClock:
    """The loop's time, as a clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> float:
        return self._loop.time()

    steady = now

    def apart(self) -> float:
        return 0.0

    async def wait(self, event: asyncio.Event, until: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(until - self.now()):
                await event.wait()


@dataclass
class Table:
    """The database: it notes what is written, and takes `takes` seconds for it."""

    loop: VirtualLoop
    takes: float = 0.0
    fails: list[Exception] = field(default_factory=list)
    refuses: set[int] = field(default_factory=set)
    refuses_answers: bool = False  # every receiver's response text is refused
    tried: list[tuple[float, int]] = field(default_factory=list)  # when, and how many outcomes
    written: list[int] = field(default_factory=list)
    rows: list[Completion] = field(default_factory=list)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        yield

    async def complete(
        self, connection: Connection, completions: Sequence[Completion], health: Sequence[Health]
    ) -> list[Completed]:
        numbers = [one.message_id.int for one in completions]
        self.tried.append((self.loop.time(), len(numbers)))
        await asyncio.sleep(self.takes)
        if self.fails:
            raise self.fails.pop(0)
        if self.refuses.intersection(numbers):
            raise ValueError("a value that no column can hold")
        if self.refuses_answers and any(one.answer and one.answer.response for one in completions):
            raise ValueError("a text that no column can hold")
        self.written += numbers
        self.rows += completions
        # in another order, as a database may answer
        return [Completed(one.endpoint_id, one.message_id, one.due_at) for one in reversed(completions)]


@dataclass
class Work:
    """A completer that writes to a table, and the notifications of lanes."""

    table: Table
    completer: Completer
    told: list[tuple[int, float | None]] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    def completed(self, batch: list[Outcome], due: list[float | None]) -> None:
        self.batches.append(len(batch))
        self.told += [(one.completion.message_id.int, at) for one, at in zip(batch, due, strict=True)]

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.completer.put(outcome(number))

    @property
    def pauses(self) -> list[float]:
        """Seconds between one try and the next."""
        times = [at for at, _ in self.table.tried]
        return [round(later - at, 6) for at, later in pairwise(times)]


Test = Callable[[Work], Coroutine[Any, Any, None]]
Run = Callable[[Test], None]


@pytest.fixture
def in_virtual_time(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(test: Test) -> None:
        async def work(loop: VirtualLoop) -> None:
            table = Table(loop)
            monkeypatch.setattr(complete, "complete", table.complete)
            database: Any = table

            def completed(batch: list[Outcome], due: list[float | None]) -> None:
                made.completed(batch, due)

            made = Work(
                table,
                Completer(database, LoopClock(loop), os.urandom, completed, lambda *_: None),
            )
            running = asyncio.create_task(made.completer.run())
            try:
                await test(made)
            finally:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running

        virtual.run(work)

    return run


def test_lanes_are_notified_in_order_with_the_next_due_time(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        await work.completer.drained()
        for number, due_at in ((1, None), (2, 5.0), (3, None), (4, 6.0)):
            work.completer.put(outcome(number, due_at))
        await work.completer.drained()
        assert work.told == [(1, None), (2, 5.0), (3, None), (4, 6.0)]
        assert work.batches == [4]

    in_virtual_time(test)


def test_outcomes_that_arrive_during_a_write_go_into_the_next_batch(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.takes = 1.0
        work.put(1)
        await asyncio.sleep(0.5)
        work.put(2, 3)
        await asyncio.sleep(0.75)
        assert work.told == [(1, None)]
        assert work.table.tried[1] == (work.table.tried[0][0] + 1.0, 2), "a few wait for nothing"
        work.put(4)
        await work.completer.drained()
        assert work.batches == [1, 2, 1]
        assert [number for number, _ in work.told] == [1, 2, 3, 4]

    in_virtual_time(test)


def test_after_a_large_batch_the_next_one_gathers(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.takes = 1.0
        for first, following, pause in (
            (CROWD, 1, 1.0 + GATHER),
            (CROWD - 1, 1, 1.0),
            (CROWD, MAX_BATCH // 2 - 1, 1.0 + GATHER),
            (CROWD, MAX_BATCH // 2, 1.0),
        ):
            work.put(0)
            await asyncio.sleep(10)  # a small batch, so this one begins without a pause
            work.table.tried.clear()
            work.put(*range(first))
            await asyncio.sleep(0.5)
            work.put(*range(following))
            await asyncio.sleep(10)
            assert work.pauses == [pause], (first, following)
            assert [size for _, size in work.table.tried] == [first, following]

    in_virtual_time(test)


def test_draining_does_not_gather(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.takes = 1.0
        work.put(*range(CROWD))
        await asyncio.sleep(0.5)
        work.put(9)
        await work.completer.drained()
        assert work.pauses == [1.0]
        assert len(work.told) == CROWD + 1

    in_virtual_time(test)


def test_a_batch_and_the_waiting_outcomes_are_bounded(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.takes = 1.0
        work.put(*range(CAPACITY - 1))
        assert not work.completer.full
        work.put(CAPACITY)
        assert work.completer.full
        await asyncio.sleep(0.5)
        assert work.completer.full, "what is being written has not gone yet"
        await asyncio.sleep(1.0)
        assert not work.completer.full
        work.put(*range(MAX_BATCH))
        assert work.completer.full
        await work.completer.drained()
        assert work.batches == [MAX_BATCH] * 6
        assert not work.completer.full

    in_virtual_time(test)


def test_nothing_more_is_sent_while_a_batch_takes_long(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.takes = 2 * SLOW
        work.put(1)
        await asyncio.sleep(SLOW / 2)
        assert not work.completer.stuck
        await asyncio.sleep(SLOW)
        assert work.completer.stuck
        await work.completer.drained()
        assert not work.completer.stuck

    in_virtual_time(test)


def test_while_the_database_is_away_the_same_batch_is_retried(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.fails = [StoreUnavailable() for _ in range(8)]
        work.put(1, 2)
        await asyncio.sleep(0.05)
        work.put(3)
        await work.completer.drained()
        assert [size for _, size in work.table.tried] == [2] * 9 + [1]
        assert work.pauses[:8] == [0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0]
        assert work.told == [(1, None), (2, None), (3, None)]
        work.table.tried.clear()
        work.table.fails = [StoreUnavailable()]
        work.put(4)
        await work.completer.drained()
        assert work.pauses == [0.1], "each batch begins with a short pause"

    in_virtual_time(test)


def test_a_refused_batch_is_retried_and_then_written_one_by_one(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.refuses = {2}
        work.put(1, 2, 3)
        await work.completer.drained()
        sizes = [size for _, size in work.table.tried]
        assert sizes == [3] * (TRIES + 1) + [1] + [1, 1] + [1], (
            "the refused one once more, without the answer"
        )
        assert work.pauses[: TRIES + 1] == [0.1, 0.2, 0.5, 0.0]
        assert work.table.written == [1, 3]
        assert work.told == [(1, None), (2, None), (3, None)], "no lane waits without end"
        assert work.completer.parked == {(ENDPOINT, UUID(int=2))}

    in_virtual_time(test)


def test_a_refused_outcome_does_not_delay_another(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.refuses = {1}
        work.put(1, 2)
        await work.completer.drained()
        assert work.table.written == [2]

    in_virtual_time(test)


def test_a_passing_refusal_is_no_reason_to_write_one_by_one(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.fails = [ValueError() for _ in range(TRIES)]
        work.put(1, 2)
        await work.completer.drained()
        assert [size for _, size in work.table.tried] == [2] * (TRIES + 1)
        assert work.table.written == [1, 2]

    in_virtual_time(test)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (StoreUnavailable(), StoreReason.UNREACHABLE),
        (StoreUnavailable(reason=StoreReason.DISK_FULL), StoreReason.DISK_FULL),
        (StoreUnavailable(reason=StoreReason.TOO_SLOW), StoreReason.TOO_SLOW),
        (StatementFailed(), StoreReason.SCHEMA),
    ],
)
def test_while_outcomes_cannot_be_written_the_reason_is_reported(
    in_virtual_time: Run, fault: Exception, reason: StoreReason
) -> None:
    async def test(work: Work) -> None:
        assert work.completer.waiting is None
        work.table.fails = [fault]
        work.put(1)
        await asyncio.sleep(0.05)  # the pause after the first try is longer
        assert work.completer.waiting is reason
        assert work.completer.stuck
        await work.completer.drained()
        assert work.completer.waiting is None
        assert not work.completer.stuck

    in_virtual_time(test)


def test_only_outcomes_are_refused_so_a_statement_that_fails_is_tried_with_all_of_them(
    in_virtual_time: Run,
) -> None:
    async def test(work: Work) -> None:
        work.table.fails = [StatementFailed() for _ in range(3 * TRIES)]
        work.put(1, 2)
        await work.completer.drained()
        assert [size for _, size in work.table.tried] == [2] * (3 * TRIES + 1)
        assert work.completer.parked == set()

    in_virtual_time(test)


@pytest.mark.parametrize("size", [2, 3])
def test_a_batch_that_takes_too_long_again_and_again_is_written_one_by_one(
    in_virtual_time: Run, size: int
) -> None:
    async def test(work: Work) -> None:
        work.table.fails = [StoreUnavailable(reason=StoreReason.TOO_SLOW) for _ in range(TRIES + 1)]
        work.put(*range(size))
        await work.completer.drained()
        assert [tried for _, tried in work.table.tried] == [size] * (TRIES + 1) + [1] * size
        assert work.table.written == list(range(size))
        assert [row.answer for row in work.table.rows] == [ARRIVED] * size, "and loses nothing"

    in_virtual_time(test)


def test_a_batch_that_was_slow_only_temporarily_stays_together(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        slow = StoreUnavailable(reason=StoreReason.TOO_SLOW)
        # what is away takes no time, so it does not count
        work.table.fails = [slow, StoreUnavailable(), StoreUnavailable(), slow, slow]
        work.put(1, 2)
        await work.completer.drained()
        assert [tried for _, tried in work.table.tried] == [2] * 6

    in_virtual_time(test)


def test_a_single_outcome_is_tried_however_long_it_takes(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.fails = [StoreUnavailable(reason=StoreReason.TOO_SLOW) for _ in range(3 * TRIES)]
        work.put(1)
        await work.completer.drained()
        assert [row.answer for row in work.table.rows] == [ARRIVED]
        assert work.completer.parked == set()

    in_virtual_time(test)


def test_a_refused_outcome_is_written_without_the_response(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        said = AttemptResult(
            503, kind_of("http_503"), "Busy.", b"no", 12, 60.0, (("x", "y"),), '{"retry-after": 60}'
        )
        refused = outcome(1, NOW + 60, answer=said, sent=(("a", "b"),))
        work.table.refuses_answers = True
        work.completer.put(refused)
        await work.completer.drained()
        bare = AttemptResult(503, said.kind, "The response could not be recorded.", None, 12, 60.0)
        assert work.table.rows == [msgspec.structs.replace(refused.completion, answer=bare, sent=())], (
            "the delivery moves as it would have"
        )
        assert work.told == [(1, NOW + 60)]
        assert work.completer.parked == set()

    in_virtual_time(test)


def test_an_outcome_that_is_refused_without_its_response_is_parked_and_reported(
    in_virtual_time: Run,
) -> None:
    async def test(work: Work) -> None:
        work.table.refuses = {1}
        work.completer.put(outcome(1, answer=None))
        with capture_logs() as logs:
            await work.completer.drained()
        assert len(work.table.tried) == TRIES + 1, "it is not tried again as it was"
        assert work.completer.parked == {(ENDPOINT, UUID(int=1))}
        assert work.told == [(1, None)]
        assert not work.completer.stuck, "the others continue"
        told = {one["event"]: one for one in logs if one["log_level"] == "error" and "message" in one}
        message = ids.text(ids.MESSAGE, UUID(int=1))
        assert told["complete.refused"]["message"] == told["complete.parked"]["message"] == message
        assert told["complete.parked"]["endpoint"] == ids.text(ids.ENDPOINT, ENDPOINT)

    in_virtual_time(test)


def test_other_outcomes_continue_after_an_outage_and_a_refusal(
    in_virtual_time: Run,
) -> None:
    async def test(work: Work) -> None:
        work.table.fails = [StoreUnavailable()]
        work.table.refuses = {1}
        work.put(1)
        await work.completer.drained()
        assert work.completer.parked == {(ENDPOINT, UUID(int=1))}
        assert work.completer.waiting is None
        assert not work.completer.stuck

    in_virtual_time(test)


def test_parked_outcomes_are_retried_each_minute_until_they_are_written(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.refuses = {1, 2}
        work.put(1, 2, 3)
        await work.completer.drained()
        parked_at = work.table.loop.time()
        assert work.completer.parked == {(ENDPOINT, UUID(int=1)), (ENDPOINT, UUID(int=2))}
        work.table.tried.clear()
        work.table.refuses = {1}
        await asyncio.sleep(AGAIN - 1)
        assert work.table.tried == []
        await asyncio.sleep(2)
        assert [round(at - parked_at, 6) for at, _ in work.table.tried] == [AGAIN, AGAIN], "each on its own"
        assert work.completer.parked == {(ENDPOINT, UUID(int=1))}
        work.table.refuses = set()
        await asyncio.sleep(AGAIN)
        assert [round(at - parked_at, 6) for at, _ in work.table.tried[2:]] == [2 * AGAIN]
        assert work.completer.parked == set()
        assert work.table.written == [3, 2, 1]
        assert [row.answer and row.answer.error for row in work.table.rows] == [
            None, "The response could not be recorded.", "The response could not be recorded."
        ]  # fmt: skip
        await asyncio.sleep(3 * AGAIN)
        assert len(work.table.tried) == 3
        assert work.told == [(1, None), (2, None), (3, None)], "a lane is notified once"

    in_virtual_time(test)


def test_parked_outcomes_wait_while_the_database_is_away(in_virtual_time: Run) -> None:
    async def test(work: Work) -> None:
        work.table.refuses = {1, 2}
        work.put(1, 2)
        await work.completer.drained()
        work.table.tried.clear()
        work.table.refuses = set()
        work.table.fails = [StoreUnavailable()]
        await asyncio.sleep(AGAIN + 1)
        assert len(work.table.tried) == 1, "the others would only wait for it too"
        assert not work.completer.stuck
        assert len(work.completer.parked) == 2
        await asyncio.sleep(AGAIN)
        assert work.table.written == [1, 2]
        assert work.completer.parked == set()

    in_virtual_time(test)


def test_all_parked_outcomes_are_retried_together_without_delaying_others(
    in_virtual_time: Run,
) -> None:
    async def test(work: Work) -> None:
        work.table.refuses = {1, 2}
        work.put(1)
        await work.completer.drained()
        parked_at = work.table.loop.time()
        await asyncio.sleep(AGAIN / 2)
        work.put(2, 3)
        await work.completer.drained()
        assert work.table.written == [3]
        work.table.tried.clear()
        work.table.refuses = set()
        await asyncio.sleep(AGAIN / 2)
        assert [round(at - parked_at, 6) for at, _ in work.table.tried] == [AGAIN, AGAIN]
        assert work.table.written == [3, 1, 2]

    in_virtual_time(test)


# what is written with the outcomes


class StillClock(ManualClock):
    """The time does not advance and nothing waits: a refused batch is retried at once."""

    async def wait(self, event: asyncio.Event, until: float) -> None:
        await asyncio.sleep(0)


@dataclass
class Desk:
    """An endpoint with pending messages, and an operator who gets alerts."""

    world: World
    app: Application
    endpoint: Endpoint
    operations: Application
    told: list[tuple[Outcome, float | None]] = field(default_factory=list)
    new_deliveries: list[NewDelivery] = field(default_factory=list)
    handed_over: int = 0  # how often

    def hand_over(self, new_deliveries: Sequence[NewDelivery], since: float) -> None:
        self.new_deliveries += new_deliveries
        self.handed_over += 1

    async def complete(self, *outcomes: Outcome) -> None:
        """Put them all, and wait until they are completed."""
        world = self.world

        def completed(batch: list[Outcome], due: list[float | None]) -> None:
            self.told += zip(batch, due, strict=True)

        completer = Completer(world.database, world.clock, os.urandom, completed, self.hand_over)
        for one in outcomes:
            completer.put(one)
        await written_by(completer)

    async def outcome(self, place: int = 0, **more: Any) -> Outcome:
        """A successful attempt at one of the pending messages."""
        rows = await self.world.fetch("select message_id from delivery order by message_id")
        completion = Completion(
            attempt_id=self.world.new_id(), app_id=self.app.id, endpoint_id=self.endpoint.id,
            message_id=rows[place]["message_id"], move=Move.DELIVER, failures=0, number=1, due_at=None,
            manual_at=None, answer=ARRIVED, succeeded=True, revision=1,
        )  # fmt: skip
        active = ActiveLane(self.app.id, self.endpoint.id, self.endpoint.shard, Lane(Limits(1, 1), 0.0))
        return Outcome(active, completion, **more)

    def disable(self, **more: Any) -> Disable:
        return Disable(ORG, self.app.id, self.endpoint.id, DisabledReason.GONE, **more)

    async def alerts(self) -> list[dict[str, Any]]:
        rows = await self.world.fetch(
            "select p.body from payload p join message m on m.id = p.message_id"
            " where m.app_id = $1 order by m.id",
            self.operations.id,
        )
        return [json.loads(row["body"]) for row in rows]


@pytest.fixture
async def desk(world: World) -> Desk:
    world = World(world.database, clock=StillClock(NOW))
    app = await world.application(uid="customer")
    operations = await world.application(org_id=OPERATIONS, uid=ORG)
    endpoint = await world.endpoint(app, URL, uid="orders")
    await world.endpoint(operations, URL)
    async with world.intake() as intake:
        await intake.accept_many([world.draft(app) for _ in range(3)])
    return Desk(world, app, endpoint, operations)


async def test_the_last_health_in_a_batch_counts(desk: Desk) -> None:
    def noted(failures: int) -> HealthRecord:
        return HealthRecord(desk.app.id, desk.endpoint.id, Health(NOW - 60, failures))

    await desk.complete(
        await desk.outcome(0, health=noted(1)), await desk.outcome(1, health=noted(2)), await desk.outcome(2)
    )
    rows = await desk.world.fetch("select failures, failing_since from endpoint_health")
    assert [tuple(row) for row in rows] == [(2, datetime_at(NOW - 60))]
    assert await desk.world.states() == {DELIVERED: 3}
    assert desk.new_deliveries == []


@pytest.mark.parametrize("failing_since", [None, NOW - 3600.5])
async def test_an_endpoint_is_disabled_with_all_that_follows_from_it(
    desk: Desk, failing_since: float | None
) -> None:
    heard: list[str] = []
    listening = await desk.world.database.dedicated()
    await listening.add_listener(shard.CHANNEL, lambda *said: heard.append(said[3]))
    health = HealthRecord(desk.app.id, desk.endpoint.id, Health(NOW - 60, 9))
    disable = desk.disable(failing_since=failing_since)
    await desk.complete(
        await desk.outcome(0, health=health), await desk.outcome(1, disable=disable)
    )  # one is still pending
    (row,) = await desk.world.fetch(
        "select disabled_at, disabled_reason from endpoint where id = $1", desk.endpoint.id
    )
    assert tuple(row) == (datetime_at(NOW), "gone")
    rows = await desk.world.fetch("select state from delivery where app_id = $1", desk.app.id)
    assert sorted(row["state"] for row in rows) == [DELIVERED, DELIVERED, CANCELED]
    ((noted,),) = await desk.world.fetch("select failures from endpoint_health")
    assert noted == 9
    target = ids.text(ids.ENDPOINT, desk.endpoint.id)
    (audit_event,) = await desk.world.fetch("select * from audit")
    assert (audit_event["org_id"], audit_event["app_id"], audit_event["actor"]) == (
        ORG,
        desk.app.id,
        "system",
    )
    assert (audit_event["action"], audit_event["target"]) == ("endpoint.disabled", target)
    assert (audit_event["before"], audit_event["after"]) == (
        {"disabled": False},
        {"disabled": True, "reason": "gone"},
    )
    assert ids.created_at(audit_event["id"]) == NOW
    assert await desk.alerts() == [
        {
            "type": DISABLED,
            "data": {
                "appId": ids.text(ids.APPLICATION, desk.app.id), "appUid": "customer",
                "endpointId": target, "endpointUid": "orders",
                "failSince": failing_since and "2027-01-15T06:59:59.500000Z",
                "trigger": "automatic", "reason": "gone",
            },
        }
    ]  # fmt: skip
    (new_deliveries,) = desk.new_deliveries
    assert (new_deliveries.app_id, new_deliveries.event_type, new_deliveries.due_at) == (
        desk.operations.id,
        DISABLED,
        NOW,
    )
    await until(lambda: f"e:{desk.endpoint.id.hex}" in heard)
    await listening.close()


async def test_manual_attempts_wait_for_a_disabled_endpoint(desk: Desk) -> None:
    resent = (await desk.outcome(2)).completion.message_id
    async with desk.world.database.transaction() as connection:
        target = await find_target(connection, desk.app.id, endpoint_id=desk.endpoint.id)
        assert target is not None
        await requeue.resend(connection, target, resent, datetime_at(NOW))
    await desk.complete(await desk.outcome(0, disable=desk.disable()))
    rows = await desk.world.fetch("select manual_at from delivery where manual_at is not null")
    assert [row["manual_at"] for row in rows] == [datetime_at(NOW)]


async def test_many_cancellations_are_left_to_a_task(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_task, "AT_ONCE", 1)
    await desk.complete(await desk.outcome(0, disable=desk.disable()))
    (task,) = await desk.world.fetch("select * from background_task")
    assert (task["org_id"], task["app_id"]) == (ORG, desk.app.id)
    assert ids.created_at(task["id"]) == NOW
    await finish_tasks(desk.world.database, desk.world.clock)
    rows = await desk.world.fetch("select state from delivery where app_id = $1", desk.app.id)
    assert sorted(row["state"] for row in rows) == [DELIVERED, CANCELED, CANCELED]


async def test_an_endpoint_that_has_changed_is_not_disabled(desk: Desk) -> None:
    await desk.world.fetch(
        "update endpoint set health_generation = 2 where id = $1 returning id", desk.endpoint.id
    )
    await desk.complete(await desk.outcome(0, disable=desk.disable(generation=1)))
    assert await desk.world.fetch("select from endpoint where disabled_at is not null") == []
    assert (await desk.alerts(), desk.new_deliveries, await desk.world.fetch("select from audit")) == (
        [],
        [],
        [],
    )
    assert desk.handed_over == 1, "the outcome is written once"
    assert await desk.world.states() == {DELIVERED: 1, PENDING: 2}
    await desk.complete(await desk.outcome(1, disable=desk.disable(generation=2)))
    assert len(await desk.alerts()) == 1
    assert await desk.world.states() == {DELIVERED: 2, PENDING: 1, CANCELED: 1}


async def test_an_endpoint_is_disabled_once(desk: Desk) -> None:
    twice = [await desk.outcome(place, disable=desk.disable()) for place in (0, 1)]
    await desk.complete(*twice)
    await desk.complete(await desk.outcome(2, disable=desk.disable()))
    assert len(await desk.alerts()) == len(await desk.world.fetch("select from audit")) == 1


async def test_an_alert_is_stored_and_handed_over_with_the_outcome_that_caused_it(desk: Desk) -> None:
    alert = Alert(FAILING, ORG, desk.app.id, desk.endpoint.id, {"a": 1})
    await desk.complete(await desk.outcome(0, alert=alert), await desk.outcome(1))
    (told,) = await desk.alerts()
    assert told["type"] == FAILING
    assert told["data"]["a"] == 1
    assert [new_deliveries.event_type for new_deliveries in desk.new_deliveries] == [FAILING]
    assert [due for _, due in desk.told] == [None, None]
    assert await desk.world.states() == {DELIVERED: 2, PENDING: 2}
