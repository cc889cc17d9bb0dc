"""How dispatchers share the shards, and what one does when its connection is lost: in virtual time.

The advisory locks are a table in memory here, which several owners share.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import asyncpg
import pytest

from angarium.core.errors import StoreUnavailable
from angarium.dispatch import ownership
from angarium.dispatch.ownership import HASTE, LOOK, Ownership
from angarium.store import shard
from angarium.store.hint import LookEverywhere, Task
from tests.kit import virtual
from tests.kit.virtual import VirtualLoop

ALL = frozenset(range(shard.SHARDS))
RECONNECT, GRACE, PATIENCE = 0.5, 2.0, 1.0  # seconds, as ownership.py promises


@dataclass(eq=False)
class Session:
    """A connection that joins, takes and gives."""

    cluster: Cluster
    settings: dict[str, Any]
    broken: bool = False
    closed: bool = False
    terminated: bool = False
    joined: bool = False
    leaving: bool = False
    stuck: bool = False  # it cannot be closed in good order
    hangs: bool = False  # its owner says nothing more
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[Callable[[Any], None]] = field(default_factory=list)
    listeners: dict[str, Callable[..., None]] = field(default_factory=dict)
    looks: list[float] = field(default_factory=list)

    def add_termination_listener(self, listener: Callable[[Any], None]) -> None:
        self.ended.append(listener)

    async def add_listener(self, channel: str, listener: Callable[..., None]) -> None:
        self.listeners[channel] = listener

    async def close(self, timeout: float) -> None:
        if self.stuck:
            raise TimeoutError
        self.closed = True
        self._gone()

    def terminate(self) -> None:
        self.terminated = True
        self._gone()

    def lose(self) -> None:
        """The server, or the network, ends it."""
        self.broken = True
        self.lost.set()
        self._gone()
        for listener in self.ended:
            listener(self)

    def _gone(self) -> None:
        self.cluster.owner = {one: by for one, by in self.cluster.owner.items() if by is not self}
        self.joined = False

    async def ask(self) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise asyncpg.InterfaceError("connection is closed")


class Cluster:
    """The database: who is there, and who owns what."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.sessions: list[Session] = []
        self.owner: dict[int, object] = {}
        self.strangers = 0  # others that are counted, and take nothing
        self.away = False
        self.asked: list[float] = []  # when a connection was requested
        self.answers_after = 0.0
        self.given: list[int] = []
        self.evicted: list[tuple[int, float]] = []  # which session, and its silence

    async def dedicated(self, timeout: float, **settings: str) -> Session:
        self.asked.append(self.loop.time())
        await asyncio.sleep(0)
        if self.away:
            raise StoreUnavailable
        self.sessions.append(Session(self, {"timeout": timeout, **settings}))
        return self.sessions[-1]

    async def join(self, session: Session) -> None:
        await session.ask()
        session.joined = True

    async def leave(self, session: Session) -> None:
        await session.ask()
        session.leaving = True

    async def members(self, session: Session) -> list[shard.Member]:
        await asyncio.sleep(self.answers_after)
        await session.ask()
        session.looks.append(self.loop.time())
        marks: dict[int, float | None] = dict.fromkeys(range(-self.strangers, 0))
        for number, one in enumerate(self.sessions):
            if one.joined:
                marks[number] = one.looks[-1] if one.looks else None
        if session.hangs:
            await session.lost.wait()
            await session.ask()
        leaving = {number for number, one in enumerate(self.sessions) if one.leaving}
        return [shard.Member(n, cast(Any, mark), n in leaving, None) for n, mark in marks.items()]

    async def evict(self, session: Session, silent: Mapping[int, float]) -> int:
        await session.ask()
        for number, mark in silent.items():
            one = self.sessions[number]
            assert one is not session
            assert one.looks[-1] == mark
            self.evicted.append((number, self.loop.time() - mark))
            one.lose()
        return len(silent)

    async def take(self, session: Session, shards: Sequence[int]) -> list[int]:
        await session.ask()
        free = [one for one in shards if one not in self.owner]
        self.owner |= dict.fromkeys(free, session)
        return free

    async def release(self, session: Session, shards: Sequence[int]) -> None:
        await session.ask()
        for one in shards:
            assert self.owner.pop(one) is session
            self.given.append(one)

    def owned(self, session: Session) -> set[int]:
        return {one for one, by in self.owner.items() if by is session}


class Lanes:
    """What a dispatcher has under way."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.mine: set[int] = set()
        self.at_work: set[int] = set()
        self.hints: list[object] = []
        self.told = 0
        self.asked: list[tuple[float, int, float]] = []  # when, how many, with what patience
        self.drains_for: float | None = None  # seconds until what is under way has ended
        self.canceled = False

    def gained(self, shards: Iterable[int]) -> None:
        self.told += 1
        self.mine.update(shards)

    def lost(self, shards: Iterable[int]) -> None:
        self.mine.difference_update(shards)

    async def drain(self, count: int, patience: float) -> list[int]:
        self.asked.append((self.loop.time(), count, patience))
        try:
            if self.drains_for is not None:
                await asyncio.sleep(self.drains_for)
        except asyncio.CancelledError:
            self.canceled = True
            raise
        return sorted(self.mine)[:count]

    def busy(self, shard: int) -> bool:
        return shard in self.at_work

    def hinted(self, hint: object) -> None:
        self.hints.append(hint)


@dataclass
class Owner:
    """One dispatcher's ownership at work."""

    lanes: Lanes
    ownership: Ownership
    session: Session  # its first one


@asynccontextmanager
async def owning(cluster: Cluster, seed: int = 0) -> AsyncIterator[Owner]:
    database: Any = cluster
    lanes = Lanes(cluster.loop)
    made = Ownership(database, lanes, random.Random(seed))
    running = asyncio.create_task(made.run())
    try:
        if not cluster.away:
            await made.first_share.wait()
        session: Any = cluster.sessions[-1] if cluster.sessions else None
        yield Owner(lanes, made, session)
    finally:
        made.stop()
        await running
    assert lanes.mine == set()


Test = Callable[[Cluster], Coroutine[Any, Any, None]]


@pytest.fixture
def in_virtual_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[Test], None]:
    def run(test: Test) -> None:
        async def work(loop: VirtualLoop) -> None:
            cluster = Cluster(loop)
            monkeypatch.setattr(ownership, "steady", loop.time)
            for name in ("join", "leave", "members", "evict", "take", "release"):
                monkeypatch.setattr(shard, name, getattr(cluster, name))
            await test(cluster)

        virtual.run(work)

    return run


Run = Callable[[Test], None]


def test_a_single_dispatcher_owns_all_shards_and_releases_them_when_it_stops(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            session = one.session
            assert session.settings == {"timeout": shard.TIMEOUT, **shard.SESSION}
            assert one.lanes.mine == cluster.owned(session) == ALL
            assert one.ownership.sure
        assert (session.closed, session.terminated) == (True, False)
        assert cluster.owner == {}

    in_virtual_time(test)


def test_no_shard_is_used_before_the_first_query(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        database: Any = cluster
        for now in (0.0, shard.SILENCE, cluster.loop.now):
            cluster.loop.now = now
            assert not Ownership(database, Lanes(cluster.loop), random.Random(0)).sure

    in_virtual_time(test)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_new_dispatchers_get_equal_shares(in_virtual_time: Run, count: int) -> None:
    async def test(cluster: Cluster) -> None:
        async with (
            owning(cluster, 0) as one, owning(cluster, 1) as two, owning(cluster, 2) as three,
            owning(cluster, 3) as four, owning(cluster, 4) as five,
        ):  # fmt: skip
            owners = [one, two, three, four, five]
            for gone in owners[count:]:
                gone.ownership.stop()
            await asyncio.sleep(60)
            share = -(-shard.SHARDS // count)
            for owner in owners[:count]:
                assert owner.lanes.mine == cluster.owned(owner.session)
                assert len(owner.lanes.mine) <= share
            assert sum(len(owner.lanes.mine) for owner in owners) == shard.SHARDS

    in_virtual_time(test)


def test_sending_for_a_shard_stops_before_it_is_released(
    in_virtual_time: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:

            async def release(session: Session, shards: Sequence[int]) -> None:
                assert not one.lanes.mine & set(shards)
                await cluster.release(session, shards)

            monkeypatch.setattr(shard, "release", release)
            cluster.strangers = 1
            await asyncio.sleep(1.1 * LOOK)
            assert len(one.lanes.mine) == shard.SHARDS // 2
            assert sorted(cluster.given) == sorted(ALL - one.lanes.mine)

    in_virtual_time(test)


def test_no_dispatcher_takes_more_than_its_share(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        cluster.strangers = 1
        async with owning(cluster) as one:
            await asyncio.sleep(10 * LOOK)
            assert len(one.lanes.mine) == shard.SHARDS // 2
            assert one.lanes.asked == []

    in_virtual_time(test)


def test_one_that_retires_releases_idle_shards_at_once_and_the_others_as_their_attempts_end(
    in_virtual_time: Run,
) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster, 0) as one, owning(cluster, 1) as two, owning(cluster, 2) as three:
            await asyncio.sleep(10 * LOOK)
            busy = set(sorted(one.lanes.mine)[:3])
            one.lanes.at_work = busy.copy()
            one.ownership.retire()
            await asyncio.sleep(1.2 * LOOK)
            assert one.lanes.mine == cluster.owned(one.session) == busy
            assert two.lanes.mine | three.lanes.mine == ALL - busy
            await asyncio.sleep(20 * LOOK)
            assert one.lanes.mine == busy, "they are not given away while attempts are under way"
            assert one.ownership.sure, "nor is it evicted"
            assert cluster.evicted == []
            one.lanes.at_work.clear()
            await asyncio.sleep(1.2 * LOOK)
            assert two.lanes.mine | three.lanes.mine == ALL
            assert not one.session.closed, "others can still hand over to it until it is stopped"

    in_virtual_time(test)


def test_one_that_retires_without_a_connection_takes_no_shard_again(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            one.ownership.retire()
            one.session.lose()
            await asyncio.sleep(10 * LOOK)
            assert one.lanes.mine == cluster.owned(one.session) == set()
            assert not any(session.joined for session in cluster.sessions)

    in_virtual_time(test)


def test_shards_of_others_are_taken_when_they_are_free(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        others = dict.fromkeys(range(0, 64, 2), object())
        cluster.owner |= others
        cluster.strangers = 1
        async with owning(cluster) as one:
            assert one.lanes.mine == ALL - others.keys()
            cluster.strangers = 0
            await asyncio.sleep(1.1 * LOOK)
            assert one.lanes.mine == ALL - others.keys()
            cluster.owner = {place: by for place, by in cluster.owner.items() if place not in others}
            await asyncio.sleep(1.1 * LOOK)
            assert one.lanes.mine == ALL

    in_virtual_time(test)


def test_a_dispatcher_that_waits_for_shards_queries_often_at_first(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        cluster.owner = dict.fromkeys(range(64), object())
        cluster.strangers = 1
        async with owning(cluster) as one:
            session, began = one.session, cluster.loop.time()
            await asyncio.sleep(100.5)
            looks = [round(at - began, 3) for at in session.looks]
            hasty = [round(number * LOOK / 10, 3) for number in range(HASTE + 1)]
            assert looks[: HASTE + 1] == hasty
            steps = {
                round(later - at, 3) for at, later in zip(looks[HASTE:], looks[HASTE + 1 :], strict=False)
            }
            assert steps == {LOOK}
            assert len(looks) == HASTE + 1 + 95
            # a dispatcher leaves, so shards are about to be free
            cluster.strangers = 0
            await asyncio.sleep(LOOK + 1.05 * LOOK)
            assert len(session.looks) - len(looks) >= 10

    in_virtual_time(test)


def test_a_dispatcher_with_its_share_queries_once_a_second(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            await asyncio.sleep(10.5 * LOOK)
            looks = one.session.looks
            assert [at - looks[0] for at in looks] == [number * LOOK for number in range(11)]

    in_virtual_time(test)


def test_a_shard_that_is_busy_after_draining_is_kept(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            one.lanes.at_work = {0, 1, 2}
            cluster.strangers = 1
            await asyncio.sleep(1.1 * LOOK)
            assert {0, 1, 2} <= one.lanes.mine
            assert sorted(cluster.given) == list(range(3, 32))

    in_virtual_time(test)


def test_the_time_for_draining_grows(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            one.lanes.at_work = set(ALL)
            cluster.strangers = 1
            await asyncio.sleep(3.5 * LOOK)
            assert [asked[1:] for asked in one.lanes.asked] == [(32, PATIENCE), (32, 2.0), (32, 4.0)]
            one.lanes.at_work = set()
            await asyncio.sleep(1.1 * LOOK)
            assert one.lanes.asked[3][1:] == (32, 8.0)
            assert len(one.lanes.mine) == 32
            await asyncio.sleep(2 * LOOK)
            one.lanes.at_work = set(ALL)
            cluster.strangers = 3
            await asyncio.sleep(1.1 * LOOK)
            assert one.lanes.asked[4][1:] == (16, PATIENCE), "it had its share in between"

    in_virtual_time(test)


def test_idle_shards_are_released_at_once(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            one.lanes.at_work = set(range(10))
            cluster.strangers = 1
            await asyncio.sleep(1.5 * LOOK)
            assert one.lanes.asked[0][1:] == (32, PATIENCE)
            assert one.lanes.asked[1][1:] == (10, PATIENCE)
            assert one.lanes.asked[1][0] == one.lanes.asked[0][0], "without a pause between"

    in_virtual_time(test)


def test_a_session_is_never_silent_while_shards_are_drained(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            session = one.session
            cluster.strangers = 1
            one.lanes.drains_for = 30.5
            await asyncio.sleep(0.5 * LOOK)
            began = len(session.looks)
            await asyncio.sleep(30)
            assert len(session.looks) - began >= 29
            assert one.ownership.sure
            assert len(one.lanes.mine) == 64
            await asyncio.sleep(2)
            assert len(one.lanes.mine) == 32

    in_virtual_time(test)


def test_a_silent_owner_is_evicted_once(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster, 0) as one, owning(cluster, 1) as two:
            await asyncio.sleep(60)
            one.session.hangs = True
            await asyncio.sleep(shard.SILENCE + 3 * LOOK)
            [(number, silent)] = cluster.evicted
            assert cluster.sessions[number] is one.session
            assert shard.SILENCE < silent <= shard.SILENCE + 2 * LOOK
            assert len(two.lanes.mine) >= 32

    in_virtual_time(test)


def test_a_paused_dispatcher_evicts_no_other_for_its_own_pause(
    in_virtual_time: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster, 0), owning(cluster, 1):
            await asyncio.sleep(60)
            # all are paused, as on a host that sleeps; the first to check sees the others' old marks
            monkeypatch.setattr(ownership, "steady", lambda: cluster.loop.time() + 3600.0)
            await asyncio.sleep(60)
            assert cluster.evicted == []

    in_virtual_time(test)


def test_nothing_is_drained_for_a_connection_that_is_lost(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            cluster.strangers = 1
            one.lanes.drains_for = 3600.0
            await asyncio.sleep(1.5 * LOOK)
            assert not one.lanes.canceled
            one.session.lose()
            await asyncio.sleep(2 * LOOK)
            assert one.lanes.canceled
            assert len(one.lanes.mine) == 32
            assert len(cluster.sessions) == 2

    in_virtual_time(test)


def test_a_lost_connection_loses_all_shards_and_they_are_taken_again(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            one.session.lose()
            assert one.lanes.mine == set()
            await asyncio.sleep(0.1)
            assert one.lanes.mine == ALL
            assert cluster.owned(cluster.sessions[1]) == ALL
            assert one.session.closed

    in_virtual_time(test)


def test_shards_with_attempts_in_flight_are_taken_again_later(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            one.lanes.at_work = {3, 4}
            one.session.lose()
            await asyncio.sleep(GRACE / 2)
            assert one.lanes.mine == ALL - {3, 4}
            one.lanes.at_work = {3}
            await asyncio.sleep(0.3)
            assert one.lanes.mine == ALL - {3}
            await asyncio.sleep(GRACE / 2 - 0.4)
            assert one.lanes.mine == ALL - {3}
            await asyncio.sleep(0.3)
            assert one.lanes.mine == ALL

    in_virtual_time(test)


@pytest.mark.parametrize("error", [asyncpg.InterfaceError("gone"), OSError(), asyncpg.RaiseError("no")])
def test_a_dispatcher_without_a_response_owns_nothing_until_it_reconnects(
    in_virtual_time: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            one.session.stuck = True

            async def fail(session: Session) -> list[shard.Member]:
                if session is one.session:
                    assert one.lanes.mine == ALL
                    raise error
                return await cluster.members(session)

            monkeypatch.setattr(shard, "members", fail)
            await asyncio.sleep(LOOK + 0.1)
            assert one.session.terminated
            assert len(cluster.sessions) == 2
            assert one.lanes.mine == ALL

    in_virtual_time(test)


def test_connecting_is_retried_while_the_database_is_away(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        cluster.away = True
        async with owning(cluster) as one:
            await asyncio.sleep(2.1)
            assert [at - cluster.asked[0] for at in cluster.asked] == [n * RECONNECT for n in range(5)]
            assert not one.ownership.first_share.is_set()
            cluster.away = False
            await asyncio.sleep(RECONNECT)
            assert one.lanes.mine == ALL
            assert one.ownership.first_share.is_set()
            cluster.away = True
            cluster.sessions[0].lose()
            began = len(cluster.asked)
            await asyncio.sleep(2.1)
            assert len(cluster.asked) - began == 5, "the same after a connection that was lost"

    in_virtual_time(test)


@pytest.mark.parametrize("away", [False, True])
def test_a_stop_interrupts_waiting(in_virtual_time: Run, away: bool) -> None:
    async def test(cluster: Cluster) -> None:
        cluster.away = away
        async with owning(cluster) as one:
            await asyncio.sleep(10.25)
            began = cluster.loop.time()
            one.ownership.stop()
        assert cluster.loop.time() == began

    in_virtual_time(test)


def test_hints_are_forwarded(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            heard = one.session.listeners[shard.CHANNEL]
            for text in ("t:", "what"):
                heard(one.session, 1, shard.CHANNEL, text)
            assert one.lanes.hints == [Task(), LookEverywhere()]

    in_virtual_time(test)


def test_a_response_counts_from_the_time_of_its_query(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            cluster.answers_after = 7.0
            await asyncio.sleep(LOOK + 7.0 + 0.1)  # the answer has just come
            cluster.answers_after = 3600.0
            await asyncio.sleep(2.8)
            assert one.ownership.sure
            await asyncio.sleep(0.2)
            assert not one.ownership.sure, "ten seconds after it was asked for"
            one.session.lose()

    in_virtual_time(test)


def test_after_a_pause_lanes_are_notified_once_a_query_succeeds(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        async with owning(cluster) as one:
            await asyncio.sleep(5)
            told = one.lanes.told
            cluster.loop.now += shard.SILENCE  # the process stands still
            assert not one.ownership.sure
            await asyncio.sleep(1.1 * LOOK)
            assert one.ownership.sure
            assert one.lanes.told == told + 1
            await asyncio.sleep(5)
            assert one.lanes.told == told + 1
            assert one.lanes.mine == ALL

    in_virtual_time(test)


def test_a_dispatcher_that_sees_no_members_counts_itself(in_virtual_time: Run) -> None:
    async def test(cluster: Cluster) -> None:
        cluster.strangers = -1
        async with owning(cluster) as one:
            assert one.lanes.mine == ALL

    in_virtual_time(test)
