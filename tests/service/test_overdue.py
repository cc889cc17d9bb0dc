"""Due deliveries: their place among those of their endpoint, and when they are expected to be sent."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.log_filter import LogFilter
from angarium.core.nouns import State
from angarium.core.product import STANDARD
from angarium.service.log import Log
from angarium.service.overview import DeliveryKey, Overdue, WaitEstimates
from angarium.service.product import Products
from angarium.store import overdue as store
from tests.kit.clock import ManualClock
from tests.kit.rows import add_attempt
from tests.kit.world import World, product
from tests.service.book import START, Book

NOW = START + 3600.0


@pytest.fixture
async def book(world: World) -> Book:
    world.clock = ManualClock(NOW)
    products = Products(world.database, world.clock, {STANDARD: product()})
    return Book(world, Log(world.database, world.clock, products), await world.application())


@pytest.fixture
def overdue(book: Book) -> Overdue:
    return Overdue(book.world.database, book.world.clock)


async def requeue(
    book: Book, endpoint: UUID, late: float, *, manual: bool = False, fifo: bool = False, **fields: Any
) -> DeliveryKey:
    """A delivery that has been due for so many seconds."""
    due = datetime_at(NOW - late)
    key = await book.requeue(
        await book.message(), endpoint, state=State.PENDING, due_at=due, manual_at=due if manual else None,
        fifo=fifo, **fields,
    )  # fmt: skip
    return DeliveryKey(key.endpoint_id, key.message_id)


async def attempted(book: Book, endpoint: UUID, count: int, ago: float) -> None:
    for _ in range(count):
        async with book.world.database.connection() as connection:
            message_id, attempt_id = (ids.new(at, os.urandom(8)) for at in (START, NOW - ago))
            await add_attempt(connection, book.app.id, message_id, attempt_id, endpoint, status=2)


async def waits(book: Book, overdue: Overdue, app_id: UUID | None = None) -> WaitEstimates:
    lines = (await book.log.page(book.app.id, LogFilter())).lines
    return await overdue.of(app_id or book.app.id, (line.row for line in lines))


def places(found: WaitEstimates) -> dict[DeliveryKey, int]:
    return {key: wait.ahead for key, wait in found.items()}


async def test_places_follow_the_due_time_of_the_endpoints_own_and_manual_ones_come_first(
    book: Book, overdue: Overdue
) -> None:
    one, other = await book.endpoint(), await book.endpoint()
    keys = [await requeue(book, one, late) for late in (10, 30, 20)]
    elsewhere = await requeue(book, other, 100)
    assert places(await waits(book, overdue)) == {keys[1]: 0, keys[2]: 1, keys[0]: 2, elsewhere: 0}
    manual = await requeue(book, one, 1, manual=True)
    assert places(await waits(book, overdue)) == {
        manual: 0, keys[1]: 1, keys[2]: 2, keys[0]: 3, elsewhere: 0,
    }  # fmt: skip


async def test_in_order_places_follow_the_order_of_acceptance(book: Book, overdue: Overdue) -> None:
    endpoint = await book.endpoint(fifo=True)
    keys = [await requeue(book, endpoint, late, fifo=True) for late in (10, 30, 20)]
    manual = await requeue(book, endpoint, 40, manual=True, fifo=True)
    assert places(await waits(book, overdue)) == {keys[0]: 0, keys[1]: 1, keys[2]: 2, manual: 3}


async def test_in_order_the_others_are_expected_after_the_first(book: Book, overdue: Overdue) -> None:
    endpoint = await book.endpoint(fifo=True)
    await requeue(book, endpoint, -600.0, failures=1, fifo=True)  # failed, and is due in ten minutes
    second = await requeue(book, endpoint, 300.0, fifo=True)
    wait = (await waits(book, overdue))[second]
    assert wait.expected_at == NOW + 600.0


async def test_the_estimate_follows_the_attempts_of_the_last_minute(book: Book, overdue: Overdue) -> None:
    endpoint = await book.endpoint()
    await attempted(book, endpoint, 30, ago=20.0)
    await attempted(book, endpoint, 50, ago=70.0)
    await attempted(book, await book.endpoint(), 50, ago=20.0)
    keys = [await requeue(book, endpoint, 200.0 - n) for n in range(11)]
    found = await waits(book, overdue)
    assert found[keys[0]].expected_at == NOW
    assert found[keys[10]].expected_at == pytest.approx(NOW + 20.0)  # one in two seconds
    assert found.next_attempt(*keys[10], datetime_at(NOW - 190)) == datetime_at(NOW + 20.0)
    assert found.waiting(*keys[10])


async def test_a_future_due_time_is_shown_without_a_query(book: Book, overdue: Overdue) -> None:
    later = datetime_at(NOW + 300)
    endpoint = await book.endpoint()
    key = await requeue(book, endpoint, -300.0, scheduled=True)
    found = await waits(book, overdue)
    assert found == {}
    assert found.next_attempt(*key, later) == later
    assert not found.waiting(*key)
    assert await overdue.at(book.app.id, endpoint) == (0, None)


async def test_without_attempts_no_time_is_estimated(book: Book, overdue: Overdue) -> None:
    key = await requeue(book, await book.endpoint(), 600.0)
    found = await waits(book, overdue)
    due: datetime = datetime_at(NOW - 600)
    assert found.next_attempt(*key, due) is None
    assert found.waiting(*key)


async def test_an_endpoint_says_how_much_waits_and_when_the_last_may_start(
    book: Book, overdue: Overdue
) -> None:
    endpoint = await book.endpoint()
    await attempted(book, endpoint, 60, ago=20.0)
    for n in range(5):
        await requeue(book, endpoint, 100.0 + n)
    count, wait = await overdue.at(book.app.id, endpoint)
    assert count == 5
    assert wait is not None
    assert wait.expected_at == pytest.approx(NOW + 5.0)


async def test_a_bounded_number_of_deliveries_is_read(
    book: Book, overdue: Overdue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "LOOKED_AT", 3)
    endpoint = await book.endpoint()
    keys = [await requeue(book, endpoint, 100.0 - n) for n in range(6)]
    found = await waits(book, overdue)
    assert [found[key].ahead for key in keys] == [0, 1, 2, 3, 3, 3]


async def test_other_applications_are_not_included(book: Book, overdue: Overdue) -> None:
    endpoint = await book.endpoint()
    await requeue(book, endpoint, 100.0)
    stranger = (await book.world.application()).id
    assert await waits(book, overdue, stranger) == {}
    assert await overdue.at(stranger, endpoint) == (0, None)
