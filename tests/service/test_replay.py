"""Sending again by filter: what is counted is what is sent, at a rate, whatever stops in between."""

from __future__ import annotations

import os
import time
from typing import Any
from uuid import UUID

import pytest

from angarium.clock import SystemClock, datetime_at
from angarium.core import ids
from angarium.core.errors import Invalid, NotFound
from angarium.core.log_filter import LogFilter, LogKey, LogStatus
from angarium.core.nouns import State, TaskError
from angarium.core.product import STANDARD
from angarium.dispatch.background_task import step
from angarium.service import replay as service
from angarium.service.log import Log
from angarium.service.product import Products
from angarium.service.replay import BackgroundTasks, BoundedCount, Replay
from angarium.store import background_task, requeue
from angarium.store.background_task import BackgroundTask, TaskStatus
from angarium.store.database import Database
from tests.kit.clock import ManualClock
from tests.kit.patience import until
from tests.kit.receiver import Receiver
from tests.kit.rows import add_message
from tests.kit.task import finish_tasks
from tests.kit.world import World, product
from tests.service.book import START, Book

FAILED = LogFilter(statuses=frozenset({LogStatus.FAILED}))
LOST: dict[str, Any] = {"state": State.EXHAUSTED, "failures": 3, "status_code": 500, "error_code": "http_500"}
NOW = START + 9_000


async def book_of(database: Database, clock: Any) -> Book:
    world = World(database, clock=clock)
    products = Products(database, clock, {STANDARD: product()})
    return Book(world, Log(database, world.clock, products), await world.application())


@pytest.fixture
async def book(database: Database) -> Book:
    return await book_of(database, ManualClock(NOW))


@pytest.fixture
def replay(book: Book) -> Replay:
    return Replay(book.world.database, book.world.clock, os.urandom)


@pytest.fixture
def tasks(book: Book) -> BackgroundTasks:
    return BackgroundTasks(book.world.database, book.world.clock, os.urandom)


async def owed(book: Book) -> list[LogKey]:
    rows = await book.world.fetch("select message_id, endpoint_id from delivery where manual_at is not null")
    return sorted(LogKey(*row) for row in rows)


async def run(book: Book) -> None:
    await finish_tasks(book.world.database, book.world.clock)


def name(task: BackgroundTask) -> str:
    return ids.text(ids.TASK, task.id)


async def test_exactly_the_counted_matches_are_sent_again(book: Book, replay: Replay) -> None:
    here, there = await book.endpoint(), await book.endpoint()
    failed, later = [], datetime_at(NOW + 300)
    for _ in range(3):
        message = await book.message()
        failed.append(await book.requeue(message, here, **LOST))
        await book.requeue(message, there)
    waiting = await book.requeue(
        await book.message(), here, state=State.PENDING, due_at=later, status_code=None
    )
    assert await replay.count_matching(book.app.id, FAILED) == BoundedCount(3, exact=True)
    task = await replay.resend_matching(book.app.org_id, book.app.id, FAILED)
    await run(book)
    assert await owed(book) == failed
    everything = LogFilter()
    assert await replay.count_matching(book.app.id, everything) == BoundedCount(4, exact=True), (
        "3 already have a manual request"
    )
    second = await replay.resend_matching(
        book.app.org_id, book.app.id, everything, expected=BoundedCount(4, True)
    )
    await run(book)
    assert len(await owed(book)) == 7
    (row,) = await book.world.fetch("select * from delivery where message_id = $1", waiting.message_id)
    assert (row["due_at"], row["resume_at"]) == (datetime_at(NOW), later), "the schedule continues afterwards"
    for done, sent in ((task, 3), (second, 4)):
        (found,) = await book.world.fetch("select status, data from background_task where id = $1", done.id)
        assert (found["status"], found["data"]["messagesSent"]) == ("finished", sent)
    assert second.data["expected"] == 4


async def test_deliveries_that_cannot_be_sent_are_neither_counted_nor_requeued(
    book: Book, replay: Replay
) -> None:
    sane, disabled = await book.endpoint(), await book.endpoint(disabled_at=datetime_at(NOW))
    deleted = await book.endpoint()
    await book.world.fetch("update endpoint set deleted_at = $2 where id = $1", deleted, datetime_at(NOW))
    message = await book.message()
    sent, _, _ = [await book.requeue(message, endpoint, **LOST) for endpoint in (sane, disabled, deleted)]
    await book.requeue(await book.message(payload=None), sane, **LOST)
    assert await replay.count_matching(book.app.id, FAILED) == BoundedCount(1, exact=True)
    await replay.resend_matching(book.app.org_id, book.app.id, FAILED)
    await run(book)
    assert await owed(book) == [sent]


async def test_any_process_can_take_a_step_and_nothing_is_sent_twice(
    book: Book, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "RESEND_READ", 4)
    monkeypatch.setattr(requeue, "RESEND_SLICE", 3)
    endpoints = [await book.endpoint() for _ in range(2)]
    failed = []
    for n in range(20):
        message = await book.message(tags=["rare"] if n % 7 == 1 else None)
        failed += [await book.requeue(message, endpoint, **LOST) for endpoint in endpoints]
    rare = LogFilter(statuses=FAILED.statuses, tag="rare")
    for wanted, sent in ((rare, 6), (FAILED, 34)):
        assert await replay.count_matching(book.app.id, wanted) == BoundedCount(sent, exact=True)
        task = await replay.resend_matching(book.app.org_id, book.app.id, wanted, rate=1000)
        steps = 0
        while await another_process_steps(book):
            steps += 1
        assert steps >= 10
        (row,) = await book.world.fetch("select status, data from background_task where id = $1", task.id)
        assert (row["status"], row["data"]) == ("finished", {"messagesSent": sent})
    assert await owed(book) == sorted(failed)


async def another_process_steps(book: Book) -> bool:
    clock = book.world.clock
    assert isinstance(clock, ManualClock)
    other = await Database.connect(book.world.database.url, size=1)
    await clock.advance_to(clock.now() + 1)  # the rate allows the next step
    try:
        return await step(other, clock.now())
    finally:
        await other.close()


async def test_later_messages_and_deliveries_that_succeeded_are_skipped(book: Book, replay: Replay) -> None:
    endpoint = await book.endpoint()
    mended = await book.requeue(await book.message(), endpoint, **LOST)
    kept = await book.requeue(await book.message(), endpoint, **LOST)
    await replay.resend_matching(book.app.org_id, book.app.id, FAILED)
    await book.world.fetch("update attempt set state = 0 where message_id = $1", mended.message_id)
    newer = ids.new(NOW + 1, os.urandom(8))
    async with book.world.database.connection() as connection:
        await add_message(connection, book.app.id, newer)
    await book.requeue(newer, endpoint, **LOST)
    await run(book)
    assert await owed(book) == [kept]


async def test_a_task_keeps_its_rate(book: Book, replay: Replay) -> None:
    clock = book.world.clock
    assert isinstance(clock, ManualClock)
    endpoint = await book.endpoint()
    for _ in range(50):
        await book.requeue(await book.message(), endpoint, **LOST)
    await replay.resend_matching(book.app.org_id, book.app.id, FAILED, rate=10)
    for seconds, sent in ((0, 20), (1.9, 20), (2, 40), (3.9, 40), (4, 50)):
        await clock.advance_to(NOW + seconds)
        await run(book)
        assert len(await owed(book)) == sent, seconds
    async with book.world.database.connection() as connection:
        assert await background_task.next_due(connection) is None


@pytest.mark.parametrize("verb", ["recover", "replay_missing"])
async def test_recover_and_replay_keep_a_rate_too(book: Book, replay: Replay, verb: str) -> None:
    clock = book.world.clock
    assert isinstance(clock, ManualClock)
    endpoint = await book.endpoint()
    for _ in range(30):
        message = await book.message()
        if verb == "recover":
            await book.requeue(message, endpoint, **LOST)
    reference = ids.text(ids.ENDPOINT, endpoint)
    begin = getattr(replay, verb)
    await begin(book.app.org_id, book.app.id, reference, datetime_at(START), None, rate=10)
    for seconds, sent in ((0, 20), (1.9, 20), (2, 30)):
        await clock.advance_to(NOW + seconds)
        await run(book)
        (count,) = await book.world.fetch("select count(*) from delivery where due_at is not null")
        assert count[0] == sent, seconds


async def test_a_dispatcher_continues_as_soon_as_the_rate_allows(database: Database) -> None:
    """Not only when maintenance looks by itself, every ten seconds."""
    book = await book_of(database, SystemClock())
    app = book.app
    async with Receiver() as receiver, book.world.dispatching():
        endpoint = (await book.world.endpoint(app, receiver.url)).id
        for _ in range(30):
            await book.requeue(await book.message(), endpoint, **LOST)
        wanted = LogFilter(endpoint_id=endpoint)
        begun = time.monotonic()
        # the messages of the book are of another time; `until` is of this one
        await Replay(database, book.world.clock, os.urandom).resend_matching(
            app.org_id, app.id, wanted, rate=10
        )
        await book.world.until_states({State.DELIVERED: 30})
        assert time.monotonic() - begun >= 1.9
        assert len(receiver.requests) == 30
        await until_finished(book)
    (row,) = await book.world.fetch("select status, data from background_task")
    assert (row["status"], row["data"]["messagesSent"]) == ("finished", 30)


async def until_finished(book: Book) -> None:
    """With any process taking the steps, and any rate."""

    async def none_runs() -> bool:
        return not await book.world.fetch("select from background_task where status = 'running'")

    await until(none_runs)


async def test_a_task_continues_after_a_restart(book: Book, replay: Replay) -> None:
    clock = book.world.clock
    assert isinstance(clock, ManualClock)
    async with Receiver() as receiver:
        endpoint = (await book.world.endpoint(book.app, receiver.url)).id
        for _ in range(30):
            await book.requeue(await book.message(), endpoint, **LOST)
        async with book.world.dispatching():
            wanted = LogFilter(endpoint_id=endpoint, statuses=FAILED.statuses)
            await replay.resend_matching(book.app.org_id, book.app.id, wanted, rate=10)
            await book.world.until_states({State.DELIVERED: 20, State.EXHAUSTED: 10})
        assert len(receiver.requests) == 20
        await clock.advance_to(NOW + 2)
        async with book.world.dispatching():
            await book.world.until_states({State.DELIVERED: 30})
        assert len(receiver.requests) == 30


async def test_a_canceled_task_takes_no_further_step(
    book: Book, replay: Replay, tasks: BackgroundTasks
) -> None:
    clock = book.world.clock
    assert isinstance(clock, ManualClock)
    endpoint = await book.endpoint()
    for _ in range(50):
        await book.requeue(await book.message(), endpoint, **LOST)
    expected = await replay.count_matching(book.app.id, FAILED)
    task = await replay.resend_matching(book.app.org_id, book.app.id, FAILED, rate=10, expected=expected)
    await run(book)
    assert (await tasks.one(book.app.id, name(task))).progress == 0.4
    canceled = await tasks.cancel(book.app.id, name(task))
    assert (canceled.status, canceled.data["messagesSent"]) == (TaskStatus.CANCELED, 20)
    await clock.advance_to(NOW + 60)
    await run(book)
    assert len(await owed(book)) == 20
    (listed,) = await tasks.of_application(book.app.id)
    assert (listed.id, listed.status) == (task.id, TaskStatus.CANCELED)


async def test_an_ended_task_cannot_be_canceled_and_others_are_not_found(
    book: Book, replay: Replay, tasks: BackgroundTasks
) -> None:
    task = await replay.resend_matching(book.app.org_id, book.app.id, FAILED)
    other = await book.world.application()
    for verb in (tasks.one, tasks.cancel):
        for ref in (name(task), "qtask_", "nonsense"):
            with pytest.raises(NotFound):
                await verb(other.id, ref)
    await run(book)
    assert (await tasks.cancel(book.app.id, name(task))).status is TaskStatus.FINISHED
    assert await tasks.of_application(other.id) == []


async def test_the_api_shows_neither_internal_nor_canceled_tasks(
    book: Book, replay: Replay, tasks: BackgroundTasks
) -> None:
    await replay.resend_matching(book.app.org_id, book.app.id, FAILED)
    endpoint = ids.text(ids.ENDPOINT, await book.endpoint())
    task = await replay.recover(book.app.org_id, book.app.id, endpoint, datetime_at(START), None)
    await tasks.cancel(book.app.id, name(task))
    for status, found in ((None, [task.id]), ("failed", [task.id]), ("running", []), ("finished", [])):
        page = await tasks.page(book.app.org_id, None, ascending=False, limit=9, status=status)
        assert [one.id for one in page] == found, status


async def test_a_failing_task_is_stopped_and_others_continue(book: Book, replay: Replay) -> None:
    endpoint = await book.endpoint()
    key = await book.requeue(await book.message(), endpoint, **LOST)
    broken = await replay.resend_matching(book.app.org_id, book.app.id, FAILED)
    await book.world.fetch(
        """update background_task set cursor = '{"after": "nonsense"}' where id = $1""", broken.id
    )
    await replay.resend_matching(book.app.org_id, book.app.id, FAILED)
    await run(book)
    (row,) = await book.world.fetch("select status, error from background_task where id = $1", broken.id)
    assert tuple(row) == ("failed", TaskError.INTERNAL)
    assert await owed(book) == [key]


async def test_an_endpoint_disabled_in_between_gets_nothing(
    book: Book, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requeue, "RESEND_SLICE", 1)
    here, there = sorted([await book.endpoint(), await book.endpoint()])
    messages = [await book.message() for _ in range(4)]
    for message in messages:
        for endpoint in (here, there):
            await book.requeue(message, endpoint, **LOST)
    await replay.resend_matching(book.app.org_id, book.app.id, FAILED, rate=1000)
    assert await step(book.world.database, NOW)
    await book.world.fetch("update endpoint set disabled_at = $2 where id = $1", there, datetime_at(NOW))
    while await another_process_steps(book):
        pass
    assert [key for key in await owed(book) if key.endpoint_id == there] == []
    assert len(await owed(book)) == 4


async def test_a_disabled_endpoint_named_by_the_filter_gets_the_resend_when_enabled(
    book: Book, replay: Replay
) -> None:
    sane, disabled = await book.endpoint(), await book.endpoint(disabled_at=datetime_at(NOW))
    message = await book.message()
    _, key = [await book.requeue(message, endpoint, **LOST) for endpoint in (sane, disabled)]
    wanted = LogFilter(statuses=FAILED.statuses, endpoint_id=disabled)
    assert await replay.count_matching(book.app.id, wanted) == BoundedCount(1, exact=True)
    since, ref = datetime_at(START), ids.text(ids.ENDPOINT, disabled)
    assert await replay.count_recoverable(book.app.id, ref, since, None) == BoundedCount(1, exact=True)
    assert await replay.count_missing(book.app.id, ref, since, None) == BoundedCount(0, exact=True)
    await replay.resend_matching(book.app.org_id, book.app.id, wanted)
    await run(book)
    assert await owed(book) == [key]
    assert await book.world.fetch("select from delivery where due_at is not null") == []


async def test_a_count_that_takes_too_long_or_grows_too_large_says_more_than(
    book: Book, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = await book.endpoint()
    for _ in range(20):
        await book.requeue(await book.message(), endpoint, **LOST)
    monkeypatch.setattr(service, "LOOKED_AT", 6)
    assert await replay.count_matching(book.app.id, FAILED) == BoundedCount(20, exact=True)
    monkeypatch.setattr(service, "MAX_COUNT", 10)
    assert await replay.count_matching(book.app.id, FAILED) == BoundedCount(10, exact=False)
    monkeypatch.setattr(service, "PATIENCE", 0.0)
    assert await replay.count_matching(book.app.id, FAILED) == BoundedCount(6, exact=False)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"event_types": ("order.*",)},
        {"event_types": ("user.created", "order.line.*")},
        {"event_types": ("*",)},
        {"event_types": ()},
        {"channels": ("c1", "c2")},
        {"event_types": ("order.*",), "channels": ("c1",)},
    ],
)
async def test_the_count_of_missing_messages_equals_those_sent(
    book: Book, replay: Replay, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOKED_AT", 4)
    endpoint = await book.endpoint(**fields)
    for event_type in ("order.filled", "order.line.added", "orders.x", "user.created", "order_"):
        for channels in (None, ["c1"], ["c3", "c2"]):
            message = await book.message(event_type=event_type, channels=channels)
            if channels == ["c1"] and event_type == "user.created":
                await book.requeue(message, endpoint)
    await book.message(payload=None)
    reference = ids.text(ids.ENDPOINT, endpoint)
    since, until = datetime_at(START + 2), datetime_at(START + 14)
    for end in (None, until):
        counted = await replay.count_missing(book.app.id, reference, since, end)
        assert counted.exact
    task = await replay.replay_missing(book.app.org_id, book.app.id, reference, since, until)
    await run(book)
    (row,) = await book.world.fetch("select data from background_task where id = $1", task.id)
    assert row["data"]["messagesSent"] == counted.number
    assert (await replay.count_missing(book.app.id, reference, since, until)).number == 0


async def test_all_that_failed_since_a_message_is_recovered_that_message_too(
    book: Book, replay: Replay
) -> None:
    here, there = await book.endpoint(), await book.endpoint()
    lost = []
    for _ in range(3):
        message = await book.message()
        lost.append(await book.requeue(message, here, **LOST))
        await book.requeue(message, there, **LOST)
    reference = ids.text(ids.ENDPOINT, here)
    since = datetime_at(ids.created_at(lost[1].message_id))
    assert await replay.count_undelivered(book.app.id, reference, since, None) == 2
    assert await replay.count_recoverable(book.app.id, reference, since, None) == BoundedCount(2, exact=True)
    await replay.recover(book.app.org_id, book.app.id, reference, since, None)
    await run(book)
    assert await owed(book) == lost[1:]
    with pytest.raises(NotFound):
        await replay.recover(book.app.org_id, (await book.world.application()).id, reference, since, None)


async def test_an_invalid_rate_or_filter_is_refused(book: Book, replay: Replay) -> None:
    for rate in (0, -1, 1001, float("nan")):
        with pytest.raises(Invalid):
            await replay.resend_matching(book.app.org_id, book.app.id, FAILED, rate=rate)
    for verb in (
        replay.count_matching(book.app.id, LogFilter(http_class=9)),
        replay.resend_matching(book.app.org_id, book.app.id, LogFilter(event_type="a b")),
    ):
        with pytest.raises(Invalid):
            await verb
    assert await book.world.fetch("select from background_task") == []
    assert await replay.count_matching(UUID(int=7), LogFilter()) == BoundedCount(0, exact=True)
