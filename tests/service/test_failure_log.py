"""Refused credentials leave lines in the log, without the credential, and a flood of them leaves few."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from angarium.core.errors import CredentialExpired, NotAuthenticated, TooManyFailures
from angarium.service import audit, login
from angarium.service.login import FAILURES, LINE_EVERY, LINES, MOST_KNOWN, WINDOW, FailureLog, LoginThrottle
from tests.kit.clock import ManualClock


def noted(log: FailureLog, count: int, origin: str = "192.0.2.1") -> list[Any]:
    with capture_logs() as lines:
        for _ in range(count):
            log.note(origin, "invalid", kind="token", address=origin)
    return lines


async def test_the_first_failure_is_logged_and_then_every_doubling(clock: ManualClock) -> None:
    log = FailureLog(clock)
    assert [line["failures"] for line in noted(log, 1000)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert [line["failures"] for line in noted(log, 1, "192.0.2.2")] == [1]
    await clock.advance_to(clock.now() + WINDOW - 1)
    assert noted(log, 1) == []
    await clock.advance_to(clock.now() + 1)
    assert [line["failures"] for line in noted(log, 3)] == [1, 2]


async def test_a_flood_from_everywhere_is_counted_and_not_written_out(clock: ManualClock) -> None:
    log = FailureLog(clock)
    flood = [line for number in range(MOST_KNOWN + 50) for line in noted(log, 1, f"2001:db8:{number:x}")]
    assert len(flood) == LINES
    assert len(log._counts) == MOST_KNOWN
    await clock.advance_to(clock.now() + 2 * LINE_EVERY)
    later = [line for number in range(5) for line in noted(log, 1, f"192.0.2.{number}")]
    assert [line["unlogged"] for line in later] == [MOST_KNOWN + 50 - LINES, 0]


async def test_lines_are_allowed_again_one_by_one_and_not_saved_up(clock: ManualClock) -> None:
    log = FailureLog(clock)
    numbers = count()

    def flood() -> list[int]:
        """One failure each of many origins; gives what each line says was not logged before it."""
        lines = (noted(log, 1, f"2001:db8:{next(numbers):x}::1") for _ in range(LINES + 5))
        return [line["unlogged"] for found in lines for line in found]

    assert flood() == [0] * LINES
    await clock.advance_to(clock.now() + LINE_EVERY - 0.25)
    assert flood() == []
    await clock.advance_to(clock.now() + 0.25)
    assert flood() == [5 + LINES + 5]
    await clock.advance_to(clock.now() + 100 * LINES * LINE_EVERY)
    assert flood() == [LINES + 4] + [0] * (LINES - 1)


def test_the_failures_of_an_origin_are_counted_by_their_reason(clock: ManualClock) -> None:
    log = FailureLog(clock)
    noted(log, 3)
    with capture_logs() as lines:
        log.note("192.0.2.1", "ended", kind="token", address=None)
        log.note("192.0.2.1", "invalid", kind="token", address=None)
    assert [(line["reason"], line["failures"]) for line in lines] == [("ended", 1), ("invalid", 4)]


def test_the_origins_that_failed_last_are_remembered(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "MOST_KNOWN", 2)
    log = FailureLog(clock)
    for origin in ("a", "b", "a", "c"):
        noted(log, 1, origin)
    assert [line["failures"] for line in noted(log, 2, "a")] == [4]
    assert [line["failures"] for line in noted(log, 1, "b")] == [1], "it was the oldest"


@pytest.mark.parametrize(("error", "reason"), [(NotAuthenticated, "invalid"), (CredentialExpired, "ended")])
def test_the_guard_logs_who_failed_with_what_kind(
    clock: ManualClock, error: type[Exception], reason: str
) -> None:
    login_throttle = LoginThrottle(clock)
    audit.arrived("192.0.2.7")
    with capture_logs() as lines, pytest.raises(error), login_throttle.watching("portal-link"):
        raise error
    assert lines == [
        {
            "event": "credential.refused", "log_level": "warning", "kind": "portal-link",
            "address": "192.0.2.7", "reason": reason, "failures": 1, "unlogged": 0,
        }
    ]  # fmt: skip


def test_the_guard_logs_when_it_slows_somebody_down(clock: ManualClock) -> None:
    login_throttle = LoginThrottle(clock)
    audit.arrived("192.0.2.7")
    with capture_logs() as lines:
        for _ in range(FAILURES + 2):
            with pytest.raises((NotAuthenticated, TooManyFailures)), login_throttle.watching("token"):
                raise NotAuthenticated
    throttled = [line for line in lines if line["reason"] == "throttled"]
    assert [line["failures"] for line in throttled] == [1, 2]
    assert {line["address"] for line in throttled} == {"192.0.2.7"}


def test_what_is_right_leaves_no_line(clock: ManualClock) -> None:
    with capture_logs() as lines, LoginThrottle(clock).watching("token"):
        structlog.get_logger().info("beside it")
    assert [line["event"] for line in lines] == ["beside it"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
