"""A product: a profile made ready for use, its texts parsed and its recipe worked out."""

from __future__ import annotations

from dataclasses import dataclass

from angarium.core.lifecycle import Move
from angarium.core.nouns import DisabledReason
from angarium.core.outcome import Verdict
from angarium.core.profile import Profile
from angarium.core.recipe import Recipe
from angarium.core.schedule import Schedule

STANDARD = "standard"


@dataclass(frozen=True, slots=True)
class DisableRule:
    """When an endpoint is disabled by itself."""

    consecutive: int | None  # failed attempts in a row
    failing_for: float | None  # seconds of nothing but failures
    on_gone: bool
    warnings: dict[int, float]  # failures in a row -> the fraction of `consecutive` that they are

    def reason(
        self, *, verdict: Verdict, move: Move, failures: int, failing_since: float | None, now: float
    ) -> DisabledReason | None:
        """Why the endpoint gets nothing more after an attempt that ended `now`, or None.

        `failures` in a row, this one included; days of failures count when a delivery is given up.
        """
        if verdict is Verdict.DELIVERED:
            return None
        if verdict is Verdict.GONE and self.on_gone:
            return DisabledReason.GONE
        if self.consecutive is not None and failures >= self.consecutive:
            return DisabledReason.FAILING
        if self.failing_for is not None and move is Move.EXHAUST:
            since = now if failing_since is None else failing_since
            return DisabledReason.FAILING if now - since >= self.failing_for else None
        return None


@dataclass(frozen=True, slots=True)
class Product:
    """What sending for a product needs to know."""

    profile: Profile
    recipe: Recipe
    schedule: Schedule
    timeout: float  # seconds for one attempt, all in all
    max_body: int  # bytes
    disable: DisableRule

    @property
    def name(self) -> str:
        return self.profile.name


def product_of(profile: Profile, user_agent: str) -> Product:
    """The product that a checked profile describes; `user_agent` where it names none."""
    rules = profile.disable
    return Product(
        profile=profile,
        recipe=Recipe(profile, user_agent),
        schedule=profile.delivery.schedule(),
        timeout=profile.delivery.timeout_seconds,
        max_body=profile.delivery.max_body,
        disable=DisableRule(
            rules.consecutive_attempts, rules.failing_seconds, rules.on_gone, rules.warnings()
        ),
    )
