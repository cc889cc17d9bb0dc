"""Polling a list by the last time or iterator that was seen gets all items, however many share an instant."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from angarium.core import ids, timestamp
from angarium.core.nouns import State
from angarium.service.audit import PREFIX
from angarium.store.database import Database
from tests.api.conftest import Backend
from tests.api.world import ORG, World, uuid_of
from tests.kit.rows import add_attempt, add_delivery, add_message

STEPS = (1, 2, 7, 250, 999, 1000, 1_000_000)  # microseconds from one instant to the next
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def world(backend: Backend, database: Database) -> World:
    return World(backend, database)


def text_of(micros: int) -> str:
    return (EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")


class Lists:
    """An application whose lists get items at chosen instants."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self.world, self.chance = world, chance
        self.begin = int((world.services.clock.now() - 3600) * 1_000_000)
        self.made: dict[str, dict[str, int]] = {}

    async def open(self) -> None:
        self.app = await self.world.application()
        self.endpoint = await self.world.endpoint(self.app)
        self.message = await self.world.message(self.app, "other")
        msg, attempt = f"/app/{self.app}/msg", f"/app/{self.app}/attempt"
        self.by_message = (msg, f"/app/{self.app}/endpoint/{self.endpoint}/msg")
        self.by_attempt = (f"{attempt}/endpoint/{self.endpoint}", f"{attempt}/msg/{self.message}")
        self.paths = (*self.by_message, *self.by_attempt, "/audit")
        self.made = {path: {} for path in self.paths}

    def _id(self, prefix: str, micros: int, paths: Iterable[str]) -> Any:
        made = ids.at(micros, self.chance.randbytes(8))
        for path in paths:
            self.made[path][ids.text(prefix, made)] = micros
        return made

    async def add(self, micros: int, count: int) -> None:
        """So many new items in each list, all of one microsecond."""
        app, endpoint, message = map(uuid_of, (self.app, self.endpoint, self.message))
        async with self.world.database.transaction() as conn:
            for _ in range(count):
                new = self._id(ids.MESSAGE, micros, self.by_message)
                await add_message(conn, app, new, payload=None)
                await add_delivery(conn, app, endpoint, new, state=State.DELIVERED)
                attempt = self._id(ids.ATTEMPT, micros, self.by_attempt)
                await add_attempt(conn, app, message, attempt, endpoint)
                await conn.execute(
                    "insert into audit (org_id, id, actor, action) values ($1, $2, 'system', 'test.made')",
                    ORG, self._id(PREFIX, micros, ["/audit"]),
                )  # fmt: skip

    async def page(self, path: str, **query: Any) -> dict[str, Any]:
        more = {"action": "test.made"} if path == "/audit" else {}
        if path == "/audit":
            query = {{"after": "since", "before": "until"}.get(name, name): v for name, v in query.items()}
        elif "/msg" in path and "attempt" not in path:
            more = {"event_types": "a"}
        answer = await self.world.org.get(path, params={**query, **more})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


class Poller:
    """Sees new items of a list, some at a time; every item with its right time."""

    def __init__(self, lists: Lists, path: str, limit: int) -> None:
        self.lists, self.path, self.limit = lists, path, limit
        self.seen: set[str] = set()
        self.last = text_of(lists.begin)
        self.iterator: str | None = None

    def _see(self, page: dict[str, Any]) -> None:
        assert len(page["data"]) <= self.limit
        for item in page["data"]:
            assert timestamp.parse(item["timestamp"]) == EPOCH + timedelta(
                microseconds=self.lists.made[self.path][item["id"]]
            )
            self.seen.add(item["id"])
            self.last = max(self.last, item["timestamp"])

    async def by_time(self) -> None:
        """From the last time on, to the end of that list."""
        query: dict[str, Any] = {"after": self.last, "limit": self.limit}
        forwards = "iterator" if self.path == "/audit" else "prevIterator"  # newest first, whatever `since`
        while True:
            page = await self.lists.page(self.path, **query)
            self._see(page)
            if page["done"]:
                return
            query["iterator"] = page[forwards]

    async def by_iterator(self) -> None:
        """From the newest item on; at first from a time on."""
        while True:
            query = {"after": self.last} if self.iterator is None else {"iterator": self.iterator}
            page = await self.lists.page(self.path, **query, limit=self.limit)
            self._see(page)
            self.iterator = page.get("prevIterator", self.iterator)
            if page["done"]:
                return


async def _polled(
    lists: Lists, limits: Iterable[int], poll: Callable[[Poller], Awaitable[None]], *, split: bool
) -> None:
    pollers = [Poller(lists, path, limit) for path in lists.paths for limit in limits
               if split or path != "/audit"]  # fmt: skip
    micros, chance = lists.begin, lists.chance
    for _ in range(6):
        micros += chance.choice(STEPS)
        await lists.add(micros, chance.randint(1, 9))
        for poller in pollers:
            await poll(poller)
        if split and chance.random() < 0.5:  # more of the same instant, when some were seen already
            await lists.add(micros, chance.randint(1, 5))
    for poller in pollers:
        await poll(poller)
        assert poller.seen == set(lists.made[poller.path]), (poller.path, poller.limit)


@pytest.mark.parametrize("seed", range(3))
async def test_a_poller_by_time_gets_everything(world: World, seed: int) -> None:
    lists = Lists(world, random.Random(seed))
    await lists.open()
    await _polled(lists, (3, 250), Poller.by_time, split=True)


@pytest.mark.parametrize("seed", range(3))
async def test_a_poller_by_iterator_gets_everything(world: World, seed: int) -> None:
    lists = Lists(world, random.Random(seed))
    await lists.open()
    await _polled(lists, (3, 250), Poller.by_iterator, split=False)


async def test_a_time_splits_every_list(world: World) -> None:
    lists = Lists(world, random.Random(7))
    await lists.open()
    micros = lists.begin
    for step in STEPS:
        micros += step
        await lists.add(micros, 3)
    for path in lists.paths:
        made = lists.made[path]
        for at in sorted(set(made.values())):
            after = {one["id"] for one in (await lists.page(path, after=text_of(at), limit=250))["data"]}
            before = {one["id"] for one in (await lists.page(path, before=text_of(at), limit=250))["data"]}
            assert after == {one for one, when in made.items() if when >= at}, path
            assert before == {one for one, when in made.items() if when < at}, path


async def test_the_log_includes_both_ends_of_a_window(world: World) -> None:
    lists = Lists(world, random.Random(8))
    await lists.open()
    micros = lists.begin
    for step in STEPS:
        micros += step
        await lists.add(micros, 4)
    made = lists.made[lists.by_message[0]]
    times = sorted(set(made.values()))
    for first, last in zip(times, times[2:], strict=False):
        query = {"since": text_of(first), "until": text_of(last), "event_type": "a", "limit": 3}
        found: list[str] = []
        while True:
            page = await lists.page(f"/app/{lists.app}/log", **query)
            found += [one["messageId"] for one in page["data"]]
            if page["done"]:
                break
            query["iterator"] = page["iterator"]
        assert sorted(found) == sorted(one for one, when in made.items() if first <= when <= last)


@pytest.mark.parametrize("micros", [0, 1, 999, 1000, 123_456, 1_764_240_953_000_000, 1_764_240_953_999_999])
def test_an_id_contains_its_microsecond(micros: int) -> None:
    at = micros / 1_000_000
    for entropy in (bytes(8), b"\xff" * 8):
        made = ids.at(micros, entropy)
        assert ids.created_at(made) == at
        assert ids.lowest(at) <= made <= ids.highest(at)
        assert made <= ids.made_by(at)
        if micros:
            assert ids.highest((micros - 1) / 1_000_000) < made
        assert made < ids.lowest((micros + 1) / 1_000_000)


def test_every_microsecond_of_a_millisecond_has_ids_of_its_own() -> None:
    start = 1_764_240_953_000_000
    for micros in range(start, start + 2000):
        assert round(ids.created_at(ids.at(micros, bytes(8))) * 1_000_000) == micros
        assert ids.highest(micros / 1e6) < ids.lowest((micros + 1) / 1e6)
        assert ids.lowest(micros / 1e6) < ids.highest(micros / 1e6)
