"""Deleted endpoints stay for as long as the history, and an application may have many of them.

What asks for the endpoints of an application reads the living ones only, with the plan for its values and
with a generic one, and whatever PostgreSQL knew of the table when it made the plan.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.nouns import Application
from angarium.store import accept, application, endpoint, fan_out, partition, play
from angarium.store import operator as operator_store
from angarium.store.accept import Item
from angarium.store.application import ApplicationFilter
from angarium.store.cancel import cancel_message
from angarium.store.connection import Connection
from angarium.store.sql import queries
from angarium.store.stretch import HIGHEST, LOWEST
from angarium.store.target import find_target
from tests.kit import many
from tests.kit.explained import Explaining, pages_of, undone
from tests.kit.world import ORG, World

DELETED: Final = 4000  # of the application, before its living endpoints and after them
LIVING: Final = 3
OTHERS: Final = 1500  # applications with one endpoint: the average application has next to none
PAGES: Final = 80  # of the table and its indexes that a statement may read; the deleted ones fill hundreds
URL: Final = "http://127.0.0.1:9/"


class Reading(Explaining):
    """A connection that tells how many pages of the endpoints each statement reads."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.pages: list[int] = []

    def is_in_transaction(self) -> bool:
        return self._connection.is_in_transaction()

    def transaction(self) -> Any:
        return self._connection.transaction()

    async def explain(self, sql: str, args: tuple[Any, ...]) -> None:
        self.pages += [pages_of(plan, "endpoint") for plan in await self.plans(sql, args)]


class Scene:
    """An application with a few living endpoints among many deleted ones, and a message for them."""

    def __init__(self, world: World, app: Application, living: list[UUID]) -> None:
        self.world, self.app, self.living = world, app, living
        self.now = datetime_at(world.clock.now())
        self.item = Item(
            id=world.new_id(), org_id=ORG, app=ids.text(ids.APPLICATION, app.id), event_type="a.b",
            payload=b"{}", event_id=None, channels=(), tags=(), expires_at=self.now, key=None,
            endpoint_id=None, due_at=world.clock.now(),
        )  # fmt: skip

    async def accepts(self, c: Any) -> None:
        stored, owed = await accept.accept(c, [self.item], self.world.clock.now())
        assert [one.late for one in stored] == [False]
        assert [one.endpoint_id for one in owed] == self.living

    async def fans_out(self, c: Any) -> None:
        rows = queries.fan_out_slice(
            c, app_id=self.app.id, message_ids=[self.item.id], seqs=[1 << 40], due=[self.now],
            scheduled=[False], afters=[LOWEST], endpoint_ids=[], patterns=["a.b"], channels=[], written=[],
            now=self.now, looks=fan_out.LOOKS, room=fan_out.ROOM,
        )  # fmt: skip
        assert [row["endpoint_id"] async for row in rows] == [*self.living, None]

    async def finds(self, c: Any) -> None:
        for ref in (ids.text(ids.ENDPOINT, self.living[1]), "one"):
            for lock in (False, True):
                found = await endpoint.find(c, self.app.id, ref, self.world.keyring, lock=lock)
                assert found is not None
                assert found.id == self.living[1]
        target = await find_target(c, self.app.id, uid="one")
        assert target is not None
        assert target.id == self.living[1]

    async def lists(self, c: Any) -> None:
        for ascending in (True, False):
            for cursor in (None, LOWEST if ascending else HIGHEST):
                found = await endpoint.page(
                    c, self.app.id, cursor, self.world.keyring, ascending=ascending, limit=51
                )
                assert [one.id for one in found] == sorted(self.living, reverse=not ascending)
        assert [one.id for one in await play.endpoints(
            c, self.app.id, f"{URL}2", self.world.keyring, limit=10
        )] == self.living[1:2]  # fmt: skip

    async def counts(self, c: Any) -> None:
        assert await endpoint.count(c, self.app.id, 1000) == LIVING

    async def touches(self, c: Any) -> None:
        assert set(await endpoint.touch_all(c, self.app.id, only_inheriting=True)) == set(self.living)

    async def lists_applications(self, c: Any) -> None:
        newest = UUID(int=self.app.id.int + 1)
        for wanted in (
            ApplicationFilter(with_endpoints=True),
            ApplicationFilter(not_all_disabled=True),
            ApplicationFilter(not_all_below=("https://",)),
        ):
            (found,) = await application.page(c, ORG, newest, ascending=False, limit=1, wanted=wanted)
            assert found.id == self.app.id

    async def shows_the_operator(self, c: Any) -> None:
        beyond = (HIGHEST, HIGHEST)
        found = await operator_store.healthy(c, [self.app], beyond, 51)
        assert [one.id for one in found] == sorted(self.living, reverse=True)
        standing = await operator_store.standing(c, [self.app.id], self.item.id, 10)
        assert standing[self.app.id].endpoints == LIVING
        assert (
            await operator_store.undelivered(c, [self.app.id], beyond, self.item.id, self.now, 10, 51) == []
        )

    async def cancels(self, c: Any) -> None:
        await accept.accept(c, [self.item], self.world.clock.now())
        assert await cancel_message(c, self.app.id, self.item.id, self.now) == LIVING


@pytest.fixture
async def scene(world: World) -> Scene:
    async with world.database.connection() as connection:
        await connection.execute(
            "insert into application (id, org_id, name, created_at, updated_at)"
            " select gen_random_uuid(), $1, 'a', now(), now() from generate_series(1, $2::integer)",
            ORG, OTHERS,
        )  # fmt: skip
        await connection.execute(
            "insert into endpoint (app_id, id, org_id, url, keys, shard, created_at, updated_at)"
            " select id, gen_random_uuid(), org_id, 'http://a/', '', 1, now(), now() from application"
        )
        app = await world.application()
        await connection.execute("analyze application, endpoint")
        await many.endpoints(connection, app, DELETED, deleted=True)
        living = await many.endpoints(connection, app, LIVING, URL, keyring=world.keyring)
        await connection.execute("update endpoint set uid = 'one' where id = $1", living[1])
        await many.endpoints(connection, app, DELETED, deleted=True)
        made = Scene(world, app, living)
        await partition.cover(connection, [made.item.id], [made.now])
        return made


LOOKS: Final[dict[str, Callable[[Scene, Any], Awaitable[None]]]] = {
    "accept": Scene.accepts,
    "fan-out": Scene.fans_out,
    "find": Scene.finds,
    "list": Scene.lists,
    "count": Scene.counts,
    "touch": Scene.touches,
    "applications": Scene.lists_applications,
    "operator": Scene.shows_the_operator,
    "cancel": Scene.cancels,
}


async def test_no_statement_reads_deleted_endpoints(scene: Scene) -> None:
    faults = []
    for analyzed in (False, True):
        async with scene.world.database.connection() as connection:
            if analyzed:
                await connection.execute("vacuum analyze endpoint")
            for name, look in LOOKS.items():
                async with undone(connection):
                    reading = Reading(connection)
                    await look(scene, reading)
                assert any(reading.pages), name
                if max(reading.pages) > PAGES:
                    faults.append((name, analyzed, reading.pages))
    assert not faults


async def test_deleted_endpoints_do_not_count_towards_the_limit_of_accept(world: World) -> None:
    app = await world.application()
    async with world.database.connection() as connection:
        await many.endpoints(connection, app, accept.LOOKS + 10, deleted=True)
        living = await many.endpoints(connection, app, 1)
        await Scene(world, app, living).accepts(connection)


async def test_a_deleted_endpoint_has_no_listener(world: World) -> None:
    app = await world.application()
    one, other = [await world.endpoint(app, URL) for _ in range(2)]
    now = datetime_at(world.clock.now())
    async with world.database.transaction() as connection:
        for made in (one, other):
            await queries.listener_running(connection, app_id=app.id, endpoint_id=made.id, now=now)
        await endpoint.delete(connection, one, now)
    rows = await world.fetch("select endpoint_id from listener")
    assert [row["endpoint_id"] for row in rows] == [other.id]
