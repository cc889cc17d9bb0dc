"""Lanes in virtual time against a model of the table, with random arrivals, faults, delays and lost hints.

Some messages are scheduled for later. Messages are committed in another order than they were accepted in.
Some come without a place in the order of acceptance, and get the place before all others. In some runs the
endpoint changes between free and first-in-first-out, and the lane hears of it later.

One run is one seed: a lane, a table of deliveries and a queue of events. Whatever happens, every delivery
ends, none is in flight twice, no limit is exceeded, the order is kept and nothing starves.

Hundreds of runs are drawn from fixed seeds, each named by its number when it fails; hypothesis looks for
small ones beside them. ANGARIUM_TEST_SCHEDULES sets how many, and `make chaos` runs twenty thousand.
"""

from __future__ import annotations

import heapq
import os
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from typing import Final, TypeVar
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angarium.core.allowance import FAILING_STARTS, THRESHOLD
from angarium.core.failure import KINDS
from angarium.core.lane import Lane, Limits, Load, Send, Wait
from angarium.core.lane_queue import FRAME, QueuedDelivery
from angarium.core.lifecycle import Move, advance
from angarium.core.nouns import State
from angarium.core.outcome import AttemptResult
from angarium.core.read_position import FIRST, LAST, SLACK
from angarium.core.schedule import Schedule

LOOK_EVERY: Final = 15.0
END: Final = 200_000.0  # virtual seconds by which everything must have ended
SCHEDULES: Final = int(os.environ.get("ANGARIUM_TEST_SCHEDULES", "800"))
SPREADS: Final = (1, SLACK // 60, SLACK // 4, 3 * SLACK)
PARTS: Final = 4  # of them, so that both cores have some
ARRIVED: Final = AttemptResult(200, None, None, None, 1)
REFUSED: Final = AttemptResult(0, KINDS["connect_refused"], None, None, 1)
V = TypeVar("V")


@dataclass(slots=True)
class Row:
    """A delivery in the model of the table."""

    id: UUID
    seq: int
    due_at: float | None
    state: State = State.PENDING
    failures: int = 0
    manual_at: datetime | None = None
    resume_at: float | None = None
    place_at: float = 0.0  # from then on it has its place in the order of acceptance
    scheduled: bool = False  # it was accepted for later, and not tried on its schedule yet
    pending: bool = False  # never attempted, and read from behind the lane's position
    place: int | None = None  # in the order of acceptance; FIRST: before all others
    committed: float = 0.0  # when, by the count of events
    told: float = float("inf")  # when the lane heard of it, by the same count

    def holds_back(self, now: float) -> bool:
        """Whether what was accepted after it has to wait for it."""
        return not self.scheduled or (self.place_at <= now and self.manual_at is None)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What happens to a lane; fractions are chances."""

    messages: int
    trouble: float = 0.0  # of an attempt
    table_trouble: float = 0.0
    resends: int = 0
    looks: bool = True  # at the table; without them no hint is lost
    later: float = 0.0  # of a message to be scheduled
    unplaced: float = 0.0
    switches: int = 0  # between free and first-in-first-out
    spread: int = 1  # places from one message to the next: those between are of other endpoints


class Simulation:
    """The dispatcher around one lane, in virtual time."""

    def __init__(self, seed: int, limits: Limits, conditions: Conditions) -> None:
        self.random = random.Random(seed)
        self.conditions = conditions
        messages, switches = conditions.messages, conditions.switches
        self.near = messages * conditions.spread <= SLACK  # no commit is later than the slack allows for
        self.ordered = not switches  # there is one order from the beginning to the end
        self.fifo = limits.fifo  # of the endpoint, of which the lane may not know yet
        self.limits = limits
        self.now = 1000.0
        self.lane = Lane(limits, owned_since=0.0)
        self.rows: dict[UUID, Row] = {}
        self.schedule = Schedule((1.0, 5.0, 60.0), 0.1)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.ticket = count()
        self.flying: set[UUID] = set()
        self.sent: deque[float] = deque()
        self.sent_at_once = 0
        self.open: dict[UUID, Row] = {}  # of an endpoint with an order: those that have not ended
        self.owed: Row | None = None  # one that is, found last
        self.attempts: dict[UUID, int] = {}
        self.waiting_until = float("inf")
        at = self.now
        for seq in range(messages):
            at += self.pick([0.0, 0.0, 0.001, 0.1, 2.0])
            self.at(at, self.accept(seq))
        for number in range(conditions.resends):
            self.at(at + self.random.random() * 3.0, self.resend(number))
        for _ in range(switches):
            self.at(self.now + self.random.random() * (at - self.now + 5.0), self.switch)
        if conditions.looks:
            self.at(self.now + LOOK_EVERY, self.look)

    def pick(self, choices: Sequence[V]) -> V:
        """random.choice, at a third of the cost."""
        return choices[int(self.random.random() * len(choices))]

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self.ticket), what))

    def accept(self, seq: int) -> Callable[[], None]:
        def accepted() -> None:
            scheduled = self.random.random() < self.conditions.later
            due_at = self.now + self.pick([0.001, 0.5, 10.0, 300.0]) if scheduled else self.now
            placed = self.fifo and self.random.random() >= self.conditions.unplaced
            row = Row(
                UUID(int=seq + 1), seq, due_at, place_at=due_at, scheduled=scheduled, pending=not scheduled,
                place=(seq + 1) * self.conditions.spread if placed else None,
            )  # fmt: skip
            # commits are not in order of acceptance
            self.at(self.now + self.pick([0.0, 0.0, 0.01, 0.5, 5.0]), lambda: self.commit(row))

        return accepted

    def commit(self, row: Row) -> None:
        row.committed = next(self.ticket)
        self.rows[row.id] = self.open[row.id] = row
        due_at, place = row.due_at or self.now, row.place
        if self.conditions.looks and self.random.random() < 0.2:
            return  # the hint was lost
        if self.limits.fifo or place is not None or self.random.random() < 0.3:
            # it may come after a load has brought the row
            when = self.now + self.pick([0.0, 0.0, 0.001, 0.4])
            self.at(when, lambda: self.told(row.id, due_at, place))
        else:
            self.lane.arrive(self.queued(row), self.now)

    def told(self, message_id: UUID, due_at: float, place: int | None) -> None:
        """The lane hears of a message, as from the dispatcher."""
        self.rows[message_id].told = next(self.ticket)
        if place is None and self.limits.fifo:
            self.give_places()
        self.lane.hint(due_at, since=self.lane.place(message_id, place or FIRST))

    def give_places(self, *, anew: bool = False) -> None:
        """What store/place.py does."""
        if not self.fifo:
            return
        placed = [row for row in self.rows.values() if row.place is None or (anew and row.place)]
        for row in placed:
            row.place, row.committed, row.told = FIRST, 0.0, 0.0
        if placed and not anew:
            self.lane.reorder()

    def switch(self) -> None:
        """The endpoint becomes first-in-first-out, or free. The lane hears of it a little later."""
        self.fifo = not self.fifo
        if self.fifo:
            self.give_places(anew=True)
        self.at(self.now + self.pick([0.0, 0.01, 0.5, 3.0]), self.reconfigure)

    def reconfigure(self) -> None:
        becomes_fifo = self.fifo and not self.limits.fifo
        self.limits = replace(self.limits, fifo=self.fifo)
        self.lane.reconfigure(self.limits, self.now)
        self.lane.hint(self.now)
        if becomes_fifo:
            self.give_places()

    def resend(self, number: int) -> Callable[[], None]:
        """A manual attempt is requested, as store/requeue.py does it."""

        def asked() -> None:
            if not self.rows:
                return
            row = self.pick(list(self.rows.values()))
            if row.state is State.PENDING and row.manual_at is None:
                row.resume_at = row.due_at
            row.manual_at = datetime.fromtimestamp(number, UTC)
            row.due_at = self.now
            row.pending = False
            if not self.conditions.looks or self.random.random() < 0.8:
                at = self.now
                self.at(at + self.pick([0.0, 0.001]), lambda: self.lane.hint(at))

        return asked

    def queued(self, row: Row) -> QueuedDelivery:
        assert row.due_at is not None
        return QueuedDelivery(
            row.id, row.due_at, row.state, row.failures, row.manual_at, b"x" * 10, pending=row.pending,
            seq=row.place or FIRST,
        )  # fmt: skip

    def look(self) -> None:
        due = [row.due_at for row in self.rows.values() if row.due_at is not None]
        if due:
            if self.limits.fifo:
                self.give_places()
            first = min((row.id for row in self.rows.values() if row.pending), default=None)
            self.lane.hint(min(due), since=LAST if first is None else self.lane.place(first, FIRST))
        self.at(self.now + LOOK_EVERY, self.look)

    def run(self) -> None:
        while self.now < END and (self.unfinished() or self.events):
            self.take_turns()
            if not self.unfinished() and len(self.rows) and self.no_more_arrivals():
                break
            assert self.events, "the lane sleeps without end"
            self.now, _, what = heapq.heappop(self.events)
            what()
        assert not self.unfinished(), "something was lost or starved"

    def no_more_arrivals(self) -> bool:
        return all(what in (self.look, self.wake) for _, _, what in self.events)

    def unfinished(self) -> bool:
        if self.owed is None or self.owed.due_at is None:
            self.owed = next((row for row in self.rows.values() if row.due_at is not None), None)
        return self.owed is not None

    def wake(self) -> None:
        self.waiting_until = float("inf")

    def take_turns(self) -> None:
        while True:
            match self.lane.turn(self.now):
                case Send(queued):
                    self.send(queued)
                case Load(asked, after):
                    self.load(asked, after)
                case Wait(until):
                    assert until > self.now
                    if until < self.waiting_until:
                        self.waiting_until = until
                        self.at(until, self.wake)
                    return
                case None:
                    lane = self.lane
                    busy = lane._in_flight or lane._blocked or lane.loading
                    assert busy or not lane.waiting, "the lane sleeps with deliveries in memory"
                    return

    def send(self, queued: QueuedDelivery) -> None:
        row = self.rows[queued.message_id]
        assert queued.message_id not in self.flying, "in flight twice"
        assert row.due_at is not None, "sent although it is not due"
        assert row.due_at <= self.now, "sent before it was due"
        assert queued.failures == row.failures, "sent from an outdated load"
        self.flying.add(queued.message_id)
        assert len(self.flying) <= self.limits.in_flight
        if self.limits.rate:
            self.sent.append(self.now)
            while self.sent[0] + 1.0 <= self.now:
                self.sent.popleft()
            assert len(self.sent) <= self.limits.rate, "rate limit exceeded"
        if self.limits.fifo and self.ordered:
            self.check_order(row)
        self.attempts[row.id] = self.attempts.get(row.id, 0) + 1
        self.at(self.now + self.pick([0.001, 0.01, 0.3, 15.0]), lambda: self.answer(queued))

    def check_order(self, row: Row) -> None:
        """What was committed later may be too late to be sent before it. So may be what was committed much
        later than it was accepted, if the lane heard of it later."""
        assert row.place is not None
        place, seq, committed = row.place, row.seq, row.committed
        for one in self.open.values():
            there = (one.committed if self.near else one.told) <= committed
            if there and one.place is not None and one is not row:
                before = one.place < place or (one.place == place and one.seq < seq)
                assert not (before and one.holds_back(self.now)), "overtaken"

    def answer(self, queued: QueuedDelivery) -> None:
        self.flying.discard(queued.message_id)
        failed = self.random.random() < self.conditions.trouble
        overload = failed and self.random.random() < 0.7
        pause = self.pick([None, 0.5, 3.0]) if overload else None
        if failed and self.random.random() < 0.05:
            self.lane.returned(queued, self.now, last=self.random.random() < 0.5)
            return
        result = REFUSED if failed else ARRIVED
        following = advance(
            result, state=queued.state, manual=queued.manual_at is not None, failures=queued.failures,
            on_gone=True, schedule=self.schedule, now=self.now, chance=self.random.random(),
        )  # fmt: skip
        self.lane.answered(
            queued.message_id, delivered=not failed, overload=overload, pause=pause, now=self.now
        )
        if following.move not in (Move.RETRY, Move.KEEP):
            self.open.pop(queued.message_id, None)
        delay = self.pick([0.0, 0.002, 1.0 if self.random.random() < self.conditions.table_trouble else 0.0])
        self.at(self.now + delay, lambda: self.complete(queued, following.move, following.due))

    def complete(self, queued: QueuedDelivery, move: Move, due: float | None) -> None:
        """What store/queries/complete.sql does."""
        row = self.rows[queued.message_id]
        row.pending = False
        newer = row.manual_at if row.manual_at != queued.manual_at else None
        pending = row.state is State.PENDING
        match move:
            case Move.DELIVER:
                row.state, row.due_at, row.resume_at = State.DELIVERED, row.due_at if newer else None, None
            case Move.KEEP if newer is None:
                row.due_at, row.resume_at = row.resume_at if pending else None, None
            case Move.RETRY if pending:
                row.failures += 1
                row.scheduled = False
                row.due_at, row.resume_at = (row.due_at, due) if newer else (due, None)
            case Move.EXHAUST if pending:
                row.failures += 1
                row.state = State.EXHAUSTED
                row.due_at, row.resume_at = row.due_at if newer else None, None
        row.manual_at = newer
        # the commit and the news of it are apart: a load may read in between
        owed = row.due_at
        self.at(self.now + self.pick([0.0, 0.001]), lambda: self.lane.completed(queued.message_id, owed))

    def load(self, asked: int, after: int) -> None:
        """The request waits for others, is answered, and the response takes some time."""
        delay = self.pick([0.0, 0.003, 0.5])
        fifo = self.limits.fifo
        if self.random.random() < self.conditions.table_trouble:
            self.at(self.now + delay, self.lane.load_failed)
        elif self.random.random() < 0.5:
            self.read(asked, after, delay, fifo=fifo)
        else:
            when = self.now + self.pick([0.0, 0.003, 0.5])
            self.at(when, lambda: self.read(asked, after, delay, fifo=fifo))

    def read(self, asked: int, after: int, delay: float, *, fifo: bool) -> None:
        """What store/queries/load.sql does."""
        owed = sorted(
            (row for row in self.rows.values() if row.due_at is not None),
            key=lambda row: (row.place or FIRST, row.seq) if fifo else (row.due_at or 0.0, FIRST),
        )
        if fifo:
            owed = [row for row in owed if row.place is not None]
            later = min((row.due_at or 0.0 for row in owed if self.to_come(row)), default=None)
            due = (row for row in owed if not row.pending or (row.place or FIRST) > after)
            rows = [row for row in due if not self.to_come(row)][:asked]
        else:
            rows = self.first(asked, after)
            later = next((row.due_at for row in owed if (row.due_at or 0.0) > self.now), None)
        snapshot = [self.queued(row) for row in rows]
        self.at(self.now + delay, lambda: self.lane.loaded(snapshot, later, asked))

    def first(self, asked: int, after: int) -> list[Row]:
        """What is due: manual attempts first, and pending rows without a gap from `after` on."""
        due = [row for row in self.rows.values() if row.due_at is not None and row.due_at <= self.now]
        place = {row.id: row.due_at or 0.0 for row in due if not row.pending}
        last = 0.0
        for row in sorted((row for row in due if row.pending and row.id.int > after), key=lambda row: row.id):
            place[row.id] = last = max(last, row.due_at or 0.0)
        due = [row for row in due if row.id in place]
        return sorted(due, key=lambda row: (row.manual_at is None, place[row.id], row.id))[:asked]

    def to_come(self, row: Row) -> bool:
        return row.scheduled and (row.due_at or 0.0) > self.now


def simulate(seed: int, limits: Limits, conditions: Conditions) -> None:
    """One run."""
    simulation = Simulation(seed, limits, conditions)
    simulation.run()
    assert len(simulation.rows) == conditions.messages
    assert all(row.state is not State.PENDING for row in simulation.rows.values())
    assert all(row.manual_at is None for row in simulation.rows.values())
    if conditions.trouble == 0.0 and not conditions.resends:
        assert set(simulation.attempts.values()) == {1}


@pytest.mark.parametrize("part", range(PARTS))
def test_in_random_schedules_nothing_is_lost_overtaken_or_starved(part: int) -> None:
    for number in range(part, SCHEDULES, PARTS):
        draw = random.Random(number)
        limits = Limits(
            in_flight=draw.randint(1, 8),
            window=draw.randint(1, 12),
            rate=draw.choice([None, draw.randint(1, 20)]),
            fifo=draw.random() < 0.5,
        )
        conditions = Conditions(
            messages=min(draw.randint(1, 60), draw.randint(1, 60)),
            trouble=draw.choice([0.0, 0.1, 0.5, 0.95]),
            table_trouble=draw.choice([0.0, 0.3]),
            resends=draw.choice([0, 0, 3, 20]),
            looks=draw.random() < 0.5,
            later=draw.choice([0.0, 0.1, 0.5]),
            unplaced=draw.choice([0.0, 0.0, 0.2]),
            switches=draw.choice([0, 0, 1, 4]),
            spread=draw.choice(SPREADS),
        )
        try:
            simulate(number, limits, conditions)
        except AssertionError as error:
            error.add_note(f"schedule {number}, {limits}, {conditions}")
            raise


@given(
    seed=st.integers(0, 2**32),
    limits=st.builds(
        Limits,
        in_flight=st.integers(1, 8),
        window=st.integers(1, 12),
        rate=st.none() | st.integers(1, 20),
        fifo=st.booleans(),
    ),
    conditions=st.builds(
        Conditions,
        messages=st.integers(1, 60),
        trouble=st.sampled_from([0.0, 0.1, 0.5, 0.95]),
        table_trouble=st.sampled_from([0.0, 0.3]),
        resends=st.sampled_from([0, 0, 3, 20]),
        looks=st.booleans(),
        later=st.sampled_from([0.0, 0.1, 0.5]),
        unplaced=st.sampled_from([0.0, 0.2]),
        switches=st.sampled_from([0, 0, 1, 4]),
        spread=st.sampled_from(SPREADS),
    ),
)
@settings(max_examples=200)
def test_nothing_is_lost_overtaken_or_starved(seed: int, limits: Limits, conditions: Conditions) -> None:
    simulate(seed, limits, conditions)


def test_memory_stays_within_the_window() -> None:
    lane = Lane(Limits(in_flight=1, window=5), owned_since=0.0)
    taken = [
        lane.arrive(QueuedDelivery(UUID(int=n + 1), 0.0, State.PENDING, 0, None, b"payload"), 1.0)
        for n in range(1000)
    ]
    assert taken.count(True) == 5
    assert lane.size == 5 * (FRAME + len(b"payload"))


def test_a_dead_endpoint_gets_few_starts_a_second() -> None:
    """A thousand deliveries that fail at once are tried at an even rate, not all at once."""
    now, sent = 0.0, 0
    lane = Lane(Limits(in_flight=64, window=2000), owned_since=0.0)
    owed = [QueuedDelivery(UUID(int=n + 1), 0.0, State.PENDING, 0, None, b"") for n in range(1000)]
    for queued in owed:
        lane.arrive(queued, now)
    while now < 2.0:
        match lane.turn(now):
            case Send(queued):
                sent += 1
                owed.remove(queued)
                lane.answered(queued.message_id, delivered=False, overload=True, pause=None, now=now)
                lane.completed(queued.message_id, None)
            case Load(count):
                lane.loaded(owed[:count], None, count)
            case Wait(until):
                now = until
            case None:
                raise AssertionError("the lane sleeps with deliveries in memory")
    assert 2 * FAILING_STARTS <= sent <= 2 * FAILING_STARTS + THRESHOLD + 2


@pytest.mark.parametrize("pause", [3.0, 120.0])
def test_a_requested_pause_is_respected(pause: float) -> None:
    lane = Lane(Limits(in_flight=4, window=10), owned_since=0.0)
    for n in range(3):
        lane.arrive(QueuedDelivery(UUID(int=n + 1), 0.0, State.PENDING, 0, None, b""), 0.0)
    first = lane.turn(0.0)
    assert isinstance(first, Send)
    lane.answered(first.queued.message_id, delivered=False, overload=True, pause=pause, now=0.0)
    assert lane.turn(0.0) == Wait(pause)
    assert isinstance(lane.turn(pause), Send)
