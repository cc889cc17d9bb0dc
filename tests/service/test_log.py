"""The log of an application: what each filter finds, pages both ways, and where a page stops looking."""

from __future__ import annotations

import os
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core import header_code, ids
from angarium.core.errors import Invalid, NotFound
from angarium.core.log_filter import LogFilter, LogKey, LogStatus
from angarium.core.nouns import State
from angarium.core.product import STANDARD
from angarium.service import log as service
from angarium.service.log import Log
from angarium.service.product import Products
from angarium.store.stretch import AHEAD, HIGHEST, LOWEST
from tests.kit import many
from tests.kit.rows import add_attempt
from tests.kit.world import World, product
from tests.service.book import START, Book, keys

FAILED = frozenset({LogStatus.FAILED})


@pytest.fixture
async def book(world: World) -> Book:
    products = Products(world.database, world.clock, {STANDARD: product("5s,5m,30m")})
    return Book(world, Log(world.database, world.clock, products), await world.application())


async def test_a_line_names_message_endpoint_and_the_last_result(book: Book) -> None:
    endpoint = await book.endpoint(name="Shop", description="Orders")
    message = await book.message(event_id="order-7", tags=["t1"], channels=["c1"])
    due = datetime_at(START + 99)
    key = await book.requeue(
        message, endpoint, state=State.PENDING, failures=2, status_code=0, error_code="timeout", due_at=due
    )
    (line,) = (await book.log.page(book.app.id, LogFilter())).lines
    row = line.row
    assert (line.key, row.event_id, row.event_type, row.tags, row.channels) == (
        key, "order-7", "order.filled", ("t1",), ("c1",),
    )  # fmt: skip
    assert (row.status, row.attempts, row.status_code, row.error_code) == (
        LogStatus.RETRYING,
        1,
        0,
        "timeout",
    )
    assert (row.due_at, row.manual_at, row.kept) == (due, None, True)
    assert (line.endpoint.name, line.endpoint.description) == ("Shop", "Orders")
    assert line.created_at.timestamp() == START


async def test_newest_first_over_all_endpoints_deleted_ones_too(book: Book) -> None:
    first, second = await book.endpoint(), await book.endpoint()
    messages = [await book.message() for _ in range(3)]
    written = [await book.requeue(message, endpoint) for message in messages for endpoint in (first, second)]
    await book.world.fetch("update endpoint set deleted_at = $2 where id = $1", first, datetime_at(START))
    assert await book.find() == sorted(written, reverse=True)
    listed = await book.log.endpoints(book.app.id)
    assert [(one.id, one.deleted) for one in listed] == [(second, False), (first, True)]


async def test_every_filter_finds_what_it_names_and_nothing_else(book: Book) -> None:
    here, there = await book.endpoint(), await book.endpoint()
    delivered = await book.requeue(await book.message(event_type="order.filled", tags=["a", "b"]), here)
    waiting = await book.requeue(
        await book.message(event_type="order.line.added", channels=["c"]), there,
        state=State.PENDING, status_code=None,
    )  # fmt: skip
    retrying = await book.requeue(
        await book.message(event_type="orders.x"), here,
        state=State.PENDING, failures=1, status_code=0, error_code="tls_expired",
    )  # fmt: skip
    failed = await book.requeue(
        await book.message(event_type="user.created"), there,
        state=State.EXHAUSTED, failures=3, status_code=404, error_code="http_404",
    )  # fmt: skip
    canceled = await book.requeue(
        await book.message(event_id="mine"), here, state=State.CANCELED, status_code=None
    )
    resent = await book.requeue(await book.message(), there, status_code=503, error_code="http_503")
    S = LogStatus  # noqa: N806
    for status, found in (
        (S.DELIVERED, [resent, delivered]), (S.WAITING, [waiting]), (S.RETRYING, [retrying]),
        (S.FAILED, [failed]), (S.CANCELED, [canceled]),
    ):  # fmt: skip
        assert await book.find(statuses=frozenset({status})) == found, status
    assert await book.find(statuses=frozenset({S.FAILED, S.DELIVERED})) == [resent, failed, delivered]
    assert await book.find(statuses=frozenset({S.FAILED, S.CANCELED})) == [canceled, failed]
    assert await book.find(event_type="order.filled") == [resent, canceled, delivered]
    assert await book.find(event_type="order.*") == [resent, canceled, waiting, delivered]
    assert len(await book.find(event_type="*")) == 6
    assert await book.find(endpoint_id=here) == [canceled, retrying, delivered]
    assert await book.find(endpoint_id=here, statuses=frozenset({S.CANCELED})) == [canceled]
    assert await book.find(endpoint_id=there, statuses=frozenset({S.CANCELED})) == []
    assert await book.find(http_class=2) == [delivered]
    assert await book.find(http_class=4) == [failed]
    assert await book.find(http_class=5) == [resent]
    assert await book.find(http_class=0) == [retrying]
    assert await book.find(error_kind="http") == [resent, failed]
    assert await book.find(error_kind="http_404") == [failed]
    assert await book.find(error_kind="tls") == [retrying]
    assert await book.find(error_kind="tl") == []
    assert await book.find(message="mine") == [canceled]
    assert await book.find(message=ids.text(ids.MESSAGE, failed.message_id)) == [failed]
    assert await book.find(message="nobody's") == []
    assert await book.find(tag="b") == [delivered]
    assert await book.find(channel="c") == [waiting]
    since = datetime_at(ids.created_at(retrying.message_id))
    until = datetime_at(ids.created_at(canceled.message_id))
    assert await book.find(since=since) == [resent, canceled, failed, retrying]
    assert await book.find(since=since, until=until) == [canceled, failed, retrying]


async def test_pages_go_both_ways_and_meet(book: Book) -> None:
    endpoints = [await book.endpoint() for _ in range(3)]
    written = sorted(
        [
            await book.requeue(message, one, state=State.EXHAUSTED, error_code="timeout")
            for message in [await book.message() for _ in range(7)]
            for one in endpoints
        ],
        reverse=True,
    )
    for wanted in (LogFilter(), LogFilter(statuses=FAILED), LogFilter(endpoint_id=endpoints[1])):
        expected = [key for key in written if wanted.endpoint_id in (None, key.endpoint_id)]
        page = await book.log.page(book.app.id, wanted, limit=4)
        assert page.newer is None
        pages = [keys(page)]
        while page.older is not None:
            page = await book.log.page(book.app.id, wanted, page.older, limit=4)
            pages.append(keys(page))
        assert [key for one in pages for key in one] == expected
        back = [pages[-1]]
        while page.newer is not None:
            page = await book.log.page(book.app.id, wanted, page.newer, backwards=True, limit=4)
            back.insert(0, keys(page))
        assert [key for one in back for key in one] == expected


MADE: dict[str, dict[str, Any]] = {  # what a test writes, and in which table each is
    "pending": {"state": State.PENDING, "due_at": datetime_at(START), "status_code": None},
    "retried": {"state": State.PENDING, "failures": 2, "due_at": datetime_at(START), "error_code": "timeout"},
    "scheduled": {"state": State.PENDING, "status_code": None},  # or waits for its endpoint
    "asked again": {"state": State.EXHAUSTED, "failures": 5, "manual_at": datetime_at(START)},
    "delivered": {},
    "lost": {"state": State.EXHAUSTED, "failures": 5, "error_code": "timeout"},
    "canceled": {"state": State.CANCELED, "status_code": None},
}
STATUSES = {
    LogStatus.WAITING: {"pending", "scheduled"},
    LogStatus.RETRYING: {"retried"},
    LogStatus.FAILED: {"asked again", "lost"},
    LogStatus.DELIVERED: {"delivered"},
    LogStatus.CANCELED: {"canceled"},
}


@pytest.mark.parametrize("stretches", [(2, 4), (1_000, 9_000)])
async def test_the_log_is_one_over_queue_and_history_and_over_days(
    book: Book, stretches: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STRETCHES", stretches)
    book.seconds = count(0, 8 * 3600)
    endpoints = [await book.endpoint() for _ in range(2)]
    written: dict[LogKey, str] = {}
    for n in range(2 * len(MADE)):
        message = await book.message()
        for place, endpoint in enumerate(endpoints):
            kind = [*MADE][(n * (place + 1) + place) % len(MADE)]
            written[await book.requeue(message, endpoint, **MADE[kind])] = kind
    for one in (frozenset[LogStatus](), *(frozenset({status}) for status in STATUSES)):
        for endpoint_id in (None, *endpoints):
            wanted = LogFilter(statuses=one, endpoint_id=endpoint_id)
            kinds = set(MADE) if not one else set().union(*(STATUSES[status] for status in one))
            expected = sorted(
                (
                    key
                    for key, kind in written.items()
                    if kind in kinds and endpoint_id in (None, key.endpoint_id)
                ),
                reverse=True,
            )
            for backwards in (False, True):
                cursor = LogKey(UUID(int=0), UUID(int=0)) if backwards else None
                found: list[LogKey] = []
                while True:
                    page = await book.log.page(book.app.id, wanted, cursor, backwards=backwards, limit=3)
                    found = keys(page) + found if backwards else found + keys(page)
                    cursor = page.newer if backwards else page.older
                    if cursor is None:
                        break
                assert found == expected, (wanted, backwards)


@pytest.mark.parametrize("backwards", [False, True])
async def test_a_rare_match_needs_several_pages_and_none_is_left_out(
    book: Book, backwards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STRETCHES", (2, 4))
    endpoint, other = await book.endpoint(), await book.endpoint()
    rare = []
    for n in range(40):
        message = await book.message(tags=["rare"] if n % 17 == 3 else None)
        key = await book.requeue(message, endpoint, state=State.EXHAUSTED, error_code="timeout")
        await book.requeue(message, other, state=State.EXHAUSTED, error_code="dns")
        rare += [key] if n % 17 == 3 else []
    for wanted in (
        LogFilter(tag="rare", error_kind="timeout"),
        LogFilter(tag="rare", endpoint_id=endpoint),
        LogFilter(tag="rare", endpoint_id=endpoint, statuses=FAILED),
        LogFilter(tag="rare", endpoint_id=endpoint, statuses=FAILED | {LogStatus.DELIVERED}),
    ):
        cursor = LogKey(UUID(int=0), UUID(int=0)) if backwards else None
        found, pages, bounds = [], 0, []
        while True:
            page = await book.log.page(book.app.id, wanted, cursor, backwards=backwards, limit=5)
            found += keys(page)[::-1] if backwards else keys(page)
            pages += 1
            bounds += [page.searched_to] if page.searched_to else []
            onward = page.newer if backwards else page.older
            if onward is None:
                break
            assert page.searched_to is not None
            assert onward != cursor
            cursor = onward
        assert found == sorted(rare, reverse=not backwards), wanted
        assert pages >= 5, "each looks at six at most"
        assert bounds == sorted(bounds, reverse=not backwards)


async def test_messages_without_deliveries_count_towards_pages(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STRETCHES", (2, 4))
    endpoint = await book.endpoint()
    key = await book.requeue(await book.message(), endpoint)
    for _ in range(20):
        await book.message()
    page = await book.log.page(book.app.id, LogFilter())
    assert (page.lines, page.searched_to) == ((), datetime_at(START + 14))
    while not page.lines:
        assert page.older is not None
        page = await book.log.page(book.app.id, LogFilter(), page.older)
    assert keys(page) == [key]


async def delete(book: Book, endpoint_ids: list[UUID], at: float) -> None:
    sql = "update endpoint set deleted_at = $2 where id = any($1)"
    await book.world.fetch(sql, endpoint_ids, datetime_at(at))


async def test_endpoints_that_were_deleted_earlier_take_nothing_of_a_page(book: Book) -> None:
    """Each message was looked for at each of them, so that a page found next to nothing."""
    async with book.world.database.connection() as connection:
        gone = await many.endpoints(connection, book.app, 3_000)
    await delete(book, gone, START - 2 * AHEAD)
    living = [await book.endpoint() for _ in range(2)]
    messages = [await book.message() for _ in range(40)]
    written = [await book.requeue(message, one) for message in messages for one in living]
    page = await book.log.page(book.app.id, LogFilter(), limit=50)
    assert keys(page) == sorted(written, reverse=True)[:50]
    page = await book.log.page(book.app.id, LogFilter(), page.older, limit=50)
    assert keys(page) == sorted(written, reverse=True)[50:]
    assert page.older is None
    for cursor in (LogKey(HIGHEST, HIGHEST), LogKey(LOWEST, LOWEST)):
        page = await book.log.page(book.app.id, LogFilter(), cursor, backwards=cursor.message_id == HIGHEST)
        assert page.lines == ()
    choice = await book.log.endpoints(book.app.id, wanted=gone[-1])
    assert [one.id for one in choice[:2]] == living
    assert len(choice) == 2 + service.MAX_DELETED + 1
    assert gone[-1] in {one.id for one in choice}


@pytest.mark.parametrize("stretches", [(1, 2), (7, 40), (1_000, 9_000)])
@pytest.mark.parametrize("backwards", [False, True])
async def test_deliveries_to_endpoints_that_were_deleted_since_are_all_found(
    book: Book, stretches: tuple[int, ...], backwards: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "STRETCHES", stretches)
    step = 2 * AHEAD
    book.seconds = count(0, int(step))
    living = await book.endpoint()
    written = []
    for n in range(12):
        message = await book.message()
        briefly = [await book.endpoint() for _ in range(n % 3)]
        written += [await book.requeue(message, one) for one in (living, *briefly)]
        await delete(book, briefly, START + n * step)
    found: list[LogKey] = []
    cursor = LogKey(UUID(int=0), UUID(int=0)) if backwards else None
    while True:
        page = await book.log.page(book.app.id, LogFilter(), cursor, backwards=backwards, limit=5)
        found = keys(page) + found if backwards else found + keys(page)
        cursor = page.newer if backwards else page.older
        if cursor is None:
            break
    assert found == sorted(written, reverse=True)


async def test_the_log_contains_no_other_application(book: Book) -> None:
    endpoint = await book.endpoint()
    other = await book.world.application(name="other")
    its = await book.endpoint(other)
    message = await book.message(app=other, event_id="theirs")
    await book.requeue(message, its, app_id=other.id, state=State.EXHAUSTED, error_code="timeout")
    reference = ids.text(ids.MESSAGE, message)
    await book.requeue(await book.message(), endpoint)
    assert len(await book.find()) == 1
    for wanted in ({"endpoint_id": its}, {"message": "theirs"}, {"message": reference}, {"statuses": FAILED}):
        assert await book.find(**wanted) == [], wanted
    for ref in (reference, "theirs", "nothing", "mess age"):
        with pytest.raises(NotFound):
            await book.log.message(book.app.org_id, book.app.id, ref)


async def test_a_message_shows_payload_every_endpoint_and_every_attempt(book: Book) -> None:
    first, second = await book.endpoint(), await book.endpoint()
    message = await book.message(payload=b'{"n":1}')
    await book.requeue(message, first)
    await book.requeue(message, second, state=State.PENDING, failures=1, due_at=datetime_at(START + 300))
    await book.world.fetch("update endpoint set deleted_at = $2 where id = $1", first, datetime_at(START))
    made = []
    for n, endpoint in enumerate((first, second, second)):
        made.append(ids.new(START + n, os.urandom(8)))
        exchange = header_code.encode(
            [("content-type", "application/json")], [("server", "x")], message_id=message, attempt_id=made[n]
        )
        async with book.world.database.connection() as connection:
            await add_attempt(
                connection, book.app.id, message, made[n], endpoint, exchange=exchange if n else None
            )
    detail = await book.log.message(book.app.org_id, book.app.id, ids.text(ids.MESSAGE, message))
    assert detail.message.payload == b'{"n":1}'
    lines = [
        (one.line.key.endpoint_id, one.line.endpoint.deleted, one.remaining) for one in detail.deliveries
    ]
    assert lines == [(first, True, ()), (second, False, (300.0, 1800.0))]
    assert [attempt.id for attempt in detail.attempts] == made[::-1]
    assert detail.attempts[0].exchange is not None
    assert detail.attempts[0].exchange.sent == (("content-type", "application/json"),)
    assert (detail.attempts[2].exchange, detail.more_attempts) == (None, False)


@pytest.mark.parametrize(
    ("field_", "wanted"),
    [
        ("event_type", {"event_type": "ord*"}),
        ("http_class", {"http_class": 6}),
        ("error_kind", {"error_kind": "x' or 1=1"}),
        ("tag", {"tag": "a b"}),
        ("channel", {"channel": ""}),
        ("until", {"since": datetime_at(START), "until": datetime_at(START - 1)}),
    ],
)
async def test_a_filter_that_can_match_nothing_is_named(
    book: Book, field_: str, wanted: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as refused:
        await book.log.page(book.app.id, LogFilter(**wanted))
    assert [fault.loc for fault in refused.value.faults] == [("query", field_)]


def test_a_filter_and_a_key_can_be_written_as_text_and_read_again() -> None:
    key = LogKey(ids.new(START, os.urandom(8)), ids.new(START, os.urandom(8)))
    assert LogKey.parse(key.text()) == key
    for text in ("", ".", "msg_x.ep_y", key.text() + "x", key.text().replace(".", "")):
        with pytest.raises(Invalid):
            LogKey.parse(text)
    full = LogFilter(
        statuses=FAILED, event_type="a.*", endpoint_id=key.endpoint_id, http_class=0, error_kind="tls",
        message="m", tag="t", channel="c", since=datetime_at(START), until=datetime_at(START + 1),
    )  # fmt: skip
    assert LogFilter.of(full.document()) == full
    assert LogFilter.of(LogFilter().document()) == LogFilter()
    with pytest.raises(ValueError, match="nonsense"):
        LogFilter.of({"statuses": ["nonsense"]})
    assert isinstance(LogFilter.of(full.document()).since, datetime)
