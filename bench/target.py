"""Defines the targets, and checks whether a run met them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.table import Table


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that a run measures under a name, and what it has to be: at least, or at most."""

    name: str
    bound: float
    least: bool
    unit: str = ""

    def met(self, value: float) -> bool:
        return value >= self.bound if self.least else value <= self.bound


SINGLE_RATE: Final = "single sends: deliveries/s"
SINGLE_CEILING: Final = "single sends: share of the ceiling"
BATCH_RATE: Final = "batches of 100: deliveries/s"
CELERY: Final = "single sends: times the Celery variant"
P50: Final = "delay at 500/s, p50"
P99: Final = "delay at 500/s, p99"
BY_ENDPOINTS: Final = "cost with 10,000 endpoints, of the cost with one"
BY_PAST: Final = "cost after 10 M attempts, of the cost in an empty database"
STATEMENTS: Final = "single sends at full load: statements per 100 deliveries"
COMMITS: Final = "single sends at full load: commits per 100 deliveries"
ROWS: Final = "rows written per delivery"
REST: Final = "memory at rest, everything"

TARGETS: Final = (
    Target(SINGLE_RATE, 6_000, least=True),
    Target(SINGLE_CEILING, 0.6, least=True),
    Target(BATCH_RATE, 12_000, least=True),
    Target(CELERY, 10, least=True),
    Target(P50, 5, least=False, unit=" ms"),
    Target(P99, 25, least=False, unit=" ms"),
    Target(BY_ENDPOINTS, 1.15, least=False),
    Target(BY_PAST, 1.15, least=False),
    Target(STATEMENTS, 5, least=False),
    Target(COMMITS, 2, least=False),
    Target(ROWS, 4, least=False),
    Target(REST, 200, least=False, unit=" MB"),
)


def table(measured: dict[str, float], targets: Sequence[Target] = TARGETS) -> Table:
    """Every target that was measured."""
    made = Table("Targets", ("what", "target", "measured", "met"))
    for target in targets:
        if (value := measured.get(target.name)) is not None:
            # judged as it is shown, so that no table says that 4.00 is more than 4
            shown = round(value, 2)
            bound = f"{'≥' if target.least else '≤'} {target.bound:,g}{target.unit}"
            made.add(target.name, bound, f"{_text(shown)}{target.unit}", "yes" if target.met(shown) else "no")
    return made


_text: Callable[[float], str] = lambda value: f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}"  # noqa: E731
