"""An attempt shows the URL that it was sent to, whatever the endpoint's URL is later."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.nouns import Application, Endpoint, State
from angarium.store import attempt, endpoint
from angarium.store.attempt import AttemptFilter
from angarium.store.message import Filter, IdRange
from angarium.store.retention import RULES, Retention
from angarium.store.stretch import HIGHEST, LOWEST
from tests.kit.receiver import Held, Receiver, Reply
from tests.kit.rows import add_attempt, add_message
from tests.kit.world import World, product

(RULE,) = (rule for rule in RULES if rule.table == "former_url")
FIRST, SECOND, THIRD = (f"https://{name}.example.com/hooks" for name in ("first", "second", "third"))


async def change(world: World, to: Endpoint, **fields: object) -> Endpoint:
    """The endpoint after a change, as a service makes it."""
    async with world.database.transaction() as connection:
        found = await endpoint.find(
            connection, to.app_id, ids.text(ids.ENDPOINT, to.id), world.keyring, lock=True
        )
        assert found is not None
        now = datetime_at(world.clock.now())
        changed = replace(found, updated_at=now, **fields)  # type: ignore[arg-type]
        stored = await endpoint.update(connection, changed, world.keyring, lambda count: bytes(count))
    assert stored is not None
    return stored


@pytest.fixture
async def sent(world: World) -> tuple[Application, Endpoint, UUID, list[UUID]]:
    """An endpoint that had three URLs, and an attempt with each of its revisions."""
    app = await world.application()
    one = await world.endpoint(app, FIRST)
    changes = ({"name": "a"}, {"url": SECOND}, {"name": "b"}, {"url": THIRD}, {"name": "c"})
    revisions = [one.revision, *[(await change(world, one, **fields)).revision for fields in changes]]
    message_id = world.new_id()
    attempts = [world.new_id() for _ in revisions]
    async with world.database.connection() as connection:
        await add_message(connection, app.id, message_id)
        for attempt_id, revision in zip(attempts, revisions, strict=True):
            await add_attempt(connection, app.id, message_id, attempt_id, one.id, revision=revision)
    return app, one, message_id, attempts


async def shown(world: World, app: Application, one: Endpoint, message_id: UUID) -> list[list[str]]:
    """The URLs of the attempts, the oldest first, as every reader gives them."""
    page = IdRange(LOWEST, HIGHEST, 10)
    like, every = AttemptFilter(), Filter()
    async with world.database.connection() as connection:
        whole = await attempt.whole(connection, app.id, message_id, 10)
        lists = [
            await attempt.by_endpoint(connection, app.id, one.id, page, like, every, with_response=False),
            await attempt.by_message(connection, app.id, message_id, page, like, every, with_response=False),
        ]
        single = [await attempt.get(connection, app.id, message_id, found.id) for found in whole]
    found = [whole, *([line.attempt for line in lines] for lines in lists)]
    found.append([line.attempt for line in single if line is not None])
    return [[line.url for line in reversed(lines)] for lines in found]


async def test_each_attempt_shows_the_url_of_its_revision(
    world: World, sent: tuple[Application, Endpoint, UUID, list[UUID]]
) -> None:
    app, one, message_id, _ = sent
    assert await shown(world, app, one, message_id) == [[FIRST, FIRST, SECOND, SECOND, THIRD, THIRD]] * 4
    async with world.database.connection() as connection:
        await endpoint.delete(connection, one, datetime_at(world.clock.now()))
    assert await shown(world, app, one, message_id) == [[FIRST, FIRST, SECOND, SECOND, THIRD, THIRD]] * 4


async def test_a_former_url_is_kept_as_long_as_its_attempts(
    world: World, sent: tuple[Application, Endpoint, UUID, list[UUID]]
) -> None:
    """An attempt may begin at the last moment before the change, and end after it."""
    now = datetime_at(world.clock.now())
    kept = Retention(history=timedelta(days=10))
    async with world.database.connection() as connection:
        assert await RULE.end(connection, kept, now + timedelta(days=11)) == 0
        assert await RULE.end(connection, kept, now + timedelta(days=12)) == 2
        assert await connection.fetch("select from former_url") == []


async def test_only_a_change_of_the_url_stores_a_former_url(world: World) -> None:
    one = await world.endpoint(await world.application(), FIRST)
    await change(world, one, name="a", disabled_at=datetime_at(world.clock.now()), disabled_reason=None)
    assert await world.fetch("select from former_url") == []


async def test_two_concurrent_changes_store_both_former_urls(world: World) -> None:
    one = await world.endpoint(await world.application(), FIRST)
    await asyncio.gather(*(change(world, one, url=url) for url in (SECOND, THIRD)))
    (last,) = await world.fetch("select url from endpoint")
    former = await world.fetch("select url, revision from former_url order by revision")
    assert [row["revision"] for row in former] == [1, 2]
    assert former[0]["url"] == FIRST
    assert {former[1]["url"], last["url"]} == {SECOND, THIRD}


async def test_an_attempt_in_flight_during_a_change_shows_where_it_went(world: World) -> None:
    app = await world.application()
    async with Receiver() as before, Receiver() as after:
        held = Held(Reply(500))
        before.default = held
        async with world.dispatching(product("50ms")) as dispatcher:
            one = await world.endpoint(app, before.url)
            async with world.intake(dispatcher.hand_over) as intake:
                await intake.accept(world.draft(app))
            await before.wait_for(1)
            await change(world, one, url=after.url)
            held.release.set()
            await world.until_states({State.DELIVERED: 1})
    (row,) = await world.fetch("select id from message")
    assert await shown(world, app, one, row["id"]) == [[before.url, after.url]] * 4
