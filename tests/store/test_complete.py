"""What completing does to a delivery: every move, manual attempts beside the schedule, and late outcomes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import msgspec
import pytest

from angarium.core import header_code, ids
from angarium.core.failure import kind_of
from angarium.core.health import HEALTHY, Health
from angarium.core.lifecycle import Move
from angarium.core.outcome import AttemptResult
from angarium.store import requeue
from angarium.store.cancel import cancel_pending
from angarium.store.complete import (
    Completed,
    Completion,
    HealthRecord,
    complete,
)
from angarium.store.database import Database
from angarium.store.endpoint import Uids, uids
from angarium.store.hint import send
from angarium.store.shard import CHANNEL, shard_of
from angarium.store.target import ReplayTarget
from tests.kit.patience import until
from tests.kit.rows import add_endpoint
from tests.kit.world import World

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
DELIVERED, PENDING, EXHAUSTED, CANCELED = 0, 1, 2, 4
FAILED = AttemptResult(500, kind_of("http_500"), "The receiver answered 500.", b"no", 12)
LATE = AttemptResult(0, kind_of("timeout"), "No answer.", None, 5)
ARRIVED = AttemptResult(200, None, None, b"\x00\xff not text", 3)


@dataclass
class Case:
    """One delivery in the table."""

    database: Database
    app_id: UUID
    endpoint_id: UUID
    message_id: UUID
    pending: bool
    clock: Iterator[int] = field(default_factory=count)
    made: set[UUID] = field(default_factory=set)

    async def row(self) -> Any:
        async with self.database.connection() as connection:
            return await connection.fetchrow("select * from delivery")

    async def attempts(self) -> list[Any]:
        async with self.database.connection() as connection:
            return list(await connection.fetch("select * from attempt where status is not null order by id"))

    def completion(
        self, move: Move, *, failures: int = 0, due: datetime | None = None,
        manual_at: datetime | None = None, answer: AttemptResult | None = FAILED,
    ) -> Completion:  # fmt: skip
        return Completion(
            attempt_id=ids.new(NOW.timestamp() + next(self.clock), os.urandom(8)), app_id=self.app_id,
            endpoint_id=self.endpoint_id, message_id=self.message_id, move=move, failures=failures,
            number=0 if answer is None else len(self.made) + 1,
            due_at=due.timestamp() if due and move is Move.RETRY else None, manual_at=manual_at,
            answer=answer, succeeded=move is Move.DELIVER, revision=3,
            pending=self.pending and not self.made and manual_at is None,
        )  # fmt: skip

    async def write(self, completion: Completion) -> Completed:
        if completion.answer is not None:
            self.made.add(completion.attempt_id)
        async with self.database.connection() as connection:
            (completed,) = await complete(connection, [completion], [])
        return completed

    async def complete(self, move: Move, **values: Any) -> Completed:
        return await self.write(self.completion(move, **values))

    async def resend(self, now: datetime) -> None:
        target = ReplayTarget(self.endpoint_id, self.app_id, 7, False, None, None, None)
        async with self.database.transaction() as connection:
            await requeue.resend(connection, target, self.message_id, now)


@pytest.fixture(params=["pending", "scheduled"])
async def case(request: pytest.FixtureRequest, database: Database) -> Case:
    app_id, endpoint_id, message_id = (ids.new(NOW.timestamp(), os.urandom(8)) for _ in range(3))
    await World(database).application(id=app_id)
    async with database.connection() as connection:
        await connection.execute(
            "insert into pending (app_id, endpoint_id, message_id, shard, due_at) values ($1, $2, $3, $4, $5)"
            if request.param == "pending"
            else "insert into retry (app_id, endpoint_id, message_id, shard, due_at, state, scheduled)"
            " values ($1, $2, $3, $4, $5, 1, true)",
            app_id, endpoint_id, message_id, shard_of(endpoint_id), NOW,
        )  # fmt: skip
    return Case(database, app_id, endpoint_id, message_id, request.param == "pending")


async def test_a_success_ends_the_delivery(case: Case) -> None:
    completed = await case.complete(Move.DELIVER, answer=ARRIVED)
    row = await case.row()
    assert (row["state"], row["due_at"], completed.due_at) == (DELIVERED, None, None)
    (attempt,) = await case.attempts()
    assert (attempt["status"], attempt["response"]) == (0, b"\x00\xff not text")


async def test_a_failure_with_schedule_left_is_due_again(case: Case) -> None:
    completed = await case.complete(Move.RETRY, due=LATER)
    row = await case.row()
    assert (row["state"], row["failures"], row["due_at"]) == (PENDING, 1, LATER)
    assert completed.due_at == LATER.timestamp()


async def test_the_last_failure_exhausts(case: Case) -> None:
    await case.complete(Move.EXHAUST)
    row = await case.row()
    assert (row["state"], row["failures"], row["due_at"]) == (EXHAUSTED, 1, None)


async def test_a_delivery_without_payload_is_canceled_without_an_attempt(case: Case) -> None:
    await case.complete(Move.CANCEL, answer=None)
    row = await case.row()
    assert (row["state"], row["due_at"]) == (CANCELED, None)
    assert await case.attempts() == []


async def test_a_late_failure_does_not_undo_a_newer_state(case: Case) -> None:
    await case.complete(Move.RETRY, due=LATER)
    await case.complete(Move.RETRY, failures=0, due=LATER + timedelta(hours=1))
    row = await case.row()
    assert (row["failures"], row["due_at"]) == (1, LATER)
    await case.complete(Move.EXHAUST, failures=0)
    assert (await case.row())["state"] == PENDING
    await case.complete(Move.DELIVER, failures=0, answer=ARRIVED)
    await case.complete(Move.RETRY, failures=1, due=LATER)
    row = await case.row()
    assert (row["state"], row["due_at"]) == (DELIVERED, None)
    assert [a["number"] for a in await case.attempts()] == [1, 2, 3, 4, 5], "every attempt is on record"
    assert row["attempts"] == 5


async def test_a_failed_resend_leaves_the_automatic_retries_as_they_were(case: Case) -> None:
    """Svix's server drops the remaining retries after a manual resend."""
    await case.complete(Move.RETRY, due=LATER)
    asked = NOW + timedelta(minutes=1)
    await case.resend(asked)
    row = await case.row()
    assert (row["due_at"], row["resume_at"], row["manual_at"]) == (asked, LATER, asked)
    completed = await case.complete(Move.KEEP, failures=1, manual_at=asked)
    row = await case.row()
    assert (row["state"], row["failures"], row["due_at"]) == (PENDING, 1, LATER)
    assert (row["resume_at"], row["manual_at"]) == (None, None)
    assert completed.due_at == LATER.timestamp()
    assert [attempt["manual"] for attempt in await case.attempts()] == [False, True]


async def test_a_resend_while_an_attempt_is_in_flight_is_still_attempted(case: Case) -> None:
    asked = NOW + timedelta(seconds=1)
    await case.resend(asked)
    await case.complete(Move.RETRY, due=LATER)  # the automatic attempt that was under way
    row = await case.row()
    assert (row["due_at"], row["resume_at"], row["manual_at"]) == (asked, LATER, asked)
    await case.complete(Move.KEEP, failures=1, manual_at=asked)
    assert (await case.row())["due_at"] == LATER


async def test_a_second_resend_during_the_first_is_attempted_too(case: Case) -> None:
    first, second = NOW + timedelta(seconds=1), NOW + timedelta(seconds=2)
    await case.complete(Move.DELIVER, answer=ARRIVED)
    await case.resend(first)
    await case.resend(second)
    completed = await case.complete(Move.DELIVER, manual_at=first, answer=ARRIVED)
    row = await case.row()
    assert (row["state"], row["manual_at"], completed.due_at) == (DELIVERED, second, second.timestamp())


async def test_a_resend_of_an_exhausted_delivery_may_deliver_it(case: Case) -> None:
    await case.complete(Move.EXHAUST)
    await case.resend(LATER)
    await case.complete(Move.KEEP, failures=1, manual_at=LATER)
    assert (await case.row())["state"] == EXHAUSTED
    await case.resend(LATER)
    await case.complete(Move.DELIVER, failures=1, manual_at=LATER, answer=ARRIVED)
    row = await case.row()
    assert (row["state"], row["due_at"], row["manual_at"]) == (DELIVERED, None, None)


@pytest.mark.parametrize("move", list(Move))
async def test_a_completion_that_is_repeated_changes_nothing(case: Case, move: Move) -> None:
    """A commit whose confirmation was lost is written again."""
    await case.complete(Move.RETRY, due=LATER)
    manual_at = None
    if move is Move.KEEP:
        manual_at = NOW + timedelta(seconds=9)
        await case.resend(manual_at)
    completion = case.completion(move, failures=1, due=LATER + timedelta(hours=1), manual_at=manual_at)
    first = await case.write(completion)
    row = await case.row()
    assert await case.write(completion) == first
    assert await case.row() == row
    assert len(await case.attempts()) == 2


_BLOCKED = "select exists (select from pg_locks where locktype = 'transactionid' and not granted)"


@pytest.mark.parametrize("move", [Move.RETRY, Move.DELIVER, Move.EXHAUST])
async def test_two_concurrent_completions_record_one_attempt(case: Case, move: Move) -> None:
    """A connection is lost, and its statement is still under way when it is tried again. The second statement
    does not see what the first has written."""
    completion = case.completion(move, due=LATER)
    async with case.database.transaction() as connection:
        await complete(connection, [completion], [])
        again = asyncio.create_task(case.write(completion))
        await until(lambda: connection.fetchval(_BLOCKED), "the second waits for the first")
    await again
    (made,) = await case.attempts()
    assert made["id"] == completion.attempt_id
    row = await case.row()
    assert row["attempts"] == 1
    assert row["failures"] == (0 if move is Move.DELIVER else 1)


@pytest.mark.parametrize("move", [Move.KEEP, Move.RETRY, Move.DELIVER])
async def test_a_manual_request_still_waits_for_the_endpoint_after_an_attempt(case: Case, move: Move) -> None:
    """An attempt was in flight when the endpoint was disabled and its message sent again by hand."""
    disabled = ReplayTarget(case.endpoint_id, case.app_id, 7, False, None, None, NOW)
    async with case.database.transaction() as connection:
        await cancel_pending(connection, case.app_id, case.endpoint_id, None, 10, NOW)
        await requeue.resend(connection, disabled, case.message_id, LATER)
    completed = await case.complete(move, due=LATER, answer=ARRIVED if move is Move.DELIVER else FAILED)
    row = await case.row()
    assert (row["due_at"], row["resume_at"], row["manual_at"], completed.due_at) == (None, None, LATER, None)


async def test_the_last_recorded_health_counts(case: Case) -> None:
    async with case.database.connection() as connection:
        await add_endpoint(connection, case.app_id, case.endpoint_id)
        sick = HealthRecord(case.app_id, case.endpoint_id, Health(NOW.timestamp(), 3))
        await complete(connection, [], [sick])
        await complete(connection, [], [HealthRecord(case.app_id, case.endpoint_id, HEALTHY)])
        row = await connection.fetchrow("select failing_since, failures from endpoint_health")
    assert tuple(row) == (None, 0)


async def test_a_delivery_shows_its_last_attempt_and_a_late_outcome_does_not_hide_it(case: Case) -> None:
    assert (await case.row())["status_code"] is None
    late = case.completion(Move.RETRY, due=LATER, answer=LATE)
    await case.complete(Move.RETRY, due=LATER)
    row = await case.row()
    assert (row["status_code"], row["error_code"]) == (500, "http_500")
    await case.complete(Move.DELIVER, failures=1, answer=ARRIVED)
    await case.write(late)
    row = await case.row()
    assert (row["state"], row["status_code"], row["error_code"]) == (DELIVERED, 200, None)


async def test_the_headers_of_an_attempt_are_kept(case: Case) -> None:
    answer = msgspec.structs.replace(ARRIVED, headers=(("Server", "caf\u00e9"),))
    await case.write(
        msgspec.structs.replace(case.completion(Move.DELIVER, answer=answer), sent=(("webhook-id", "msg_1"),))
    )
    (made,) = await case.attempts()
    kept = header_code.decode(made["exchange"], message_id=made["message_id"], attempt_id=made["id"])
    assert kept == ((("webhook-id", "msg_1"),), (("Server", "caf\u00e9"),))


async def test_every_field_of_each_attempt_in_a_batch_is_stored(case: Case) -> None:
    """Columns that are empty for one outcome are not for its neighbour in the batch."""
    asked = NOW + timedelta(seconds=1)
    ids_of = [ids.new(NOW.timestamp() + second, os.urandom(8)) for second in range(4)]
    async with case.database.connection() as connection:
        for message_id in ids_of[1:]:
            await connection.execute(
                "insert into pending (app_id, endpoint_id, message_id, shard, due_at)"
                " values ($1, $2, $3, $4, $5)",
                case.app_id, case.endpoint_id, message_id, shard_of(case.endpoint_id), NOW,
            )  # fmt: skip
    batch = [
        case.completion(Move.RETRY, due=LATER),
        case.completion(Move.DELIVER, answer=ARRIVED),
        case.completion(Move.KEEP, manual_at=asked, answer=LATE),
        case.completion(Move.CANCEL, answer=None),
    ]
    batch = [
        msgspec.structs.replace(
            one, message_id=message_id, revision=place + 1, number=0 if one.answer is None else 7
        )
        for place, (one, message_id) in enumerate(zip(batch, [case.message_id, *ids_of[1:]], strict=True))
    ]
    async with case.database.connection() as connection:
        completed = await complete(connection, batch, [])
        rows = await connection.fetch("select * from attempt where status is not null order by id")
    assert {one.message_id: one.due_at for one in completed} == {
        batch[0].message_id: LATER.timestamp(), batch[1].message_id: None,
        batch[2].message_id: NOW.timestamp(), batch[3].message_id: None,
    }  # fmt: skip
    assert {one.endpoint_id for one in completed} == {case.endpoint_id}
    kept = ("status", "status_code", "error_code", "error", "response", "duration_ms", "next_at", "manual")
    assert [tuple(row[name] for name in kept) for row in rows] == [
        (2, 500, "http_500", "The receiver answered 500.", b"no", 12, LATER, False),
        (0, 200, None, None, b"\x00\xff not text", 3, None, False),
        (2, 0, "timeout", "No answer.", None, 5, None, True),
    ]
    assert [(row["id"], row["message_id"]) for row in rows] == [
        (one.attempt_id, one.message_id) for one in batch[:3]
    ]
    assert {(row["app_id"], row["endpoint_id"], row["number"]) for row in rows} == {
        (case.app_id, case.endpoint_id, 7)
    }
    assert [row["revision"] for row in rows] == [1, 2, 3]


async def test_every_field_of_each_endpoints_health_is_stored(case: Case) -> None:
    at = NOW.timestamp()
    endpoints = [ids.new(at, os.urandom(8)) for _ in range(2)]
    sick = HealthRecord(case.app_id, endpoints[0], Health(at, 3, at + 1, at + 2, at + 3), generation=4)
    well = HealthRecord(case.app_id, endpoints[1], HEALTHY)
    names = ("app_id", "endpoint_id", "failing_since", "failures", "run_since", "run_until", "clock_since")
    async with case.database.connection() as connection:
        for endpoint_id in endpoints:
            await add_endpoint(connection, case.app_id, endpoint_id)
        of_nobody = HealthRecord(case.app_id, case.app_id, Health(at, 3))
        assert await complete(connection, [], [sick, well, of_nobody]) == []
        rows = await connection.fetch("select * from endpoint_health order by failures desc")
    assert [tuple(row[name] for name in (*names, "generation")) for row in rows] == [
        (case.app_id, endpoints[0], NOW, 3, *(NOW + timedelta(seconds=n) for n in (1, 2, 3)), 4),
        (case.app_id, endpoints[1], None, 0, None, None, None, 0),
    ]


async def test_uids_of_endpoint_and_application_are_found(world: World) -> None:
    named, plain = await world.application(uid="customer"), await world.application()
    one = await world.endpoint(named, "http://127.0.0.1:9/", uid="orders")
    two = await world.endpoint(plain, "http://127.0.0.1:9/")
    async with world.database.connection() as connection:
        asked = [(named.id, one.id), (plain.id, two.id), (plain.id, one.id), (plain.id, world.new_id())]
        assert await uids(connection, asked) == {one.id: Uids("customer", "orders"), two.id: Uids(None, None)}


@pytest.mark.parametrize("alone", [False, True])
async def test_hints_arrive_when_the_transaction_commits(world: World, alone: bool) -> None:
    heard: list[str] = []
    listening = await world.database.dedicated()
    await listening.add_listener(CHANNEL, lambda *said: heard.append(said[3]))
    async with world.database.connection() as connection:
        async with connection.transaction():
            await connection.execute("set local synchronous_commit = on")
            await send(connection, ["t:", "s:"], alone=alone)
            await listening.execute("select 1")
            assert heard == []
            durable = await connection.fetchval("show synchronous_commit")
        await send(connection, ["x:"])
    assert (durable == "off") is alone, "a hint alone need not wait for the disk"
    await until(lambda: heard == ["t:", "s:", "x:"])
    await listening.close()
