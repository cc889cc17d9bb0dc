"""The time is right although the host sleeps, and although someone sets the database's clock."""

from __future__ import annotations

import asyncio
import base64
import time as real
from typing import Any

import pytest

from angarium import build
from angarium import clock as module
from angarium.clock import FOLLOW_EVERY, SystemClock
from angarium.core.errors import StoreUnavailable
from angarium.settings import load
from tests.kit.patience import until

HOUR = 3600.0


class Host:
    """What a host's clocks show: `time.monotonic` stands still while it sleeps."""

    def __init__(self) -> None:
        self.wall, self.running, self.asleep = 1_800_000_000.0, 5_000.0, 0.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.running

    def clock_gettime(self, which: int) -> float:
        assert which == module._BOOTTIME
        return self.running + self.asleep

    def run(self, seconds: float) -> None:
        self.wall += seconds
        self.running += seconds

    def sleep(self, seconds: float) -> None:
        self.wall += seconds
        self.asleep += seconds


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(module, "time", made)
    return made


def test_the_steady_time_is_the_one_that_goes_on_while_the_host_sleeps() -> None:
    assert abs(module.steady() - real.clock_gettime(real.CLOCK_BOOTTIME)) < 60


def test_sleep_counts_at_once(host: Host) -> None:
    clock = SystemClock()
    before = clock.steady()
    host.run(10)
    host.sleep(600)
    assert clock.now() == pytest.approx(host.wall)
    assert clock.steady() - before == pytest.approx(610)


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_a_clock_that_is_set_is_followed_and_the_steady_time_is_not(host: Host, by: float) -> None:
    clock = SystemClock()
    clock.anchor(host.wall)
    heard: list[float] = []
    clock.on_jump(heard.append)
    before = clock.steady()
    clock.anchor(host.wall + by)
    assert clock.now() == pytest.approx(host.wall + by)
    assert clock.steady() == before
    assert heard == [pytest.approx(by)]
    clock.anchor(host.wall + by)
    assert len(heard) == 1


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_how_far_the_database_s_clock_is_ahead_of_the_host_s(host: Host, by: float) -> None:
    clock = SystemClock()
    assert clock.apart() == pytest.approx(0)
    clock.anchor(host.wall + by)
    assert clock.apart() == pytest.approx(by)
    host.sleep(600)
    assert clock.apart() == pytest.approx(by), "sleep changes nothing"


def test_listeners_hear_of_sleep_too(host: Host) -> None:
    clock = SystemClock()
    heard: list[float] = []
    clock.on_jump(heard.append)
    host.sleep(600)
    clock.anchor(host.wall)
    assert heard == [0.0]


@pytest.mark.parametrize(("by", "within"), [(0.1, 0.0), (-0.1, 0.0), (-2.0, 3.0), (2.0, 3.0)])
def test_what_the_question_itself_may_have_cost_is_no_difference(
    host: Host, by: float, within: float
) -> None:
    clock = SystemClock()
    heard: list[float] = []
    clock.on_jump(heard.append)
    clock.anchor(host.wall + by, within=within)
    assert clock.now() == pytest.approx(host.wall)
    assert heard == []


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_who_waits_is_woken_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch, by: float) -> None:
    """By the time that was, the wait would be an hour longer, or be over."""
    monkeypatch.setattr(module, "LONGEST_NAP", 0.05)
    clock = SystemClock()
    waiting = asyncio.create_task(clock.wait(asyncio.Event(), clock.now() + HOUR / 2))
    await asyncio.sleep(0)
    clock.anchor(clock.now() + by)
    await until(waiting.done, "the wait ended")


async def test_who_waits_is_woken_after_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers of the event loop stand still while the host sleeps."""
    monkeypatch.setattr(module, "LONGEST_NAP", 0.05)
    host = Host()
    monkeypatch.setattr(module, "time", host)
    clock = SystemClock()
    waiting = asyncio.create_task(clock.wait(asyncio.Event(), clock.now() + HOUR))
    await asyncio.sleep(0)
    host.sleep(HOUR)
    await until(waiting.done, "the wait ended")


async def test_a_reference_that_cannot_be_asked_is_asked_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    naps: list[float] = []

    async def reference() -> float:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise StoreUnavailable
        return host.wall + HOUR

    nap = asyncio.sleep

    async def quick(seconds: float, *_: Any) -> None:
        naps.append(seconds)
        await nap(0)

    monkeypatch.setattr(asyncio, "sleep", quick)
    clock = SystemClock()
    following = asyncio.create_task(clock.follow(reference))
    while asked < 3:
        await nap(0)
    following.cancel()
    assert set(naps) == {FOLLOW_EVERY}
    assert clock.now() == pytest.approx(host.wall + HOUR)


@pytest.mark.parametrize("embedded", [True, False])
async def test_the_reference_is_the_database_unless_it_is_embedded(
    database_url: str, monkeypatch: pytest.MonkeyPatch, embedded: bool
) -> None:
    followed: list[Any] = []

    async def follow(_: SystemClock, reference: Any) -> None:
        followed.append(reference)
        await asyncio.Event().wait()

    monkeypatch.setattr(SystemClock, "follow", follow)
    overrides: dict[str, Any] = {"secret_key": base64.b64encode(bytes(32)).decode(), "jwt_secret": "s" * 32}
    if not embedded:
        overrides["database_url"] = database_url
    async with build.running(load(overrides=overrides), database_url, role="api"):
        await until(lambda: bool(followed))
        (reference,) = followed
        assert (reference is module.host_time) == embedded
        assert abs(await reference() - real.time()) < 600
