"""A dead endpoint in virtual time: how late its attempts start.

One lane with a model of the table around it, as in the dispatcher. Messages come at random (Poisson) or as
given, every attempt fails after the same time, and each failure follows the schedule. Nothing waits for a
processor here: what is late is late because of the lane's limits.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from math import ceil
from typing import Final
from uuid import UUID

from angarium.core.failure import KINDS
from angarium.core.lane import Lane, Limits, Load, Send, Wait
from angarium.core.lane_queue import QueuedDelivery
from angarium.core.lifecycle import Move, advance
from angarium.core.nouns import State
from angarium.core.outcome import AttemptResult
from angarium.core.schedule import Schedule, parse_schedule

DEFAULT: Final = Schedule(parse_schedule("5s,5m,30m,2h,5h,10h,10h"), 0.2)
HOUR: Final = 3600.0
DATABASE: Final = 0.01  # seconds that a load or a completion takes
ARRIVED: Final = AttemptResult(200, None, None, None, 1)
FAILED: Final = AttemptResult(0, KINDS["connect_refused"], None, None, 1)
START: Final = 1_000_000.0


@dataclass(slots=True)
class Row:
    """A delivery in the model of the table."""

    id: UUID
    due_at: float
    failures: int = 0
    manual_at: datetime | None = None
    resume_at: float | None = None


@dataclass
class DeadEndpoint:
    """The dispatcher around the lane of an endpoint whose attempts all fail after `took` seconds."""

    took: float
    schedule: Schedule = DEFAULT
    rate: int | None = None
    seed: int = 1
    flaky: float = 1.0  # the share of attempts that fail
    alive_from: float = float("inf")  # seconds after the start
    counted_from: float = 0.0  # likewise: the lateness of attempts due from then on is kept
    late: list[float] = field(default_factory=list)
    late_manual: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    most_in_flight: int = 0
    most_waiting: int = 0
    loads: int = 0

    def __post_init__(self) -> None:
        self.now = START
        self.random = random.Random(self.seed)
        self.lane = Lane(Limits(in_flight=64, window=512, rate=self.rate), owned_since=0.0)
        self.rows: dict[UUID, Row] = {}
        self._future: list[tuple[float, int, Row]] = []
        self._due: dict[UUID, Row] = {}  # in order of due time
        self._manual: dict[UUID, Row] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = count()
        self._wake_at = float("inf")
        self._in_flight = 0

    # what happens

    def accept_at(self, seconds: float) -> None:
        """A message comes so many seconds after the start."""
        self._at(START + seconds, self._accept)

    def accept_at_random(self, messages_an_hour: float, hours: float) -> None:
        at = 0.0
        while (at := at + self.random.expovariate(messages_an_hour / HOUR)) < hours * HOUR:
            self.accept_at(at)

    def resend_at(self, seconds: float, pick: Callable[[list[Row]], Row]) -> None:
        """A manual attempt of one of the queued deliveries is requested."""
        self._at(START + seconds, lambda: self._resend(pick(list(self.rows.values()))))

    def run(self, hours: float) -> DeadEndpoint:
        """Until so many hours after the start."""
        end = START + hours * HOUR
        while self._events and self._events[0][0] <= end:
            self.now, _, what = heapq.heappop(self._events)
            what()
            self._take_turns()
        return self

    # figures

    def late_by(self, share: float) -> float:
        """Seconds by which this share of the attempts started late at most."""
        ordered = sorted(self.late)
        return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0.0

    @property
    def overdue(self) -> int:
        """How many deliveries are due now and not under way."""
        return sum(row.due_at <= self.now for row in self.rows.values()) - self._in_flight

    # the dispatcher

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._ticket), what))

    def _accept(self) -> None:
        self._fall_due()
        row = Row(UUID(int=next(self._ticket) + 1), self.now)
        self.rows[row.id] = self._due[row.id] = row
        self.lane.arrive(self._held(row), self.now)

    def _resend(self, row: Row) -> None:
        self._withdraw(row)
        row.resume_at, row.due_at = row.due_at, self.now
        row.manual_at = datetime.fromtimestamp(self.now, UTC)
        self._manual[row.id] = row
        self.lane.hint(self.now, manual=True)

    def _held(self, row: Row) -> QueuedDelivery:
        return QueuedDelivery(row.id, row.due_at, State.PENDING, row.failures, row.manual_at, b"x" * 10)

    def _take_turns(self) -> None:
        while True:
            match self.lane.turn(self.now):
                case Send(queued):
                    self._send(queued)
                case Load(count=asked):
                    self._load(asked)
                case Wait(until):
                    if until < self._wake_at:
                        self._wake_at = until
                        self._at(until, self._wake)
                    return
                case None:
                    return

    def _wake(self) -> None:
        self._wake_at = float("inf")

    def _send(self, queued: QueuedDelivery) -> None:
        late = self.now - queued.due_at
        assert late >= 0, "sent before it was due"
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        self.most_waiting = max(self.most_waiting, self.lane.waiting)
        self.starts.append(self.now)
        if queued.manual_at is not None:
            self.late_manual.append(late)
        elif queued.due_at >= START + self.counted_from:
            self.late.append(late)
        self._at(self.now + self.took, lambda: self._answer(queued))

    def _answer(self, queued: QueuedDelivery) -> None:
        self._in_flight -= 1
        well = self.now >= START + self.alive_from or self.random.random() >= self.flaky
        following = advance(
            ARRIVED if well else FAILED,
            state=queued.state, manual=queued.manual_at is not None, failures=queued.failures, on_gone=True,
            schedule=self.schedule, now=self.now, chance=self.random.random(),
        )  # fmt: skip
        self.lane.answered(
            queued.message_id, delivered=well, overload=not well, pause=None, now=self.now, took=self.took
        )
        self._at(self.now + DATABASE, lambda: self._complete(queued, following.move, following.due))

    def _complete(self, queued: QueuedDelivery, move: Move, due: float | None) -> None:
        row = self.rows[queued.message_id]
        if row.manual_at == queued.manual_at:  # otherwise a newer manual attempt comes first
            self._withdraw(row)
            if move is Move.KEEP:
                due = row.resume_at
            row.manual_at = row.resume_at = None
            if due is None:
                del self.rows[row.id]
            else:
                row.due_at = due
                heapq.heappush(self._future, (due, next(self._ticket), row))
        row.failures += move is Move.RETRY
        self.lane.completed(row.id, row.due_at if row.id in self.rows else None)

    def _withdraw(self, row: Row) -> None:
        """Remove the row from the due ones; a later one stays in the heap, where it is skipped."""
        self._due.pop(row.id, None)
        self._manual.pop(row.id, None)

    def _fall_due(self) -> None:
        while self._future and self._future[0][0] <= self.now:
            due, _, row = heapq.heappop(self._future)
            if row.id in self.rows and row.due_at == due and row.manual_at is None:
                self._due[row.id] = row

    def _load(self, asked: int) -> None:
        self.loads += 1
        self._fall_due()
        rows: list[QueuedDelivery] = []
        for source in (self._manual, self._due):
            for row in source.values():
                if len(rows) >= asked:
                    break
                rows.append(self._held(row))
        later = next((due for due, _, row in self._future[:1] if row.id in self.rows), None)
        self._at(self.now + DATABASE, lambda: self.lane.loaded(rows, later, asked))
