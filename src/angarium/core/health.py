"""The health of an endpoint, and the rule that disables it. Pure; times are epoch seconds.

Only scheduled attempts count as failures. A test, a resend or a recovery never does and never disables. Any
success makes the endpoint healthy.

"All attempts have failed for a period" needs evidence, as Svix documents it (docs.svix.com/retries). A
delivery is exhausted when its last attempt has failed. The clock starts when several deliveries were
exhausted within 24 hours, with at least 12 hours between the first and the last. The endpoint is disabled
when a delivery is exhausted after the clock has run for the whole period. Silence is not failure: deliveries
exhausted more than 24 hours apart start no clock, and a clock that has run for twice the period without
disabling stops.

The 24 and 12 hours belong to periods of five days or more. A shorter period uses a fifth and a tenth of it.

Where a product documents the plain rule (`evidence` is false), the clock starts with the first failed
attempt. It starts again after a whole period without a failed attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from angarium.core.lifecycle import Effect, Move, Transition
from angarium.core.nouns import DisabledReason

SPAN: Final = 24 * 3600.0
SPREAD: Final = 12 * 3600.0


class Health(msgspec.Struct, frozen=True, gc=False):
    """The health of an endpoint, from the scheduled attempts since the last success.

    A run is a series of failures that count as evidence, without a silence that would end it.
    """

    failing_since: float | None = None  # the first failed attempt
    failures: int = 0  # failed attempts
    run_since: float | None = None
    run_until: float | None = None
    clock_since: float | None = None  # when there was enough evidence


HEALTHY: Final = Health()


@dataclass(frozen=True, slots=True)
class DisableRule:
    """When an endpoint is disabled automatically."""

    consecutive: int | None  # failed attempts in a row
    failing_for: float | None  # seconds that the clock must run
    evidence: bool  # whether the clock waits for several exhausted deliveries
    on_gone: bool
    warnings: dict[int, float]  # failures in a row -> the fraction of `consecutive` that they are

    def failed(self, health: Health, move: Move, now: float) -> Health:
        """The health after a scheduled attempt that failed at `now` and moved its delivery."""
        health = msgspec.structs.replace(
            health,
            failures=health.failures + 1,
            failing_since=now if health.failing_since is None else health.failing_since,
        )
        if self.failing_for is None:
            return health
        if not self.evidence:
            return _failed(health, self.failing_for, now)
        return _exhausted(health, self.failing_for, now) if move is Move.EXHAUST else health

    def reason(self, health: Health, transition: Transition, now: float) -> DisabledReason | None:
        """Why the endpoint is disabled after that attempt, or None. `health` includes the attempt."""
        if transition.effect is Effect.GONE and self.on_gone:
            return DisabledReason.GONE
        if self.consecutive is not None and health.failures >= self.consecutive:
            return DisabledReason.FAILING
        if self.failing_for is None or health.clock_since is None or transition.move is not Move.EXHAUST:
            return None
        return DisabledReason.FAILING if now - health.clock_since >= self.failing_for else None


def _failed(health: Health, period: float, now: float) -> Health:
    """Count a failed attempt by the plain rule."""
    since, until = health.run_since, health.run_until
    if since is None or until is None or now - until > period:
        since = now
    return msgspec.structs.replace(health, run_since=since, run_until=now, clock_since=since)


def _exhausted(health: Health, period: float, now: float) -> Health:
    """Count an exhausted delivery as evidence."""
    if health.clock_since is not None and now - health.clock_since <= 2 * period:
        return health
    span, spread = min(SPAN, period / 5), min(SPREAD, period / 10)
    since, until = health.run_since, health.run_until
    if health.clock_since is not None or since is None or until is None or now - until > span:
        since = now
    # Two of a run are `spread` to `span` apart exactly when the run lasts `spread`: if its first is
    # more than `span` ago, the one before this came less than `spread` after it, or the clock would run.
    clock_since = now if now - since >= spread else None
    return msgspec.structs.replace(health, run_since=since, run_until=now, clock_since=clock_since)
