"""Deletion continues beside background tasks, and after a table that fails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from angarium.clock import DOUBTFUL
from angarium.dispatch import maintenance
from angarium.dispatch.maintenance import Maintenance
from angarium.store import message, partition
from angarium.store.database import Database
from angarium.store.retention import LANES, SLICE, LaneRule, Retention
from tests.kit.clock import ManualClock
from tests.kit.ended import end

OLD = (
    "insert into angarium.idempotency (key, locked_until, expires_at)"
    " select uuid_send(gen_random_uuid()), $1, $1"
)
NOW = datetime(2027, 6, 15, 12, tzinfo=UTC)


async def _count(database: Database, table: str) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval(f"select count(*) from {table}"))


async def _fill(database: Database, rows: int) -> None:
    async with database.connection() as connection:
        await connection.execute(f"{OLD} from generate_series(1, {rows})", NOW - timedelta(days=1))


async def test_all_old_rows_are_deleted_in_one_round_with_tasks_between_slices(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 3 * SLICE + 1
    await _fill(database, rows)
    seen: list[int] = []

    async def turn(database: Database, *_: Any, **__: Any) -> int:
        seen.append(await _count(database, "angarium.idempotency"))
        return 0

    monkeypatch.setattr(maintenance, "run_due_tasks", turn)
    await end(database, ManualClock(NOW.timestamp()))
    assert sorted(set(seen), reverse=True) == [rows, *(rows - n * SLICE for n in (1, 2, 3)), 0]


async def test_a_table_that_fails_does_not_keep_the_others_from_being_cleaned(database: Database) -> None:
    await _fill(database, 1)
    async with database.connection() as connection:
        await connection.execute("alter table event_id rename to elsewhere")
    await end(database, ManualClock(NOW.timestamp()))
    assert await _count(database, "angarium.idempotency") == 0


async def test_a_partition_in_use_is_dropped_at_a_later_round(database: Database) -> None:
    clock = ManualClock((NOW + timedelta(days=200)).timestamp())
    async with database.transaction() as reading:
        assert await message.exists(reading, UUID(int=0), UUID(int=0)) is False
        await end(database, clock)
        left = await reading.fetchval(
            "select count(*) from pg_inherits where inhparent = 'message'::regclass"
        )
        assert left > partition.AHEAD + 1
    await end(database, clock)
    async with database.connection() as connection:
        left = await connection.fetchval(
            "select count(*) from pg_inherits where inhparent = 'message'::regclass"
        )
    assert left == partition.AHEAD + 1


async def test_lanes_are_walked_once_for_each_dropped_day(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice at a time. Nothing looks at the lanes in other rounds."""
    lanes, stride = 25, 10
    walked: list[str] = []

    def counted(rule: LaneRule) -> LaneRule:
        async def verb(*arguments: Any, **values: Any) -> Any:
            walked.append(rule.table)
            return await rule.verb(*arguments, **(values | {"lanes": stride}))

        return LaneRule(rule.table, verb)

    monkeypatch.setattr(maintenance, "LANES", [counted(rule) for rule in LANES])
    clock = ManualClock((NOW + timedelta(days=200)).timestamp())
    made = Maintenance(database, clock, lambda: True, Retention())
    async with database.connection() as connection:
        await connection.execute(
            "insert into pending (shard, endpoint_id, message_id, app_id, due_at)"
            " select n % 64, gen_random_uuid(), new_id($1), gen_random_uuid(), $1"
            " from generate_series(1, $2) n",
            NOW, lanes,
        )  # fmt: skip
    async with database.transaction() as reading:
        await message.exists(reading, UUID(int=0), UUID(int=0))  # the days cannot be dropped
        for _ in range(2):
            await made.delete()
            assert walked == ["pending"] * 3 + ["retry"]
    assert await _count(database, "pending") == 0
    await made.delete()
    assert await _messages(database) == partition.AHEAD + 1, "the days are dropped"
    await made.delete()
    await Maintenance(database, clock, lambda: True, Retention()).delete()  # as after a restart
    assert walked == ["pending"] * 3 + ["retry"]
    await clock.advance_to((NOW + timedelta(days=400)).timestamp())
    await made.delete()
    await made.delete()
    assert walked == (["pending"] * 3 + ["retry"]) + ["pending", "retry"]


async def _messages(database: Database) -> int:
    async with database.connection() as connection:
        query = "select count(*) from pg_inherits where inhparent = 'message'::regclass"
        return int(await connection.fetchval(query))


@pytest.mark.parametrize("ahead", [DOUBTFUL + 1, -DOUBTFUL - 1])
async def test_nothing_is_deleted_while_two_clocks_disagree(database: Database, ahead: float) -> None:
    await _fill(database, 3)
    clock = ManualClock((NOW + timedelta(days=200)).timestamp())
    made = Maintenance(database, clock, lambda: True, Retention())
    before = await _messages(database)
    clock.ahead = ahead
    with capture_logs() as logs:
        await made.delete()
    assert [log["apart"] for log in logs if log["event"] == "retention.held"] == [ahead]
    assert await _messages(database) == before + partition.AHEAD + 1, "future partitions are still created"
    assert await _count(database, "angarium.idempotency") == 3
    clock.ahead = DOUBTFUL - 1
    await made.delete()
    assert await _messages(database) == partition.AHEAD + 1
    assert await _count(database, "angarium.idempotency") == 0


async def test_a_clock_that_jumped_forward_is_trusted_after_a_day(database: Database) -> None:
    await _fill(database, 3)
    clock = ManualClock(NOW.timestamp())
    made = Maintenance(database, clock, lambda: True, Retention())
    made.clock_jumped(maintenance.LEAP + 1)
    await clock.advance_to(clock.now() + maintenance.DOUBT - 1)
    await made.delete()
    assert await _count(database, "angarium.idempotency") == 3
    await clock.advance_to(clock.now() + 1)
    await made.delete()
    assert await _count(database, "angarium.idempotency") == 0


@pytest.mark.parametrize("jumps", [(maintenance.LEAP - 1,), (0.0,), (-7200.0,), (7200.0, -7200.0)])
async def test_small_jumps_sleep_and_a_clock_set_back_do_not_stop_deletion(
    database: Database, jumps: tuple[float, ...]
) -> None:
    made = Maintenance(database, ManualClock(NOW.timestamp()), lambda: True, Retention())
    for by in jumps:
        made.clock_jumped(by)
    assert not made.doubts_clock
