"""When an endpoint is disabled: the rule as a table, and against its definition over random histories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.health import HEALTHY, SPAN, SPREAD, DisableRule, Health
from angarium.core.lifecycle import Effect, Move, Transition
from angarium.core.nouns import DisabledReason

HOUR, DAY = 3600.0, 86400.0
FIVE_DAYS = DisableRule(consecutive=None, failing_for=5 * DAY, evidence=True, on_gone=True, warnings={})
PLAIN = replace(FIVE_DAYS, evidence=False)
TEN = replace(FIVE_DAYS, consecutive=10, failing_for=None)
START = 1_800_000_000.0
RETRIED = Transition(Move.RETRY, Effect.FAILURE)
EXHAUSTED = Transition(Move.EXHAUST, Effect.FAILURE)


def lost(rule: DisableRule, hours: Sequence[float]) -> int | None:
    """Deliveries are given up at these hours; the place of the one that disables the endpoint."""
    health = HEALTHY
    for place, hour in enumerate(hours):
        health = rule.failed(health, Move.EXHAUST, START + hour * HOUR)
        if rule.reason(health, EXHAUSTED, START + hour * HOUR) is not None:
            return place
    return None


@pytest.mark.parametrize(
    ("hours", "disabled_by"),
    [
        pytest.param([0], None, id="one"),
        pytest.param([0, 6 * 24], None, id="two with six days of silence between"),
        pytest.param([0, 21 * 24], None, id="two with three weeks between"),
        pytest.param([0, 1, 2, 11.9, 132], None, id="many within less than twelve hours"),
        pytest.param([0, 12, 131.9], None, id="the clock starts with the evidence, not with the first"),
        pytest.param([0, 12, 132], 2, id="five days after the evidence"),
        pytest.param([0, 12, 72, 131, 133], 4, id="failures all along"),
        pytest.param([0, 24, 144], 2, id="24 hours apart are still together"),
        pytest.param([0, 24.1, 144.2], None, id="more than 24 hours apart are not"),
        pytest.param([0, 11, 25, 145], 3, id="the second and the third are 14 hours apart"),
        pytest.param([24 * day for day in range(7)], 6, id="one a day"),
        pytest.param([25 * day for day in range(60)], None, id="never two within a day"),
        pytest.param([0, 12, 252], 2, id="twice the period after the evidence"),
        pytest.param([0, 12, 252.1], None, id="after twice the period the clock is forgotten"),
        pytest.param([0, 12, 253, 265, 384.9], None, id="and evidence is needed again"),
        pytest.param([0, 12, 253, 265, 385], 4, id="five days after the second evidence"),
    ],
)
def test_exhausted_deliveries_with_pauses_are_evidence(hours: list[float], disabled_by: int | None) -> None:
    assert lost(FIVE_DAYS, hours) == disabled_by


@pytest.mark.parametrize(
    ("hours", "disabled_by"),
    [
        pytest.param([0, 119.9], None, id="just under five days"),
        pytest.param([0, 120], 1, id="five days"),
        pytest.param([0, 60, 120], 2, id="five days with one between"),
        pytest.param([0, 120.1], None, id="five days of silence"),
        pytest.param([0, 21 * 24], None, id="two with three weeks between"),
        pytest.param([0, 21 * 24, 26 * 24], 2, id="five days after the silence"),
    ],
)
def test_the_simple_rule_disables_after_the_period(hours: list[float], disabled_by: int | None) -> None:
    assert lost(PLAIN, hours) == disabled_by


def test_the_simple_rule_counts_every_attempt_and_disables_on_exhaustion() -> None:
    health = PLAIN.failed(HEALTHY, Move.RETRY, START)
    health = PLAIN.failed(health, Move.RETRY, START + 5 * DAY)
    assert PLAIN.reason(health, RETRIED, START + 5 * DAY) is None
    health = PLAIN.failed(health, Move.EXHAUST, START + 6 * DAY)
    assert PLAIN.reason(health, EXHAUSTED, START + 6 * DAY) is DisabledReason.FAILING


def test_attempts_that_are_retried_are_no_evidence() -> None:
    health = HEALTHY
    for hour in range(24 * 10):
        health = FIVE_DAYS.failed(health, Move.RETRY, START + hour * HOUR)
        assert FIVE_DAYS.reason(health, RETRIED, START + hour * HOUR) is None
    assert health == Health(START, 240)


def test_ten_failed_attempts_in_a_row_whatever_the_time() -> None:
    health = HEALTHY
    for number in range(1, 11):
        health = TEN.failed(health, Move.RETRY, START)
        reason = TEN.reason(health, RETRIED, START)
        assert reason is (DisabledReason.FAILING if number == 10 else None)


@pytest.mark.parametrize(("on_gone", "reason"), [(True, DisabledReason.GONE), (False, None)])
def test_a_410_disables_at_once_if_the_product_says_so(on_gone: bool, reason: DisabledReason | None) -> None:
    rule = replace(FIVE_DAYS, on_gone=on_gone)
    health = rule.failed(HEALTHY, Move.EXHAUST, START)
    assert rule.reason(health, Transition(Move.EXHAUST, Effect.GONE), START) is reason


def test_a_short_period_needs_evidence_in_proportion() -> None:
    """Ten hours: two lost deliveries, one to two hours apart."""
    rule = replace(FIVE_DAYS, failing_for=10 * HOUR)
    assert lost(rule, [0, 0.9, 10.9]) is None
    assert lost(rule, [0, 1, 10.9]) is None
    assert lost(rule, [0, 1, 11]) == 2
    assert lost(rule, [0, 2.1, 12.1]) is None
    assert lost(replace(FIVE_DAYS, failing_for=30 * DAY), [0, 12, 732]) == 2, "never more than 24 hours"


def by_definition(hours: Sequence[int]) -> int | None:
    """The same as `lost`, as it is documented: every pair is looked at."""
    history: list[int] = []
    clock: int | None = None
    for place, hour in enumerate(hours):
        if clock is not None and hour - clock > 240:
            history, clock = [], None
        if clock is None and any(SPREAD <= (hour - one) * HOUR <= SPAN for one in history):
            clock = hour
        history.append(hour)
        if clock is not None and hour - clock >= 120:
            return place
    return None


@given(st.lists(st.integers(0, 60) | st.integers(0, 400), max_size=40))
def test_the_rule_matches_the_documentation(gaps: list[int]) -> None:
    hours = list(accumulate(gaps))
    assert lost(FIVE_DAYS, hours) == by_definition(hours)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_no_endpoint_is_disabled_without_five_days_between_its_first_and_last_failure(
    gaps: list[float],
) -> None:
    hours = [math.fsum(gaps[: place + 1]) for place in range(len(gaps))]
    place = lost(FIVE_DAYS, hours)
    if place is not None:
        assert hours[place] - hours[0] >= 132 - 1e-3


def test_dropping_the_clock_drops_the_run_of_failures() -> None:
    """Also where an endpoint failed all the time, by a rule that was changed in between."""
    health, now = HEALTHY, START + 10 * DAY + HOUR
    for day in range(11):
        health = PLAIN.failed(health, Move.RETRY, START + day * DAY)
    health = FIVE_DAYS.failed(health, Move.EXHAUST, now)
    assert (health.run_since, health.clock_since) == (now, None)
