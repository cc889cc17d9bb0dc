"""Whose failure it is when the network fails, and how sending pauses: by example and by random histories."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core.failure import BURST, KINDS
from angarium.core.outage import (
    FIRST,
    LONGEST,
    MAX_SITES,
    PATIENCE,
    RECENT,
    TRIES,
    WINDOW,
    FaultDetector,
    PausedTime,
    ProbePause,
    site_of,
)

BURSTS = [kind for kind in KINDS.values() if kind.burst > 1]
UNREACHABLE = KINDS["connect_no_network"]
TIMEOUT = KINDS["connect_timeout"]
HOSTS = [f"hooks.customer{number}.com" for number in range(20)]


@given(st.lists(st.tuples(st.sampled_from(BURSTS), st.floats(0, 100)), max_size=50))
def test_failures_of_only_one_host_are_never_our_fault(history: list[tuple[object, float]]) -> None:
    detector, now = FaultDetector(), 0.0
    for kind, seconds in history:
        now += seconds
        assert not detector.failed(kind, "hooks.example.com", now)  # type: ignore[arg-type]
        assert not detector.failed(kind, "other.example.com", now), "related"  # type: ignore[arg-type]


@given(st.permutations(HOSTS), st.lists(st.floats(0, WINDOW / BURST / 4), min_size=20, max_size=20))
def test_a_burst_is_our_fault_from_its_last_host_until_a_success(
    hosts: list[str], seconds: list[float]
) -> None:
    detector, now = FaultDetector(), 1000.0
    for place, (host, after) in enumerate(zip(hosts, seconds, strict=True), 1):
        now += after
        assert detector.failed(TIMEOUT, host, now) is (place >= BURST)
    assert detector.failed(TIMEOUT, hosts[0], now + 10 * WINDOW), "it lasts, however rarely it is probed"
    detector.reached(now)
    assert not detector.failed(TIMEOUT, hosts[0], now)


@given(st.lists(st.sampled_from([*HOSTS, None]), max_size=200), st.sampled_from(BURSTS))
def test_fewer_hosts_than_a_burst_are_never_our_fault(history: list[str | None], kind: object) -> None:
    detector = FaultDetector()
    since: set[str] = set()
    for now, host in enumerate(history):
        if host is None:
            detector.reached(float(now))
            since.clear()
            continue
        since.add(site_of(host))
        ours = detector.failed(kind, host, float(now))  # type: ignore[arg-type]
        assert not ours or len(since) >= BURST


def test_failures_far_apart_are_no_burst() -> None:
    detector = FaultDetector()
    for place, host in enumerate(HOSTS):
        assert not detector.failed(TIMEOUT, host, place * WINDOW)


def test_a_burst_lies_within_the_window() -> None:
    for after, ours in ((WINDOW, True), (WINDOW + 1, False)):
        detector = FaultDetector()
        for host in HOSTS[1:BURST]:
            assert not detector.failed(TIMEOUT, host, 0.0)
        assert detector.failed(TIMEOUT, HOSTS[0], after) is ours


def test_a_burst_has_as_many_hosts_as_its_kind_says() -> None:
    detector = FaultDetector()
    pair = msgspec.structs.replace(TIMEOUT, burst=2)
    assert not detector.failed(pair, HOSTS[0], 0.0)
    assert detector.failed(pair, HOSTS[1], 0.0)


def test_failures_with_different_faults_are_no_burst() -> None:
    detector = FaultDetector()
    for host, other in zip(HOSTS[1:BURST], HOSTS[BURST + 1 : 2 * BURST], strict=True):
        assert not detector.failed(TIMEOUT, host, 0.0)
        assert not detector.failed(KINDS["dns_unanswered"], other, 0.0)
    assert detector.failed(TIMEOUT, HOSTS[0], 0.0)
    assert not detector.failed(KINDS["dns_unanswered"], HOSTS[BURST + 1], 0.0)


def test_an_unambiguous_failure_is_never_our_fault() -> None:
    detector = FaultDetector()
    assert not any(detector.failed(KINDS["connect_refused"], host, 0.0) for host in HOSTS)


def test_the_oldest_failed_hosts_are_dropped_when_there_are_many() -> None:
    detector = FaultDetector()
    for number in range(MAX_SITES + 1):
        assert detector.failed(UNREACHABLE, f"customer{number}.com", 0.0)
    detector.reached(1.0)
    assert not detector.failed(UNREACHABLE, "customer1.com", 2.0)
    assert not detector.failed(UNREACHABLE, f"customer{MAX_SITES}.com", 2.0)
    assert detector.failed(UNREACHABLE, "customer0.com", 2.0), "it is asked again"


def test_a_blamed_host_is_tried_again_if_no_host_was_reached_for_long() -> None:
    detector, now = FaultDetector(), 0.0
    for _ in range(3):
        assert detector.failed(UNREACHABLE, "a.example", now)
        assert detector.failed(UNREACHABLE, "a.example", now + 1)
        detector.reached(now + 2)
        assert not detector.failed(UNREACHABLE, "a.example", now + 3)
        now += 2 + 2 * RECENT


def test_an_unreachable_network_is_our_fault_until_another_receiver_is_reached() -> None:
    detector = FaultDetector()
    detector.reached(99.0)
    for now in (100.0, 101.0, 200.0, 10_000.0):
        assert detector.failed(UNREACHABLE, "a.example", now)
    detector.reached(10_001.0)
    assert not detector.failed(UNREACHABLE, "a.example", 10_002.0), "the network works: it is the host"
    assert not detector.failed(UNREACHABLE, "a.example", 10_001.0 + RECENT)
    assert detector.failed(UNREACHABLE, "b.example", 10_002.0), "each host is asked again"
    assert detector.failed(UNREACHABLE, "a.example", 10_002.0 + 2 * RECENT), "no host was reached for long"


@given(st.lists(st.sampled_from([*HOSTS, None]), max_size=200))
def test_an_unreachable_host_is_blamed_only_after_others_were_reached(history: list[str | None]) -> None:
    detector, reached = FaultDetector(), False
    for now, host in enumerate(history):
        if host is None:
            detector.reached(float(now))
            reached = True
        else:
            assert detector.failed(UNREACHABLE, host, float(now)) or reached


@pytest.mark.parametrize(
    ("one", "other", "related"),
    [
        ("a.example.com", "b.example.com", True),
        ("A.example.com.", "example.com", True),
        ("example.com", "example.org", False),
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("[2001:db8:1::1]", "2001:db8:1:2::1", True),
        ("[2001:db8:1::1]", "[2001:db8:2::1]", False),
        ("localhost", "localhost", True),
    ],
)
def test_which_hosts_are_related(one: str, other: str, related: bool) -> None:
    assert (site_of(one) == site_of(other)) is related


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("a.b.c.Example.XX.", "example.xx"),
        ("XX.Example", "xx.example"),
        ("localhost", "localhost"),
        ("192.0.2.1", "c00002"),
        ("[2001:db8:1:2::1]", "20010db80001"),
    ],
)
def test_a_site_is_a_domain_or_a_network(host: str, site: str) -> None:
    assert site_of(host) == site


@given(st.integers(1, 40))
def test_the_pause_grows_and_is_bounded(failures: int) -> None:
    pause, now = ProbePause(0.0), 0.0
    for number in range(failures):
        wait = pause.next_at - now
        assert wait == min(LONGEST, FIRST * 2**number)
        assert not pause.admits(now + wait / 2)
        now = pause.next_at
        assert pause.admits(now)
        pause.probing(now)
        assert not pause.admits(now), "one probe at a time"
        assert pause.admits(now + PATIENCE)
        pause.failed(now)


def test_few_lanes_try_to_probe_each_second() -> None:
    pause = ProbePause(0.0)
    admitted = [pause.admits(FIRST) for _ in range(100)]
    assert admitted.count(True) == TRIES
    assert pause.admits(FIRST + 1.0)


def test_pauses_of_one_cause_that_overlap_count_once_and_current_ones_count() -> None:
    paused = PausedTime()
    assert paused.seconds(5.0) == {}
    paused.began("network_down", 10.0)
    paused.began("network_down", 12.0)
    paused.began("internal", 13.0)
    assert paused.seconds(15.0) == {"network_down": 5.0, "internal": 2.0}
    paused.ended("network_down", 16.0)
    assert paused.seconds(20.0) == {"network_down": 10.0, "internal": 7.0}
    paused.ended("network_down", 21.0)
    paused.ended("internal", 21.0)
    assert paused.seconds(100.0) == {"network_down": 11.0, "internal": 8.0}
    paused.began("internal", 200.0)
    assert paused.seconds(201.0) == {"network_down": 11.0, "internal": 9.0}
