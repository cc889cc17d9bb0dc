"""The customers of the storm: what their endpoints got, how they answer, and what of it was wrong.

Healthy endpoints get every message of their application: `/a` and `/b` respond at once (`/b` has a
name, so that DNS matters), `/flaky` fails the first attempt of every third message, `/fifo` gets its
application's messages in order. `/silent` never responds, beside one where no process listens.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.account import message_id
from tests.faults.harness import LONG
from tests.kit.receiver import Behaviour, Received, Reply, Silence

FREE = ("/a", "/b", "/flaky")
FIFO = "/fifo"
SILENT = "/silent"
HEALTHY = (*FREE, FIFO)
DELAY = 0.01 if LONG else 0.1  # seconds; with fewer messages, some are still in flight
OK = Reply(delay=DELAY)
TIMESTAMP_TOLERANCE = 60.0  # seconds; a paused process may send what it made before, a jump is an hour


@dataclass
class Tally:
    """What came in during one cycle."""

    requests: int = 0  # at healthy endpoints
    messages: set[str] = field(default_factory=set)  # that had not come before
    repeated: list[tuple[str, float, str]] = field(default_factory=list)
    """Of them, those that had been answered 2xx: the path, how many seconds before, the message."""
    altered: int = 0  # of them, with other bytes than before
    untimely: int = 0  # of them, with a timestamp that is not now


@dataclass
class Customers:
    """The answering function of one receiver for all endpoints."""

    delivered: dict[str, dict[str, float]] = field(default_factory=lambda: {path: {} for path in HEALTHY})
    """Path -> ids in the order in which they were first answered 2xx, with the time of that."""
    tally: Tally = field(default_factory=Tally)
    _bodies: dict[str, bytes] = field(default_factory=dict)
    _failed: set[str] = field(default_factory=set)

    def __call__(self, request: Received) -> Behaviour:
        if request.path == SILENT:
            return Silence()
        message = message_id(request)
        tally, delivered = self.tally, self.delivered[request.path]
        tally.requests += 1
        if message not in self._bodies:
            tally.messages.add(message)
        tally.altered += self._bodies.setdefault(message, request.body) != request.body
        stamp = float(request.header("webhook-timestamp") or 0.0)
        tally.untimely += abs(time.time() - stamp) > TIMESTAMP_TOLERANCE
        if request.path == "/flaky" and message not in self._failed and ord(message[-1]) % 3 == 0:
            self._failed.add(message)
            return Reply(500, delay=DELAY)
        if message in delivered:
            tally.repeated.append((request.path, round(request.time - delivered[message], 3), message))
        else:
            delivered[message] = request.time
        return OK

    def missing(self, accepted: set[str], paths: Sequence[str]) -> int:
        """Deliveries of these messages that no endpoint of these has got."""
        return sum(len(accepted - self.delivered[path].keys()) for path in paths)

    def overtaken(self, order: Sequence[str]) -> int:
        """Messages that `/fifo` saw before one that was accepted earlier."""
        place = {message: n for n, message in enumerate(order)}
        seen = [place[message] for message in self.delivered[FIFO] if message in place]
        return sum(later < earlier for earlier, later in itertools.pairwise(seen))
