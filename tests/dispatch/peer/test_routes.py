"""Which process owns a shard: known before the delivery was committed, or not at all."""

from __future__ import annotations

import pytest

from angarium.dispatch.peer.routes import STALE_AFTER, Routes, ShardRoute
from angarium.store.shard import Announcement, Member

ME, ONE, OTHER = b"me", b"one", b"other"


def member(instance: bytes, tenures: dict[int, int], *addresses: str) -> Member:
    return Member(1, None, False, Announcement(instance, addresses or ("unix:x",), b"", tenures))


def test_an_owner_counts_for_what_was_committed_after_it_was_known() -> None:
    routes = Routes(ME)
    routes.learn([member(ONE, {3: 7})], 10.0)
    assert routes.of(3, 10.0, 10.0) == ShardRoute(ONE, 7, 10.0)
    assert routes.of(3, 9.9, 10.0) is None
    assert routes.of(4, 10.0, 10.0) is None


def test_an_owner_that_stays_is_known_since_the_first_reading() -> None:
    routes = Routes(ME)
    for now in (10.0, 11.0, 12.0):
        routes.learn([member(ONE, {3: 7})], now)
    assert routes.of(3, 10.5, 12.0) == ShardRoute(ONE, 7, 10.0)


@pytest.mark.parametrize("changed", [member(OTHER, {3: 7}), member(ONE, {3: 8})], ids=["owner", "tenure"])
def test_a_shard_that_changed_hands_is_known_anew(changed: Member) -> None:
    routes = Routes(ME)
    routes.learn([member(ONE, {3: 7})], 10.0)
    routes.learn([changed], 11.0)
    assert routes.of(3, 10.5, 11.0) is None
    route = routes.of(3, 11.0, 11.0)
    assert route is not None
    assert route.since == 11.0


def test_no_route_leads_to_this_process_or_to_one_that_listens_nowhere() -> None:
    routes = Routes(ME)
    silent = Member(2, None, False, Announcement(ONE, (), b"", {2: 1}))
    routes.learn([member(ME, {1: 1}), silent, Member(3, None, False, None)], 10.0)
    assert [routes.of(shard, 10.0, 10.0) for shard in (1, 2)] == [None, None]
    assert routes.peers == {}


def test_routes_that_are_not_read_any_more_do_not_count() -> None:
    routes = Routes(ME)
    routes.learn([member(ONE, {3: 7})], 10.0)
    assert routes.of(3, 12.0, 10.0 + STALE_AFTER) is not None
    assert routes.of(3, 12.0, 10.1 + STALE_AFTER) is None


def test_after_the_clock_was_set_routes_are_learned_anew() -> None:
    routes = Routes(ME)
    routes.learn([member(ONE, {3: 7})], 10.0)
    routes.forget()
    assert routes.of(3, 3600.0, 10.0) is None
    routes.learn([member(ONE, {3: 7})], 3611.0)
    assert routes.of(3, 3611.0, 3611.0) == ShardRoute(ONE, 7, 3611.0)
