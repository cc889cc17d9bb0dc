"""The operator's view: every endpoint of the organization in one of three lists, what was lost, and whose a
message is; nothing of another organization."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import Invalid
from angarium.core.nouns import Application, State
from angarium.core.product import STANDARD
from angarium.service import operator as service
from angarium.service.log import Log
from angarium.service.operator import EndpointStatus, Operator
from angarium.service.product import Products
from angarium.service.replay import Replay
from angarium.store.operator import Undelivered
from tests.kit.clock import ManualClock
from tests.kit.task import finish_tasks
from tests.kit.world import ORG, World, product
from tests.service.book import START, Book

NOW = START + 9_000
OTHER_ORG = "org_of_somebody_else"
LOST: dict[str, Any] = {"state": State.EXHAUSTED, "failures": 3, "status_code": 500, "error_code": "http_500"}


@pytest.fixture
async def world(world: World) -> World:
    return World(world.database, clock=ManualClock(NOW))


@pytest.fixture
def operator(world: World) -> Operator:
    replay = Replay(world.database, world.clock, os.urandom)
    return Operator(world.database, world.clock, replay)


def book_of(world: World, app: Application) -> Book:
    return Book(
        world,
        Log(world.database, world.clock, Products(world.database, world.clock, {STANDARD: product()})),
        app,
    )


async def application(world: World, number: int, org_id: str = ORG) -> Application:
    """Their ids sort by number."""
    return await world.application(
        id=ids.new(START + number, os.urandom(8)), name=f"Customer {number}", uid=f"c{number}", org_id=org_id
    )


async def endpoint(world: World, app: Application, number: int, **fields: Any) -> UUID:
    """Their ids sort by number. `failing`: since how many seconds."""
    failing = fields.pop("failing", None)
    made = await world.endpoint(
        app, f"https://{number}.example.com/", id=ids.new(START + number, os.urandom(8)), **fields
    )
    if failing is not None:
        await world.fetch(
            "insert into endpoint_health values ($1, $2, $3, 7)", app.id, made.id, datetime_at(NOW - failing)
        )
    return made.id


async def all_pages(
    page: Callable[[str | None], Awaitable[Any]], items: Callable[[Any], list[Any]]
) -> list[Any]:
    cursor, found = None, []
    for _ in range(100):
        one = await page(cursor)
        found += items(one)
        cursor = one.older
        if cursor is None:
            return found
    raise AssertionError("the pages do not end")


async def test_each_endpoint_is_in_the_list_of_its_health(
    world: World, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "APPLICATIONS", 2)
    expected: dict[EndpointStatus, list[tuple[int, UUID]]] = {health: [] for health in EndpointStatus}
    outside = await application(world, 50, OTHER_ORG)
    for fields in ({}, {"failing": 5}, {"disabled_at": datetime_at(NOW), "disabled_reason": "gone"}):
        await endpoint(world, outside, 1, **fields)
    gone = await application(world, 51)
    await endpoint(world, gone, 1, failing=9)
    await world.fetch("update application set deleted_at = $2 where id = $1", gone.id, datetime_at(NOW))
    for n in range(7):
        app = await application(world, n)
        if n == 3:
            continue  # has none
        well = await endpoint(world, app, 100 + n)
        ill = await endpoint(world, app, 200 + n, failing=n % 3)
        off = await endpoint(
            world, app, 300 + n, failing=50, disabled_at=datetime_at(NOW - n % 3), disabled_reason="failing"
        )
        deleted = await endpoint(world, app, 400 + n, failing=1)
        await world.fetch("update endpoint set deleted_at = $2 where id = $1", deleted, datetime_at(NOW))
        expected[EndpointStatus.HEALTHY].insert(0, (0, well))
        expected[EndpointStatus.FAILING].append((-(n % 3), ill))
        expected[EndpointStatus.DISABLED].append((n % 3, off))
    expected[EndpointStatus.FAILING].sort()
    expected[EndpointStatus.DISABLED].sort(key=lambda one: (one[0], -one[1].int))
    for health in EndpointStatus:
        for limit in (1, 4, 50):
            found = await all_pages(
                lambda cursor, h=health, n=limit: operator.endpoints(ORG, h, cursor, limit=n),  # type: ignore[misc]
                lambda page: list(page.endpoints),
            )
            assert [one.id for one in found] == [one[1] for one in expected[health]], (health, limit)
    (first, *_) = (await operator.endpoints(ORG, EndpointStatus.FAILING)).endpoints
    assert (first.app_name, first.app_uid, first.failures) == ("Customer 2", "c2", 7)
    assert first.failing_since == datetime_at(NOW - 2)
    (first, *_) = (await operator.endpoints(ORG, EndpointStatus.DISABLED)).endpoints
    assert first.disabled_reason == "failing"
    (first, *_) = (await operator.endpoints(ORG, EndpointStatus.HEALTHY)).endpoints
    assert (first.app_name, first.disabled_at) == ("Customer 6", None)


async def test_an_application_shows_its_counts(world: World, operator: Operator) -> None:
    app, empty = await application(world, 1), await application(world, 2)
    await application(world, 3, OTHER_ORG)
    book = book_of(world, app)
    well = await endpoint(world, app, 1)
    await endpoint(world, app, 2, failing=1)
    await endpoint(world, app, 3, failing=1, disabled_at=datetime_at(NOW))
    await book.requeue(await book.message(), well)
    for fields in (LOST, {"state": State.PENDING, "failures": 1}, {"state": State.CANCELED}):
        await book.requeue(await book.message(), well, **fields)
    newer, older = await operator.applications(ORG)
    assert (newer.application.id, older.application.id) == (empty.id, app.id)
    shown = older.standing
    assert (shown.endpoints, shown.disabled, shown.failing, shown.failing_deliveries) == (3, 1, 1, 3)
    shown = newer.standing
    assert (shown.endpoints, shown.disabled, shown.failing, shown.failing_deliveries) == (0, 0, 0, 0)
    (first,) = await operator.applications(ORG, limit=1)
    (second,) = await operator.applications(ORG, first.application.id, limit=1)
    (back,) = await operator.applications(ORG, second.application.id, backwards=True, limit=1)
    assert (second.application.id, back.application.id) == (app.id, empty.id)


async def test_undelivered_messages_are_listed_by_endpoint_and_can_be_sent_again(
    world: World, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "APPLICATIONS", 2)
    monkeypatch.setattr(service, "MOST", 3)
    expected: list[tuple[UUID, int]] = []
    for n in range(5):
        app = await application(world, n)
        book = book_of(world, app)
        for e in range(2):
            one = await endpoint(world, app, e, disabled_at=datetime_at(NOW) if (n, e) == (4, 1) else None)
            for _ in range(n):
                await book.requeue(await book.message(), one, app_id=app.id, **LOST)
            await book.requeue(await book.message(payload=None), one, **LOST)
            if n:
                expected.insert(0, (one, min(n, 3)))
    outside = await application(world, 50, OTHER_ORG)
    book = book_of(world, outside)
    theirs = await endpoint(world, outside, 1)
    await book.requeue(await book.message(), theirs, **LOST)
    for limit in (1, 3, 50):
        found = await all_pages(
            lambda cursor, n=limit: operator.undelivered(ORG, cursor, limit=n),  # type: ignore[misc]
            lambda page: list(page.endpoints),
        )
        assert [(one.undelivered.endpoint_id, one.undelivered.number) for one in found] == expected
    assert [one.undelivered.disabled for one in found] == [True] + [False] * 7
    assert {one.application.id for one in found} == {one.undelivered.app_id for one in found}
    foreign = Undelivered(outside.id, theirs, "", disabled=False, number=1)
    assert await operator.recover(ORG, [*(one.undelivered for one in found), foreign]) == 7
    await finish_tasks(world.database, world.clock)
    (row,) = await world.fetch("select count(*) from delivery where manual_at is not null")
    assert row[0] == 2 * (1 + 2 + 3) + 4
    (left,) = (await operator.undelivered(ORG)).endpoints
    assert left.undelivered.disabled


async def test_a_message_is_found_in_whatever_application(
    world: World, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "APPLICATIONS", 2)
    apps = [await application(world, n) for n in range(5)]
    outside = await application(world, 50, OTHER_ORG)
    made = [await book_of(world, app).message(event_id="order-1") for app in apps]
    theirs = await book_of(world, outside).message(event_id="theirs")
    for app, message in zip(apps, made, strict=True):
        reference = ids.text(ids.MESSAGE, message)
        result = await operator.find_message(ORG, reference)
        ((found,), complete) = result.found, result.complete
        assert (found.application, found.message.id, complete) == (app, message, True)
        assert found.message.payload is None
    result = await operator.find_message(ORG, "order-1")
    assert [one.message.id for one in result.found] == made[::-1]
    for reference in (ids.text(ids.MESSAGE, theirs), "theirs", "nothing", "", "a b", "msg_"):
        assert (await operator.find_message(ORG, reference)).found == (), reference
    monkeypatch.setattr(service, "SEARCHED", 4)
    result = await operator.find_message(ORG, ids.text(ids.MESSAGE, made[0]))
    assert (result.found, result.complete) == ((), False)
    monkeypatch.setattr(service, "MAX_FOUND", 3)
    result = await operator.find_message(ORG, "order-1")
    assert (len(result.found), result.complete) == (3, False)


@pytest.mark.parametrize("cursor", ["", ".", "1", "1.ep_", "x.ep_" + "0" * 27, "-1.ep_" + "0" * 27, "9" * 30])
async def test_an_invalid_cursor_is_refused(operator: Operator, cursor: str) -> None:
    for health in EndpointStatus:
        with pytest.raises(Invalid):
            await operator.endpoints(ORG, health, cursor)
    with pytest.raises(Invalid):
        await operator.undelivered(ORG, cursor)
