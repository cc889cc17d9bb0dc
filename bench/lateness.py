"""Simulates how late the attempts to a dead endpoint start, by messages an hour, in virtual time.

    python -m bench.lateness --hours 56

There is one endpoint on the default schedule that is always dead: it refuses at once, or hangs for the whole
timeout. Attempts are counted in the second half, when messages of all ages have retries. This simulates only
the rules of the lane, with 10 ms for each read and write. It does not include a machine that is too slow.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.table import Table, number
from tests.kit.lateness import HOUR, DeadEndpoint

HANGS: Final = 15.0  # seconds, the default timeout
REFUSES: Final = 0.05
CASES: Final = (
    *(("hangs", HANGS, rate) for rate in (10, 50, 100, 200, 400, 800)),
    *(("refuses", REFUSES, rate) for rate in (100, 1_000, 10_000, 20_000)),
)


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of one endpoint; seconds."""

    how: str
    messages: int  # an hour
    attempts: int
    p50: float
    p99: float
    most: float
    in_flight: int
    overdue: int  # in the end


def of(how: str, took: float, messages: int, hours: float) -> Lateness:
    dead = DeadEndpoint(took, counted_from=hours / 2 * HOUR)
    dead.accept_at_random(messages, hours)
    dead.run(hours)
    return Lateness(
        how, messages, len(dead.late), dead.late_by(0.5), dead.late_by(0.99), dead.late_by(1.0),
        dead.most_in_flight, max(0, dead.overdue),
    )  # fmt: skip


def table(found: Sequence[Lateness]) -> Table:
    made = Table(
        "Lateness of the attempts to a dead endpoint, by messages an hour",
        (
            "the endpoint",
            "messages/h",
            "attempts",
            "p50 s",
            "p99 s",
            "max s",
            "in flight",
            "overdue at the end",
        ),
        note="Start of an attempt after its due time, in virtual time, default schedule of eight attempts.",
    )
    for one in found:
        made.add(
            one.how, number(one.messages), number(one.attempts),
            *(f"{seconds:.2f}" for seconds in (one.p50, one.p99, one.most)),
            str(one.in_flight), number(one.overdue),
        )  # fmt: skip
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=56.0, help="of virtual time")
    parser.add_argument("--most", type=int, default=10_000, help="messages an hour")
    options = parser.parse_args()
    table([of(*case, options.hours) for case in CASES if case[2] <= options.most]).show()


if __name__ == "__main__":
    main()
