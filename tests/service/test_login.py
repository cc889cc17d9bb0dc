"""Logins: how failures are throttled and logged, and what is asked of a token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from angarium.core.claims import EVERYTHING, Claims
from angarium.core.errors import CredentialExpired, NotAuthenticated, NotFound, TooManyFailures
from angarium.service import audit, login
from angarium.service.login import (
    EVERY,
    FAILURES,
    KNOWN_GUESSES,
    LINE_EVERY,
    LINES,
    MOST_KNOWN,
    WINDOW,
    FailureLog,
    LoginThrottle,
    origin_of,
)
from tests.kit.clock import ManualClock

HERE, THERE, ELSEWHERE = "192.0.2.1", "192.0.2.2", "192.0.2.3"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def fail(
    one: LoginThrottle,
    address: str | None = HERE,
    *,
    cookie: str | None = None,
    error: type[Exception] = NotAuthenticated,
) -> Exception:
    """One failure. Returns the visitor's response."""
    audit.arrived(address)
    with pytest.raises((error, TooManyFailures)) as told, one.watching("token", cookie):
        raise error
    return told.value


def spend(one: LoginThrottle, failures: int, address: str = HERE) -> None:
    """So many failures, none of them too many."""
    for _ in range(failures):
        assert type(fail(one, address)) is NotAuthenticated


async def test_failures_above_the_limit_of_an_address_are_throttled(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    spend(one, FAILURES)
    told = fail(one)
    assert isinstance(told, TooManyFailures)
    assert told.retry_after == EVERY
    spend(one, FAILURES, THERE)
    # what is throttled does not put off the next try
    assert isinstance(fail(one), TooManyFailures)
    await clock.advance_to(clock.now() + EVERY)
    spend(one, 1)
    await clock.advance_to(clock.now() + EVERY / 2)
    told = fail(one)
    assert isinstance(told, TooManyFailures)
    assert told.retry_after == EVERY / 2


async def test_the_number_of_allowed_failures_recovers_one_by_one(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    spend(one, FAILURES)
    await clock.advance_to(clock.now() + 3 * EVERY)
    spend(one, 3)
    assert isinstance(fail(one), TooManyFailures)
    await clock.advance_to(clock.now() + 10 * FAILURES * EVERY)
    spend(one, FAILURES)
    assert isinstance(fail(one), TooManyFailures)


def test_other_errors_are_not_counted_as_failures(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    for _ in range(FAILURES + 1):
        assert type(fail(one, error=CredentialExpired)) is CredentialExpired
        assert type(fail(one, error=NotFound)) is NotFound
        with one.watching("token"):
            pass
    spend(one, FAILURES)


def test_a_valid_credential_is_accepted_from_a_throttled_address(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    spend(one, FAILURES)
    with one.watching("token"):
        entered = True
    assert entered


def test_a_cookie_counts_once_for_each_address(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    spend(one, FAILURES - 1)
    spend(one, FAILURES - 1, THERE)
    for address in (HERE, THERE):
        for _ in range(3):
            assert type(fail(one, address, cookie="bad")) is NotAuthenticated
        assert isinstance(fail(one, address, cookie="another"), TooManyFailures)


def test_the_newest_cookies_of_an_address_are_kept(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    for number in range(KNOWN_GUESSES):
        fail(one, cookie=f"cookie {number}")
    spend(one, FAILURES - KNOWN_GUESSES)
    for number in range(KNOWN_GUESSES):
        assert type(fail(one, cookie=f"cookie {number}")) is NotAuthenticated
    fail(one, cookie="one more")
    assert isinstance(fail(one, cookie="cookie 0"), TooManyFailures), "it was forgotten, so it is a new guess"


def test_the_number_of_addresses_in_memory_is_limited(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "MOST_KNOWN", 2)
    one = LoginThrottle(clock)
    spend(one, FAILURES - 1)
    spend(one, 1, THERE)
    spend(one, 1)  # it is the newest again
    spend(one, 1, ELSEWHERE)
    assert isinstance(fail(one), TooManyFailures)
    spend(one, FAILURES - 1, ELSEWHERE)
    assert isinstance(fail(one, ELSEWHERE), TooManyFailures)
    spend(one, FAILURES, THERE)  # it was the oldest


def test_the_number_of_addresses_with_cookies_is_limited(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = LoginThrottle(clock)
    for address in (HERE, THERE):
        spend(one, FAILURES - 1, address)
    monkeypatch.setattr(login, "MOST_KNOWN", 2)
    for address in (HERE, THERE, HERE, ELSEWHERE):
        assert type(fail(one, address, cookie="bad")) is NotAuthenticated
    monkeypatch.undo()
    assert type(fail(one, HERE, cookie="bad")) is NotAuthenticated
    assert isinstance(fail(one, THERE, cookie="bad"), TooManyFailures), (
        "it was the oldest, and is a new guess"
    )


def test_an_ipv4_address_counts_alone_and_an_ipv6_network_as_one() -> None:
    assert origin_of("192.0.2.1") == "192.0.2.1"
    assert origin_of("::ffff:192.0.2.1") == "192.0.2.1"
    network = origin_of("2001:db8:1:2::1")
    assert network == origin_of("2001:db8:1:2:ffff:ffff:ffff:ffff")
    assert network != origin_of("2001:db8:1:3::1")
    assert origin_of("::1") == "0"
    for unknown in (None, "", "unix:", "192.0.2.256"):
        assert origin_of(unknown) == ""


def test_requests_without_an_address_count_as_one(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    for _ in range(FAILURES):
        assert type(fail(one, None)) is NotAuthenticated
    assert isinstance(fail(one, None), TooManyFailures)
    spend(one, FAILURES)


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


def test_the_most_recent_origins_are_kept(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "MOST_KNOWN", 2)
    log = FailureLog(clock)
    for origin in ("a", "b", "a", "c"):
        noted(log, 1, origin)
    assert [line["failures"] for line in noted(log, 2, "a")] == [4]
    assert [line["failures"] for line in noted(log, 1, "b")] == [1], "it was the oldest"


@pytest.mark.parametrize(("error", "reason"), [(NotAuthenticated, "invalid"), (CredentialExpired, "ended")])
def test_a_failure_is_logged_with_address_and_kind(
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


def test_throttling_is_logged(clock: ManualClock) -> None:
    login_throttle = LoginThrottle(clock)
    audit.arrived("192.0.2.7")
    with capture_logs() as lines:
        for _ in range(FAILURES + 2):
            with pytest.raises((NotAuthenticated, TooManyFailures)), login_throttle.watching("token"):
                raise NotAuthenticated
    throttled = [line for line in lines if line["reason"] == "throttled"]
    assert [line["failures"] for line in throttled] == [1, 2]
    assert {line["address"] for line in throttled} == {"192.0.2.7"}


def test_a_success_is_not_logged(clock: ManualClock) -> None:
    with capture_logs() as lines, LoginThrottle(clock).watching("token"):
        structlog.get_logger().info("beside it")
    assert [line["event"] for line in lines] == ["beside it"]


CLAIMS = Claims("org_a", None, frozenset(), EVERYTHING, None, 0.0, 1.0, b"d" * 32)


@dataclass
class RecordedThrottle(LoginThrottle):
    """A login throttle that is its own tokens, and notes what is asked."""

    wrong: Exception | None = None
    ended: Exception | None = None
    asked: list[Any] = field(default_factory=list)
    watched: list[type[BaseException] | None] = field(default_factory=list)

    @contextmanager
    def watching(self, kind: str, cookie: str | None = None) -> Iterator[None]:
        self.asked.append(("watching", kind, cookie))
        try:
            yield
        except BaseException as error:
            self.watched.append(type(error))
            raise

    def verify(self, token: str) -> Claims:
        self.asked.append(("verify", token))
        if self.wrong is not None:
            raise self.wrong
        return CLAIMS

    async def check_live(self, claims: Claims) -> None:
        self.asked.append(("check_live", claims))
        if self.ended is not None:
            raise self.ended


async def enter(throttle: RecordedThrottle, *, fits: bool = True) -> Claims:
    tokens: Any = throttle
    return await throttle.admit(
        tokens, "token", "text", lambda claims: fits and claims is CLAIMS, cookie="cookie"
    )


async def test_a_good_token_is_verified_and_then_looked_up() -> None:
    throttle = RecordedThrottle()
    assert await enter(throttle) is CLAIMS
    assert throttle.asked == [("watching", "token", "cookie"), ("verify", "text"), ("check_live", CLAIMS)]
    assert throttle.watched == []


async def test_a_token_of_another_kind_is_refused_without_a_look_up() -> None:
    throttle = RecordedThrottle()
    with pytest.raises(NotAuthenticated):
        await enter(throttle, fits=False)
    assert throttle.asked[-1] == ("verify", "text")
    assert throttle.watched == [NotAuthenticated]


@pytest.mark.parametrize(
    ("wrong", "ended", "seen"),
    [(NotAuthenticated(), None, NotAuthenticated), (None, CredentialExpired(), CredentialExpired)],
)
async def test_every_refusal_is_counted_by_the_login_throttle(
    wrong: Exception | None, ended: Exception | None, seen: type[Exception]
) -> None:
    throttle = RecordedThrottle(wrong, ended)
    with pytest.raises(seen):
        await enter(throttle)
    assert throttle.watched == [seen]
