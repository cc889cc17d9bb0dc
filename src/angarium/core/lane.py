"""A lane: the deliveries of one endpoint, in order, with their limits. A pure state machine.

Arrivals, loads, answers and settlements go in; `turn` says what to do next: send one, load some, wait
until a time, or rest. The lane never holds more than `window` deliveries; the rest of a backlog stays in
the database, which is the truth: what the lane knows of it is `behind` (more is due than is held) and
`next_due` (when the next becomes due; in a first-in-first-out lane, the next that was scheduled for later).

Rules it keeps, whatever comes in:
- a delivery is never in hand twice: not sent while an attempt of it is in flight or not yet settled;
- never more in flight than the allowance, which grows with success and shrinks when the endpoint is in
  trouble, and never more sends in a second than the rate limit;
- first-in-first-out lanes have one in flight, and nothing overtakes a failed head; what is scheduled for
  later holds nothing back and takes its place in the order of acceptance when it is due;
- something due in the database is always loaded eventually: no wake-up is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from angarium.core.circuit import Circuit, Phase
from angarium.core.nouns import State
from angarium.core.rate import RateWindow

NEVER: Final = float("inf")
FIRST_ALLOWANCE: Final = 4
FRAME: Final = 500  # bytes that a delivery takes in memory beside its payload


class Held(msgspec.Struct, frozen=True, gc=False):
    """A delivery in hand. `manual_at` identifies the manual request that it serves, if any."""

    message_id: UUID
    due_at: float
    state: State
    failures: int
    manual_at: datetime | None
    payload: bytes | None
    event_type: str = ""
    attempts: int = 0  # made before
    test: bool = False  # sent to try the endpoint: says nothing of its health
    content_type: str | None = None  # None: application/json


@dataclass(frozen=True, slots=True)
class Limits:
    """What an endpoint may take: requests at once, deliveries held, deliveries a second, strict order."""

    in_flight: int
    window: int
    rate: int | None = None
    fifo: bool = False


class Send(msgspec.Struct, frozen=True, gc=False):
    held: Held


class Load(msgspec.Struct, frozen=True, gc=False):
    count: int  # rows to ask for: those already in hand come back too


class Wait(msgspec.Struct, frozen=True, gc=False):
    until: float


Turn = Send | Load | Wait | None


class Lane:
    """See the module's docstring. Times are epoch seconds and come in as arguments."""

    __slots__ = (
        "_allowance",
        "_asked_again",
        "_behind",
        "_blocked",
        "_busy",
        "_circuit",
        "_discard",
        "_hinted",
        "_hold",
        "_in_flight",
        "_landed",
        "_limits",
        "_loading",
        "_next_due",
        "_rate",
        "_sure",
        "_waiting",
        "size",
    )

    def __init__(self, limits: Limits, owned_since: float) -> None:
        """`owned_since`: a former owner may have used the rate limit up to that time."""
        self.size = 0  # bytes of memory that what waits takes
        self._limits = limits
        self._waiting: deque[Held] = deque()
        # waiting, in flight, or answered and not yet settled; with the manual request that each serves
        self._busy: dict[UUID, datetime | None] = {}
        self._asked_again: set[UUID] = set()  # busy ones for which the table has a newer manual request
        self._in_flight = 0
        self._behind = False
        self._next_due = NEVER
        self._loading = False
        self._hinted = False  # news came while a load was under way
        self._discard = False  # the order changed while a load was under way: what it brings is void
        self._landed: set[UUID] = set()  # settled while a load was under way: its snapshot may be older
        self._blocked: UUID | None = None  # first-in-first-out: the failed head, until it is settled
        self._hold = 0.0  # the endpoint asked for a pause until then
        self._allowance = float(min(FIRST_ALLOWANCE, limits.in_flight))
        self._sure = float(limits.in_flight)  # up to here the allowance grows fast
        self._circuit = Circuit()
        self._rate = RateWindow(limits.rate, full_since=owned_since) if limits.rate else None

    # what goes in

    def clock_set(self, by: float) -> None:
        """The clock was set by so many seconds: pauses and the rate limit keep their lengths, and when the
        table has something due is asked again."""
        self._hold += by
        self._circuit.clock_set(by)
        if self._rate is not None:
            self._rate.clock_set(by)
        self._waiting = deque(
            msgspec.structs.replace(held, due_at=held.due_at + by) for held in self._waiting
        )
        self._next_due = NEVER
        self._behind = self._hinted = True
        if self._limits.fifo:
            self._restart()  # another message may be first now

    def reconfigure(self, limits: Limits, now: float) -> None:
        """The endpoint's limits changed."""
        if limits.fifo != self._limits.fifo:
            self._restart()
        if limits.rate is None:
            self._rate = None
        elif self._rate is None:
            self._rate = RateWindow(limits.rate, full_since=now)
        elif limits.rate != self._limits.rate:
            self._rate = self._rate.resized(limits.rate)
        self._allowance = min(self._allowance, float(limits.in_flight))
        self._sure = float(limits.in_flight)
        self._limits = limits

    def arrive(self, held: Held, now: float) -> bool:
        """A delivery was just accepted; whether it was taken in hand (otherwise the table has it)."""
        if held.due_at > now:
            self.hint(held.due_at)
            return False
        if self._limits.fifo or self._behind or len(self._waiting) >= self._limits.window:
            self.hint(now)
            return False
        if held.message_id in self._busy:
            return False
        self._take(held)
        return True

    def hint(self, due_at: float) -> None:
        """The database has something due at that time."""
        if self._limits.fifo:
            self._behind = True  # its place in the order is known to the database alone
        else:
            self._next_due = min(self._next_due, due_at)
        self._hinted = True

    def loaded(self, rows: Iterable[Held], next_due: float | None, asked: int) -> None:
        """What a load brought: the rows in the lane's order, and when the next is due beyond them."""
        self._loading = False
        count = 0
        again = self._discard or (self._hinted and self._limits.fifo)
        for held in rows:
            count += 1
            if held.message_id in self._landed:
                again = True
            elif held.message_id not in self._busy:
                if not self._discard:
                    self._take(held)
            elif held.manual_at != self._busy[held.message_id]:
                self._asked_again.add(held.message_id)
        self._behind = again or count >= asked
        if not self._hinted or self._limits.fifo:
            self._next_due = NEVER
        if next_due is not None:
            self._next_due = min(self._next_due, next_due)
        self._hinted = self._discard = False
        self._landed.clear()

    def load_failed(self) -> None:
        """The database did not answer; ask again."""
        self._loading = self._hinted = self._discard = False
        self._landed.clear()
        self._behind = True

    def renew(self) -> None:
        """The endpoint begins anew: what its attempts said so far is forgotten."""
        self._hold = 0.0
        self._allowance = float(min(FIRST_ALLOWANCE, self._limits.in_flight))
        self._sure = float(self._limits.in_flight)
        self._circuit = Circuit()

    def answered(
        self,
        message_id: UUID,
        *,
        delivered: bool,
        overload: bool,
        pause: float | None,
        now: float,
        telling: bool = True,
    ) -> None:
        """An attempt ended: its slot is free; its delivery stays in hand until it is settled. An attempt that
        began before `renew` is not `telling`: it says nothing about the endpoint as it is now."""
        self._in_flight -= 1
        if not telling:
            pause = None
        elif overload:
            self._circuit.failed(now)
            self._allowance = max(1.0, self._allowance / 2)
            self._sure = self._allowance
        else:
            self._circuit.succeeded()
            step = 1.0 if self._allowance < self._sure else 1.0 / self._allowance
            self._allowance = min(float(self._limits.in_flight), self._allowance + step)
        if pause is not None:
            self._hold = max(self._hold, now + pause)
        if not delivered and self._limits.fifo:
            self._blocked = message_id

    def settled(self, message_id: UUID, due_at: float | None) -> None:
        """An outcome is committed; `due_at`: when the delivery's next attempt is due, if it has one."""
        self._busy.pop(message_id, None)
        if self._loading:
            self._landed.add(message_id)
        if message_id in self._asked_again:
            self._asked_again.discard(message_id)
            self._behind = True
        if self._blocked == message_id:
            self._blocked = None
            self._restart()
        if due_at is not None:
            self.hint(due_at)

    def dropped(self, message_id: UUID, now: float, pause: float) -> None:
        """An attempt broke off without an outcome (our fault): the table still has the delivery."""
        self._in_flight -= 1
        self._busy.pop(message_id, None)
        self._asked_again.discard(message_id)
        self._hold = max(self._hold, now + pause)
        self._restart()

    # what comes out

    def turn(self, now: float, window: int | None = None) -> Turn:
        """What to do next. Send and Load are taken as done: the lane counts them from here on.

        `window` may be narrower than the limit while memory is short.
        """
        window = self._limits.window if window is None else min(window, self._limits.window)
        if self._limits.fifo and self._next_due <= now:
            self._next_due = NEVER
            self._restart()  # its place may be before what waits
        free_at = self._free_at(now)
        if self._waiting and free_at <= now:
            held = self._waiting.popleft()
            self.size -= _size(held)
            self._in_flight += 1
            if self._rate is not None:
                self._rate.note(now)
            return Send(held)
        wanted = self._behind or self._next_due <= now
        if (
            wanted
            and not self._loading
            and self._blocked is None
            and len(self._waiting) <= self._limits.window // 4
        ):
            self._loading = True
            self._hinted = False
            return Load(window - len(self._waiting) + len(self._busy))
        # what is due already is loaded when there is room: it must not hide the time of the next send
        hidden = (wanted or self._loading) and not self._limits.fifo
        until = free_at if hidden else min(free_at, self._next_due)
        return Wait(until) if now < until < NEVER else None

    @property
    def wants(self) -> bool:
        """Whether a turn could come to anything: with nothing waiting, behind or due it is None."""
        return bool(self._waiting) or self._behind or self._next_due < NEVER

    @property
    def loading(self) -> bool:
        """A load was asked for and has not come."""
        return self._loading

    @property
    def quiet(self) -> bool:
        """Nothing in hand, nothing under way."""
        return not self._busy and not self._loading

    def idle(self, now: float, horizon: float) -> bool:
        """Nothing is due within `horizon` seconds as far as the lane knows, and nothing else it remembers
        still matters."""
        return (
            self.quiet
            and not self._behind
            and self._next_due > now + horizon
            and self._hold <= now
            and self._circuit.phase(now) is Phase.CLOSED
            and (self._rate is None or self._rate.free_at() <= now)
        )

    def _free_at(self, now: float) -> float:
        """When the first waiting delivery may be sent; NEVER: not before an answer or a settlement."""
        if not self._waiting:
            return NEVER
        probing = self._circuit.phase(now) is not Phase.CLOSED
        allowance = 1 if self._limits.fifo or probing else int(self._allowance)
        if self._blocked is not None or self._in_flight >= allowance:
            return NEVER
        free_at = max(self._hold, self._circuit.free_at(), self._waiting[0].due_at)
        if self._rate is not None:
            free_at = max(free_at, self._rate.free_at())
        return free_at

    def _take(self, held: Held) -> None:
        self._waiting.append(held)
        self._busy[held.message_id] = held.manual_at
        self.size += _size(held)

    def _restart(self) -> None:
        """Leave what waits to the database, to be loaded again in the right order."""
        for held in self._waiting:
            self._busy.pop(held.message_id, None)
        self._waiting.clear()
        self.size = 0
        self._behind = True
        self._discard = self._loading


def _size(held: Held) -> int:
    return FRAME + len(held.payload or b"")
