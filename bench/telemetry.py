"""What metrics cost: the processor time to count a recorded delivery, and to write the page.

    python -m bench.telemetry

It needs neither a server nor a database. The best of several rounds counts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from angarium.core import ids
from angarium.core.event import Attempted
from angarium.core.hold import Held
from angarium.core.lifecycle import Move
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.combination import combined
from angarium.telemetry.exposition import exposition
from angarium.telemetry.measurement import Measurement

BATCHES: Final = (1, 20, 200, 1000)
DELIVERIES: Final = 20_000
ROUNDS: Final = 10


def attempted() -> Attempted:
    now = time.time()
    app_id = ids.new(now, os.urandom(8))
    return Attempted(
        *(app_id, "standard", Move.DELIVER, 200, None, False, 1, now, now, now, now + 0.02, Held.NO, 0.003)
    )


def best(work: Callable[[], object]) -> float:
    """Seconds of processor time."""
    found = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def main() -> None:
    measurement = Measurement("all")
    for size in BATCHES:
        batch = [attempted() for _ in range(size)]

        def record(batch: list[Attempted] = batch, size: int = size) -> None:
            for _ in range(DELIVERIES // size):
                measurement.events.recorded(batch, 0.01)

        print(f"batches of {size:>5}: {best(record) / DELIVERIES * 1e6:.2f} µs a delivery")
    print(f"its description: {best(lambda: [attempted() for _ in range(1000)]) * 1e3:.2f} µs, clock included")
    page = best(lambda: exposition(CATALOGUE, combined({"0": measurement.registry.snapshot()})))
    print(f"a scrape: {page * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
