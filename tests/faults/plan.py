"""The seeded plan of a storm: which fault strikes when."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """`after`: messages accepted in the cycle before the fault strikes; `delay`: seconds after that."""

    fault: str
    after: int
    delay: float


def plan(seed: int, cycles: int, faults: Sequence[str]) -> list[Step]:
    """Rounds of all faults, each in another order, so that all strike about equally often."""
    chance = random.Random(seed)
    steps: list[Step] = []
    while len(steps) < cycles:
        order = list(faults)
        chance.shuffle(order)
        steps += [Step(name, chance.randint(20, 100), chance.uniform(0.0, 0.1)) for name in order]
    return steps[:cycles]
