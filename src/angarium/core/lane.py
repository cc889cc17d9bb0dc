"""Schedules the deliveries of one endpoint, in order and within its limits. A pure state machine.

Inputs are arrivals, loads, answers and completions. `turn` returns what to do next: send one, load some, wait
until a time, or nothing. The lane holds at most `window` deliveries (core/lane_queue.py). The rest stays in
the database (core/backlog.py).

Invariants:
- a delivery is never held twice: it is not sent while an attempt of it is in flight or not yet completed;
- there are never more attempts in flight than the allowance (core/allowance.py), and never more sends a
  second than the rate limit;
- due deliveries start in order of due time, tests and manual attempts first;
- first-in-first-out lanes have one attempt in flight, and nothing overtakes a failed head, not even a manual
  attempt; a delivery scheduled for later blocks nothing and takes its position in the order of acceptance
  when due;
- a lane whose endpoint is failing holds few deliveries, and one that cannot send loads no more;
- a due delivery in the database is always loaded eventually: no wake-up is lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec

from angarium.core.allowance import Allowance
from angarium.core.backlog import Backlog
from angarium.core.hold import Held, Hold
from angarium.core.lane_queue import NEVER, LaneQueue, QueuedDelivery
from angarium.core.rate import RateWindow
from angarium.core.read_position import FIRST, LAST, START

FAILING_WINDOW: Final = 32  # deliveries held for a failing endpoint
PEEK: Final = 16  # rows to load when only a manual attempt could be sent


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of an endpoint: requests in flight, deliveries held, deliveries a second, strict order."""

    in_flight: int
    window: int
    rate: int | None = None
    fifo: bool = False


class Send(msgspec.Struct, frozen=True, gc=False):
    queued: QueuedDelivery


class Load(msgspec.Struct, frozen=True, gc=False):
    count: int  # rows to load, including some that are already held
    after: int = START  # load never-attempted deliveries only after this position


class Wait(msgspec.Struct, frozen=True, gc=False):
    until: float


Turn = Send | Load | Wait | None


class Lane:
    """See the module's docstring. Times are epoch seconds and come in as arguments."""

    __slots__ = (
        "_allowance",
        "_backlog",
        "_blocked",
        "_held",
        "_hold",
        "_in_flight",
        "_limits",
        "_proven",
        "_queue",
        "_rate",
    )

    def __init__(self, limits: Limits, owned_since: float) -> None:
        """`owned_since`: a former owner may have used the rate limit up to that time."""
        self._limits = limits
        self._queue = LaneQueue(fifo=limits.fifo)
        self._backlog = Backlog(fifo=limits.fifo)
        self._in_flight = 0
        self._blocked: UUID | None = None  # first-in-first-out: the failed head, until it is completed
        self._hold = 0.0  # the endpoint asked for a pause until then
        self._held = Hold()
        self._proven = False
        self._allowance = Allowance(limits.in_flight)
        self._rate = RateWindow(limits.rate, full_since=owned_since) if limits.rate else None

    # input

    def clock_set(self, by: float) -> None:
        """The clock was set by `by` seconds: pauses and the rate limit keep their lengths, and due times are
        read again from the database."""
        self._hold += by
        self._held.clock_set(by)
        self._allowance.clock_set(by)
        if self._rate is not None:
            self._rate.clock_set(by)
        self._queue.shift(by)
        self._backlog.clock_set()
        if self._limits.fifo:
            self._restart()  # another message may be first now

    def reconfigure(self, limits: Limits, now: float) -> None:
        """The endpoint's limits changed."""
        if limits.fifo or self._limits.fifo:
            # positions may have changed, even if the lane was not first-in-first-out only briefly
            self.reorder()
            self._queue.fifo = self._backlog.fifo = limits.fifo
        if limits.rate is None:
            self._rate = None
        elif self._rate is None:
            self._rate = RateWindow(limits.rate, full_since=now)
        elif limits.rate != self._limits.rate:
            self._rate = self._rate.resized(limits.rate)
        self._allowance.limited(limits.in_flight)
        self._limits = limits

    def reorder(self) -> None:
        """Deliveries got positions in the order of acceptance in the database."""
        self._restart()
        self._backlog.back_to(FIRST)

    def place(self, message_id: UUID, seq: int) -> int:
        """The position of a message in the order in which the lane reads. `seq`: its position in the order of
        acceptance, FIRST if it has none, LAST for no message."""
        return seq if self._limits.fifo else message_id.int

    def arrive(self, queued: QueuedDelivery, now: float) -> bool:
        """A delivery was just accepted. Returns whether it is held now; otherwise it is loaded later. One
        that a load may already have returned is left to the database, which knows whether it is done."""
        place = self._place(queued)
        if queued.due_at > now:
            self.hint(queued.due_at, since=place)
            return False
        if self._backlog.passed(place) or self._limits.fifo or not (self._fits(now) or queued.test):
            self.hint(now, since=place)
            return False
        if queued.message_id in self._queue:
            return False
        self._take(queued)
        return True

    def hint(self, due_at: float, *, manual: bool = False, since: int = LAST) -> None:
        """The database has a delivery due at that time. `manual`: it may be a manual attempt or a test.
        `since`: the position of the first message that may have been accepted and is not held."""
        self._backlog.hint(due_at, manual=manual, since=since)

    def loaded(self, rows: Iterable[QueuedDelivery], next_due: float | None, asked: int) -> None:
        """A load returned: its rows in the lane's order, and when the next delivery after them is due."""
        backlog = self._backlog
        count = 0
        again = backlog.returned()
        last = self._queue.last_due_at
        disorder = False
        for queued in rows:
            count += 1
            known = True
            if backlog.landed(queued.message_id):
                again = True
            elif queued.message_id in self._queue:
                if self._queue.seen(queued):
                    self._shed()
            elif not backlog.void and (
                self._queue.waiting < self._window or (queued.comes_first and not self._limits.fifo)
            ):
                disorder = disorder or queued.due_at < last
                self._take(queued)
            else:
                again, known = True, False
            if queued.pending:
                backlog.read(self._place(queued), known=known)
        if disorder and not self._limits.fifo:
            self._queue.sort()
        backlog.loaded(next_due, more=again or count >= asked)

    def load_failed(self) -> None:
        """The load failed. Load again."""
        self._backlog.failed()

    def renew(self) -> None:
        """Reset what earlier attempts said about the endpoint."""
        self._hold = 0.0
        self._proven = False
        self._allowance = Allowance(self._limits.in_flight)

    def fail(self) -> None:
        """The endpoint is known to be failing."""
        self._allowance.fail()
        self._shed()

    def answered(
        self,
        message_id: UUID,
        *,
        delivered: bool,
        overload: bool,
        pause: float | None,
        now: float,
        took: float = 0.0,
        telling: bool = True,
    ) -> None:
        """An attempt ended after `took` seconds. Its slot is free, its delivery is held until it is
        completed. An attempt that began before `renew` is not `telling`: it says nothing about the
        endpoint as it is now."""
        self._in_flight -= 1
        self._held.answered(now)
        if not telling:
            pause = None
        elif overload:
            self._proven = False
            self._allowance.failed(took)
            self._shed()
        else:
            self._proven = True
            self._allowance.succeeded()
        if pause is not None:
            self._hold = max(self._hold, now + pause)
        if not delivered and self._limits.fifo:
            self._blocked = message_id

    def completed(self, message_id: UUID, due_at: float | None) -> None:
        """An outcome was committed. `due_at`: when the delivery's next attempt is due, if any."""
        self._backlog.completed(message_id)
        if self._queue.asked_again(message_id):
            self._backlog.behind = True
        self._queue.let_go(message_id)
        if self._blocked == message_id:
            self._blocked = None
            self._restart()
        if due_at is not None:
            self.hint(due_at)

    def forget(self, message_id: UUID) -> bool:
        """The delivery was canceled in the database. It is not sent, unless it is in flight. Returns whether
        it waited here."""
        self._backlog.completed(message_id)  # the snapshot of the current load may have it
        return self._queue.drop(message_id)

    def returned(self, queued: QueuedDelivery, now: float, *, last: bool = False) -> None:
        """An attempt failed on our side, without a result: the delivery waits again, as the first or the
        last. It says nothing about the endpoint."""
        self._in_flight -= 1
        if self._limits.fifo or self._queue.asked_again(queued.message_id):
            self._queue.let_go(queued.message_id)
            self._restart(queued)  # the database knows its position, and the newer request
            return
        if last or queued.due_at > now:  # the clock was set back meanwhile
            queued = msgspec.structs.replace(queued, due_at=now)
        self._queue.put_back(queued, last=last)
        self._shed()

    # output

    def turn(self, now: float, window: int | None = None, *, held_back: bool = False) -> Turn:
        """What to do next. The lane counts Send and Load as done from here on.

        `window` may be narrower than the limit while memory is short. `held_back`: nothing may be sent,
        because the process is at its limit.
        """
        backlog = self._backlog
        if self._limits.fifo and backlog.next_due <= now:
            backlog.next_due = NEVER
            self._restart()  # its position may be before those that wait
        free_at = NEVER if held_back else self.free_at()
        if free_at <= now:
            queued = self._queue.send()
            self._in_flight += 1
            self._allowance.started(now)
            if self._rate is not None:
                self._rate.note(now)
            self._held.sent()
            return Send(queued)
        self._note_hold(now)
        wanted = backlog.due(now)
        peek_at = NEVER
        if wanted and not backlog.loading and self._blocked is None:
            window = self._window if window is None else min(window, self._window)
            if self._queue.waiting <= window // 4:
                return self._load(now, window - self._queue.waiting)
            if backlog.peek_at <= now:
                return self._load(now, PEEK, peek=True)
            peek_at = backlog.peek_at
        # deliveries already due are loaded when there is room: they must not hide the time of the next send
        hidden = (wanted or backlog.loading) and not self._limits.fifo
        until = min(free_at, peek_at) if hidden else min(free_at, backlog.next_due)
        return Wait(until) if now < until < NEVER else None

    def free_at(self) -> float:
        """When the next waiting delivery may be sent; NEVER: not before an answer or a completion."""
        queued = self._queue.next
        if queued is None:
            return NEVER
        allowance = 1 if self._limits.fifo else self._allowance.in_flight(manual=self._queue.urgent)
        if self._blocked is not None or self._in_flight >= allowance:
            return NEVER
        free_at = max(self._hold, self._allowance.free_at(), queued.due_at)
        if self._rate is not None:
            free_at = max(free_at, self._rate.free_at())
        return free_at

    def lateness(self, due_at: float, now: float) -> tuple[Held, float]:
        """By how many seconds an attempt that starts `now` is late, and what held the lane before."""
        return self._held.lateness(due_at, now)

    @property
    def wants(self) -> bool:
        """Whether a turn could return anything but None: something is waiting, behind or due."""
        return self._backlog.behind or self._backlog.next_due < NEVER or self._queue.waiting > 0

    @property
    def waiting(self) -> int:
        """Number of deliveries waiting in memory."""
        return self._queue.waiting

    @property
    def size(self) -> int:
        """Bytes of memory of the waiting deliveries."""
        return self._queue.size

    @property
    def in_flight(self) -> int:
        """Number of requests in flight."""
        return self._in_flight

    @property
    def failing(self) -> bool:
        """Whether the endpoint is failing."""
        return self._allowance.failing

    @property
    def proven(self) -> bool:
        """Whether the endpoint answered the last attempt."""
        return self._proven

    @property
    def urgent(self) -> bool:
        """Whether the next to be sent is a test or a manual attempt."""
        return self._queue.urgent

    @property
    def loading(self) -> bool:
        """Whether a load is in progress."""
        return self._backlog.loading

    @property
    def quiet(self) -> bool:
        """Whether no delivery is held and no load is in progress."""
        return not self._queue and not self.loading

    def idle(self, now: float, horizon: float) -> bool:
        """Whether, as far as the lane knows, nothing is due within `horizon` seconds, and none of its state
        still matters."""
        return (
            self.quiet
            and not self._backlog.due(now + horizon)
            and self._hold <= now
            and (self._rate is None or self._rate.free_at() <= now)
        )

    def _note_hold(self, now: float) -> None:
        """Note why the next delivery is not sent, if it is due."""
        queued = self._queue.next
        if queued is None or queued.due_at > now:
            return
        failing = self._allowance.failing
        if self._limits.fifo and (self._in_flight or self._blocked is not None):
            self._held.note(Held.ORDER, now)
        elif self._in_flight >= self._allowance.in_flight(manual=self._queue.urgent):
            self._held.note(Held.FAILING if failing else Held.CONCURRENCY, now)
        elif self._hold > now:
            self._held.note(Held.PAUSE, self._hold)
        elif self._rate is not None and self._rate.free_at() > now:
            self._held.note(Held.RATE, self._rate.free_at())
        elif failing:
            # its starts a second, or the share of all failing endpoints
            self._held.note(Held.FAILING, max(now, self._allowance.free_at()))

    @property
    def _window(self) -> int:
        """How many deliveries may wait in memory."""
        return min(FAILING_WINDOW, self._limits.window) if self.failing else self._limits.window

    def _fits(self, now: float) -> bool:
        """Whether a delivery due now may wait in memory. It must not overtake those in the database."""
        many = self._queue.waiting > self._window // 4 and self._backlog.next_due <= now
        return not self._backlog.behind and not many and self._queue.waiting < self._window

    def _load(self, now: float, room: int, *, peek: bool = False) -> Load:
        after = self._backlog.begin(now)
        return Load(room + (self._queue.manual if peek else self._queue.repeated(after)), after)

    def _take(self, queued: QueuedDelivery) -> None:
        self._queue.take(queued)
        self._shed()

    def _shed(self) -> None:
        """Drop the last deliveries if more wait than allowed. They stay in the database."""
        while self._queue.waiting > self._window:
            queued = self._queue.drop_last()
            self._backlog.behind = True
            # the snapshot of the current load may be older than its acceptance
            self.hint(queued.due_at, since=self._place(queued))

    def _restart(self, *given_back: QueuedDelivery) -> None:
        """Drop what waits, and what was sent without a result, to load it again in the right order."""
        for queued in (*self._queue.drop_waiting(), *given_back):
            if queued.pending:
                self._backlog.back_to(self._place(queued))
        self._backlog.restart()

    def _place(self, queued: QueuedDelivery) -> int:
        return self.place(queued.message_id, queued.seq)
