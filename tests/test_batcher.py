"""The batcher in virtual time: what goes together, what is bounded, what a failure does, and how it stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from angarium.batcher import Batcher, Bound, Gather, Unwritten
from tests.kit import virtual
from tests.kit.virtual import VirtualLoop

WRITES = 1.0  # seconds that a batch takes
GATHER = 0.25
CROWD = 3
MOST = 10

Decide = Callable[[Unwritten[int]], Awaitable[Sequence[list[int]]]]


async def give_up(unwritten: Unwritten[int]) -> Sequence[list[int]]:
    return []


@dataclass
class Table:
    """A table for batches of numbers. It refuses some numbers, and fails at first."""

    loop: VirtualLoop
    refuses: set[int] = field(default_factory=set)
    fails: int = 0
    tried: list[tuple[float, list[int]]] = field(default_factory=list)
    done: list[tuple[list[int], int]] = field(default_factory=list)
    failures: list[tuple[list[int], int, int]] = field(default_factory=list)
    batcher: Any = None

    async def write(self, batch: list[int]) -> int:
        self.tried.append((self.loop.time(), batch))
        await asyncio.sleep(WRITES)
        if self.fails:
            self.fails -= 1
            raise OSError("away")
        if self.refuses & set(batch):
            raise ValueError("refused")
        return sum(batch)

    def written(self, batch: list[int], total: int) -> None:
        self.done.append((batch, total))

    def put(self, *numbers: int) -> list[bool]:
        return [self.batcher.put(number) for number in numbers]

    @property
    def batches(self) -> list[list[int]]:
        return [batch for _, batch in self.tried]

    @property
    def pauses(self) -> list[float]:
        """Between the end of one write and the beginning of the next."""
        return [round(later - at - WRITES, 6) for (at, _), (later, _) in pairwise(self.tried)]


Test = Callable[[Table], Coroutine[Any, Any, None]]


def run(test: Test, failed: Decide = give_up, **options: Any) -> Table:
    """Run a test beside a batcher at work, which is closed after it."""
    tables: list[Table] = []

    async def work(loop: VirtualLoop) -> None:
        table = Table(loop)
        tables.append(table)

        async def decide(unwritten: Unwritten[int]) -> Sequence[list[int]]:
            parts = await failed(unwritten)
            table.failures.append((unwritten.batch, unwritten.tries, unwritten.refusals))
            return parts

        bounds: dict[str, Any] = {
            "most": Bound(MOST),
            "gather": Gather(GATHER, CROWD),
            "steady": loop.time,
        } | options
        batcher: Batcher[int, int] = Batcher(table.write, table.written, decide, **bounds)
        table.batcher = batcher
        running = asyncio.create_task(batcher.run())
        await test(table)
        batcher.close()
        await running
        assert len(batcher) == 0

    virtual.run(work)
    return tables[0]


# what goes together


def test_a_lone_entry_waits_for_nothing_and_what_comes_meanwhile_goes_together() -> None:
    async def test(table: Table) -> None:
        began = table.loop.time()
        table.put(1)
        await asyncio.sleep(WRITES / 2)
        table.put(2, 3)
        await asyncio.sleep(3 * WRITES)
        assert table.tried == [(began, [1]), (began + WRITES, [2, 3])]
        assert table.done == [([1], 1), ([2, 3], 5)]

    run(test)


@pytest.mark.parametrize(
    ("first", "came", "options", "pause"),
    [
        (CROWD, 1, {}, GATHER),
        (CROWD - 1, 1, {}, 0.0),
        (CROWD, MOST // 2 - 1, {}, GATHER),
        (CROWD, MOST // 2, {}, 0.0),
        (1, 1, {"gather": Gather(GATHER, came=1)}, GATHER),
        (1, 1, {"gather": Gather(GATHER, came=2)}, 0.0),
        (1, 2, {"gather": Gather(GATHER, came=2)}, GATHER),
    ],
)
def test_after_a_crowd_more_may_join_unless_half_a_batch_waits(
    first: int, came: int, options: dict[str, Any], pause: float
) -> None:
    async def test(table: Table) -> None:
        table.put(*range(first))
        await asyncio.sleep(WRITES / 2)
        table.put(*range(came))
        await asyncio.sleep(WRITES / 2 + GATHER / 2)
        table.put(99)
        await asyncio.sleep(10)
        assert table.pauses[0] == pause
        assert (99 in table.batches[1]) == bool(pause), "it joins those for whom the batch waits"

    run(test, **options)


def test_an_entry_long_after_a_crowd_waits_for_nothing() -> None:
    async def test(table: Table) -> None:
        table.put(*range(CROWD))
        await asyncio.sleep(WRITES + GATHER + 1)
        came = table.loop.time()
        table.put(1)
        await asyncio.sleep(WRITES)
        assert table.tried[1] == (came, [1])

    run(test)


@pytest.mark.parametrize("first", [CROWD, CROWD - 1])
def test_a_burst_after_a_crowd_goes_together_where_nobody_waits(first: int) -> None:
    async def test(table: Table) -> None:
        table.put(*range(first))
        await asyncio.sleep(WRITES + GATHER / 2)  # a pause that began at the end of the batch is not over
        came = table.loop.time()
        table.put(1)
        await asyncio.sleep(GATHER / 2)
        table.put(2)
        await table.batcher.drained()
        gathers = first == CROWD
        assert table.tried[1] == ((came + GATHER, [1, 2]) if gathers else (came, [1]))

    run(test, gather=Gather(GATHER, CROWD, from_first=True))


# entries with patience

PATIENCE = 3.0


def test_an_entry_with_patience_waits_so_long_and_is_written_then() -> None:
    async def test(table: Table) -> None:
        began = table.loop.time()
        table.batcher.put(1, patience=PATIENCE)
        await asyncio.sleep(PATIENCE / 2)
        table.batcher.put(2, patience=PATIENCE)
        await asyncio.sleep(2 * PATIENCE)
        assert table.tried == [(began + PATIENCE, [1, 2])], "the time of the first counts"
        table.batcher.put(3, patience=PATIENCE)
        again = table.loop.time()
        await asyncio.sleep(2 * PATIENCE)
        assert table.tried[1] == (again + PATIENCE, [3])

    run(test)


def test_an_entry_with_patience_joins_the_batch_of_one_without() -> None:
    async def test(table: Table) -> None:
        table.batcher.put(1, patience=PATIENCE)
        await asyncio.sleep(1)
        came = table.loop.time()
        table.put(2)
        await asyncio.sleep(2 * PATIENCE)
        assert table.tried == [(came, [1, 2])]

    run(test)


def test_an_entry_with_patience_that_comes_during_a_batch_waits_for_another_or_for_its_time() -> None:
    async def test(table: Table) -> None:
        began = table.loop.time()
        table.put(1)
        await asyncio.sleep(WRITES / 2)
        table.batcher.put(2, patience=PATIENCE)
        await asyncio.sleep(2 * PATIENCE)
        assert table.tried == [(began, [1]), (began + WRITES / 2 + PATIENCE, [2])]
        assert len(table.batcher) == 0

    run(test)


@pytest.mark.parametrize("stop", ["drained", "close"])
def test_an_entry_with_patience_is_written_at_once_before_a_stop(stop: str) -> None:
    async def test(table: Table) -> None:
        began = table.loop.time()
        table.batcher.put(1, patience=PATIENCE)
        await asyncio.sleep(WRITES / 2)
        if stop == "drained":
            await table.batcher.drained()
            assert table.done == [([1], 1)]
            table.batcher.put(2, patience=PATIENCE)
            await asyncio.sleep(WRITES)
            assert table.batches == [[1], [2]], "and so is one that comes later"
        else:
            table.batcher.close()
            await asyncio.sleep(2 * WRITES)
        assert table.tried[0] == (began + WRITES / 2, [1])

    run(test)


def test_what_a_bound_leaves_of_entries_with_patience_follows_at_once() -> None:
    async def test(table: Table) -> None:
        for number in range(MOST + 1):
            table.batcher.put(number, patience=PATIENCE)
        await asyncio.sleep(PATIENCE + 3 * WRITES)
        assert [len(batch) for batch in table.batches] == [MOST, 1]
        assert table.pauses in ([0.0], [GATHER])

    run(test)


# what is bounded


def test_a_batch_takes_so_many_and_keeps_the_order() -> None:
    async def test(table: Table) -> None:
        table.put(*range(25))
        await table.batcher.drained()
        assert table.batches == [list(range(10)), list(range(10, 20)), list(range(20, 25))]

    run(test)


@pytest.mark.parametrize(
    ("most", "batches"),
    [
        (Bound(items=4), [[5], [1, 1, 1, 1], [2, 3], [1]]),
        (Bound(weight=50), [[5], [1, 1, 1, 1, 2], [3, 1]]),
        (Bound(items=4, weight=30), [[5], [1, 1, 1], [1, 2], [3], [1]]),
    ],
)
def test_a_batch_ends_where_it_reaches_a_bound_and_no_entry_is_divided(
    most: Bound, batches: list[list[int]]
) -> None:
    """A number stands for so many items of ten bytes each."""

    async def test(table: Table) -> None:
        table.put(5, 1, 1, 1, 1, 2, 3, 1)
        await table.batcher.drained()
        assert table.batches == batches

    run(test, most=most, weigh=lambda number: (number, 10 * number))


@pytest.mark.parametrize("capacity", [Bound(items=6), Bound(weight=60)])
def test_what_waits_is_bounded_and_there_is_room_again_when_it_is_taken(capacity: Bound) -> None:
    async def test(table: Table) -> None:
        assert table.put(3, 3, 1) == [True, True, False]
        await asyncio.sleep(WRITES / 2)
        assert len(table.batcher) == 2, "they are being written"
        assert table.put(7, 4, 2, 1) == [False, True, True, False]
        await table.batcher.drained()
        assert table.batches == [[3, 3], [4, 2]]

    run(test, capacity=capacity, weigh=lambda number: (number, 10 * number))


def test_an_entry_without_a_weight_is_one_item() -> None:
    async def test(table: Table) -> None:
        assert table.put(7, 8, 9) == [True, True, False]
        await table.batcher.drained()
        assert table.put(7, 8, 9) == [True, True, False], "there is room again"

    run(test, capacity=Bound(items=2, weight=0))


def test_what_is_under_way_is_known() -> None:
    async def test(table: Table) -> None:
        assert table.batcher.under_way == 0.0
        table.fails = 1
        table.put(1)
        await asyncio.sleep(WRITES * 1.5)
        assert table.batcher.under_way == WRITES * 1.5, "the second try of the same batch"
        await asyncio.sleep(2 * WRITES)
        assert table.batcher.under_way == 0.0
        table.put(*range(CROWD))
        await asyncio.sleep(WRITES + GATHER / 2)
        assert table.batcher.under_way == 0.0, "the next batch gathers"

    run(test, again)


# failures


async def again(unwritten: Unwritten[int]) -> Sequence[list[int]]:
    await asyncio.sleep(0.5)
    return [unwritten.batch]


async def apart(unwritten: Unwritten[int]) -> Sequence[list[int]]:
    unwritten.refusals += 1
    return unwritten.apart() if len(unwritten.batch) > 1 else []


def test_a_batch_that_fails_is_given_up_and_the_next_is_written() -> None:
    async def test(table: Table) -> None:
        table.fails = 1
        table.put(1, 2)
        await asyncio.sleep(WRITES / 2)
        table.put(3)
        await table.batcher.drained()
        assert table.done == [([3], 3)]
        assert table.failures == [([1, 2], 1, 0)]

    run(test)


def test_a_batch_is_tried_again_before_any_other() -> None:
    async def test(table: Table) -> None:
        table.fails = 2
        table.put(1, 2)
        await asyncio.sleep(WRITES / 2)
        table.put(3)
        await table.batcher.drained()
        assert table.batches == [[1, 2], [1, 2], [1, 2], [3]]
        assert table.pauses == [0.5, 0.5, 0.0]
        assert table.done == [([1, 2], 3), ([3], 3)]
        assert [tries for _, tries, _ in table.failures] == [1, 2]

    run(test, again)


def test_one_entry_that_is_refused_takes_no_other_with_it() -> None:
    async def test(table: Table) -> None:
        table.refuses = {2}
        table.put(1, 2, 3)
        await asyncio.sleep(WRITES / 2)
        table.put(4)
        await table.batcher.drained()
        assert table.batches == [[1, 2, 3], [1], [2], [3], [4]]
        assert table.done == [([1], 1), ([3], 3), ([4], 4)]
        assert table.failures == [([1, 2, 3], 1, 1), ([2], 1, 2)], "refusals are handed on, tries are not"

    run(test, apart)


def test_another_entry_may_be_written_instead() -> None:
    async def instead(unwritten: Unwritten[int]) -> Sequence[list[int]]:
        return [[7]]

    async def test(table: Table) -> None:
        table.refuses = {2}
        table.put(2)
        await table.batcher.drained()
        assert table.done == [([7], 7)]

    run(test, instead)


def test_a_fault_in_what_follows_a_batch_leaves_the_others_to_be_written() -> None:
    async def test(table: Table) -> None:
        def broken(batch: list[int], total: int) -> None:
            raise KeyError(total)

        batcher: Batcher[int, int] = Batcher(
            table.write, broken, give_up, most=Bound(1), gather=Gather(GATHER, CROWD)
        )
        for number in (1, 2):
            batcher.put(number)
            with pytest.raises(KeyError):
                await batcher.run()
            assert (len(batcher), batcher.under_way) == (0, 0.0)
        assert table.batches == [[1], [2]]
        batcher.put(3)
        batcher.put(4)
        for _ in range(2):  # its owner may call it again, and need not wait for another entry
            with pytest.raises(KeyError):
                await batcher.run()
        assert table.batches[2:] == [[3], [4]]

    run(test)


# the end


def test_who_closes_it_waits_for_no_crowd_and_all_is_written() -> None:
    table = run(lambda table: _crowd(table, then=table.batcher.close))
    assert table.batches == [[0, 1, 2], [9]]
    assert table.pauses == [0.0]


def test_entries_are_written_if_it_is_closed_before_its_first_step() -> None:
    async def test(table: Table) -> None:
        batcher: Batcher[int, int] = Batcher(
            table.write, table.written, give_up, most=Bound(1), gather=Gather(GATHER, CROWD)
        )
        batcher.put(1)
        batcher.put(2)
        batcher.close()
        await batcher.run()
        assert (table.done, len(batcher)) == ([([1], 1), ([2], 2)], 0)

    run(test)


def test_an_entry_added_after_the_close_is_written_with_the_last_ones() -> None:
    async def test(table: Table) -> None:
        table.put(1)
        await asyncio.sleep(WRITES / 2)
        table.batcher.close()
        table.put(2)

    assert run(test).batches == [[1], [2]]


def test_entries_are_written_if_an_error_ends_the_last_run_and_it_runs_again() -> None:
    async def test(table: Table) -> None:
        def broken(batch: list[int], total: int) -> None:
            table.written(batch, total)
            raise KeyError(total)

        batcher: Batcher[int, int] = Batcher(
            table.write, broken, give_up, most=Bound(1), gather=Gather(GATHER, CROWD)
        )
        batcher.put(1)
        batcher.put(2)
        batcher.close()
        for _ in range(2):
            with pytest.raises(KeyError):
                await batcher.run()
        await batcher.run()
        assert (table.done, len(batcher)) == ([([1], 1), ([2], 2)], 0)

    run(test)


def test_who_drains_it_waits_for_no_crowd_and_it_goes_on() -> None:
    async def test(table: Table) -> None:
        await _crowd(table)
        await table.batcher.drained()
        assert table.pauses == [0.0]
        table.put(5)
        await table.batcher.drained()
        assert table.done[-1] == ([5], 5)

    run(test)


async def _crowd(table: Table, then: Callable[[], None] = lambda: None) -> None:
    table.put(*range(CROWD))
    await asyncio.sleep(WRITES / 2)
    table.put(9)
    then()


def test_what_is_drained_is_empty_at_once_and_a_batcher_may_close_with_nothing_to_do() -> None:
    async def test(table: Table) -> None:
        await table.batcher.drained()
        assert table.tried == []

    run(test)
