"""The guard: how many failures an address has, how fast they are forgiven, and what is no failure."""

from __future__ import annotations

import pytest

from angarium.core.errors import CredentialExpired, NotAuthenticated, NotFound, TooManyFailures
from angarium.service import audit, login
from angarium.service.login import EVERY, FAILURES, KNOWN_GUESSES, LoginThrottle, origin_of
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
    """One failure; gives what the visitor is told."""
    audit.arrived(address)
    with pytest.raises((error, TooManyFailures)) as told, one.watching("token", cookie):
        raise error
    return told.value


def spend(one: LoginThrottle, failures: int, address: str = HERE) -> None:
    """So many failures, none of them too many."""
    for _ in range(failures):
        assert type(fail(one, address)) is NotAuthenticated


async def test_failures_beyond_those_that_an_address_has_are_throttled(clock: ManualClock) -> None:
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


async def test_failures_are_forgiven_one_by_one_and_never_saved_up(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    spend(one, FAILURES)
    await clock.advance_to(clock.now() + 3 * EVERY)
    spend(one, 3)
    assert isinstance(fail(one), TooManyFailures)
    await clock.advance_to(clock.now() + 10 * FAILURES * EVERY)
    spend(one, FAILURES)
    assert isinstance(fail(one), TooManyFailures)


def test_what_is_right_or_wrong_otherwise_is_no_failure(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    for _ in range(FAILURES + 1):
        assert type(fail(one, error=CredentialExpired)) is CredentialExpired
        assert type(fail(one, error=NotFound)) is NotFound
        with one.watching("token"):
            pass
    spend(one, FAILURES)


def test_what_is_right_is_let_in_from_an_address_that_failed_too_often(clock: ManualClock) -> None:
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


def test_of_an_address_the_newest_cookies_are_known(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    for number in range(KNOWN_GUESSES):
        fail(one, cookie=f"cookie {number}")
    spend(one, FAILURES - KNOWN_GUESSES)
    for number in range(KNOWN_GUESSES):
        assert type(fail(one, cookie=f"cookie {number}")) is NotAuthenticated
    fail(one, cookie="one more")
    assert isinstance(fail(one, cookie="cookie 0"), TooManyFailures), "it was forgotten, so it is a new guess"


def test_as_many_addresses_are_remembered_as_fit(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_cookies_of_as_many_addresses_are_known_as_fit(
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


def test_who_comes_from_nowhere_counts_as_one(clock: ManualClock) -> None:
    one = LoginThrottle(clock)
    for _ in range(FAILURES):
        assert type(fail(one, None)) is NotAuthenticated
    assert isinstance(fail(one, None), TooManyFailures)
    spend(one, FAILURES)
