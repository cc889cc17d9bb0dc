"""Counts events in a registry.

What happens to every delivery is counted for a batch at a time, on series that are bound once: it costs about
a microsecond for each delivery (`python -m bench.telemetry`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final
from uuid import UUID

from angarium.core import ids
from angarium.core.errors import StoreReason
from angarium.core.event import REFUSED, Attempted, Events
from angarium.core.failure import FailureKind
from angarium.core.hold import Held
from angarium.core.lifecycle import Move
from angarium.core.nouns import DisabledReason
from angarium.telemetry.logs import OWN_FAULTS
from angarium.telemetry.registry import OTHER, Histogram, Registry, Value

OUTCOMES: Final = {
    Move.DELIVER: "delivered",
    Move.RETRY: "retry",
    Move.EXHAUST: "exhausted",
    Move.CANCEL: "canceled",
    Move.KEEP: "kept",
}
JOBS: Final = ("tasks", "partitions", "retention", "statistics", "gauges", "usage")
ERRORS: Final = (*(reason.value for reason in StoreReason), REFUSED)
ACCEPTS: Final = ("/msg", "/msg/batch")


class Metrics(Events):
    """A listener. `applications`: public ids that get a label value of their own."""

    def __init__(
        self,
        registry: Registry,
        applications: Collection[str] = (),
        time: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._time = time
        value, histogram = registry.value, registry.histogram
        self._accepted, self._duplicate, self._refused = (
            value("intake_messages_total", result) for result in ("accepted", "duplicate", "refused")
        )
        self._turned_away = {
            reason: value("intake_turned_away_total", reason) for reason in ("full", "bodies", "database")
        }
        self._quota = {noun: value("quota_refused_total", noun) for noun in ("messages", "endpoints")}
        self._created = value("deliveries_created_total")
        self._intake_batch = histogram("intake_batch_messages")
        self._intake_commit = histogram("intake_commit_seconds")
        self._batch = histogram("complete_batch_outcomes")
        self._commit = histogram("complete_commit_seconds")
        self._first = histogram("first_attempt_seconds")
        self._late = {held: histogram("attempt_lateness_seconds", held.value) for held in Held}
        self._took = {done: histogram("attempt_seconds", "yes" if done else "no") for done in (True, False)}
        self._delivery = {
            first: histogram("delivery_seconds", "first" if first else "later") for first in (True, False)
        }
        self._attempts: dict[tuple[Move, str | None, bool, str], Value] = {}
        self._applications = {ids.parse(ids.APPLICATION, one): one for one in applications}
        self._disabled: dict[DisabledReason, Value] = {
            reason: value("endpoints_disabled_total", reason.value)
            for reason in DisabledReason
            if reason is not DisabledReason.MANUAL
        }
        self._shards = {
            change: value("shard_changes_total", change) for change in ("taken", "given", "lost", "evicted")
        }
        self._faults = {event: value("own_faults_total", event) for event in OWN_FAULTS}
        self._waits: dict[str, Histogram] = {}
        self._errors: dict[tuple[str, str], Value] = {}
        self._answers: dict[tuple[str, str, int], tuple[Value, Histogram]] = {}
        self._jobs = {job: value("job_last_success_timestamp_seconds", job) for job in JOBS}

    def accepted(
        self, app_ids: Sequence[UUID], deliveries: int, duplicates: int, refused: int, seconds: float
    ) -> None:
        self._accepted.value += len(app_ids)
        self._duplicate.value += duplicates
        self._refused.value += refused
        self._created.value += deliveries
        self._intake_batch.observe(len(app_ids) + duplicates + refused)
        self._intake_commit.observe(seconds)
        if self._applications:
            for app_id in app_ids:
                self._registry.value("application_messages_total", self._named(app_id)).add()

    def fanned_out(self, deliveries: int) -> None:
        self._created.value += deliveries

    def quota_refused(self, noun: str, count: int) -> None:
        self._quota[noun].value += count

    def turned_away(self, reason: str, messages: int) -> None:
        self._turned_away[reason].value += messages

    def recorded(self, attempts: Sequence[Attempted], seconds: float) -> None:
        self._batch.observe(len(attempts))
        self._commit.observe(seconds)
        series, late, took = self._attempts, self._late, self._took
        for one in attempts:
            kind, move, number = one.kind, one.move, one.number
            key = move, None if kind is None else kind.code, one.manual, one.product
            counted = series.get(key)
            if counted is None:
                counted = series[key] = self._of(one)
            counted.value += 1
            if number:
                took[kind is None].observe(one.ended_at - one.started_at)
            if one.manual:
                continue
            if number:
                late[one.held].observe(one.lateness)
                if number == 1:
                    self._first.observe(one.started_at - one.due_at)
            if move is Move.DELIVER:
                self._delivery[number == 1].observe(one.ended_at - one.accepted_at)
        if self._applications:
            for one in attempts:
                labels = self._named(one.app_id), OUTCOMES[one.move]
                self._registry.value("application_attempts_total", *labels).add()

    def held_up(self, kind: FailureKind, product: str) -> None:
        labels = "waiting", kind.code, kind.side.value, "schedule", product
        self._registry.value("attempts_total", *labels).add()

    def disabled(self, reason: DisabledReason) -> None:
        self._disabled[reason].value += 1

    def shards(self, change: str, count: int) -> None:
        self._shards[change].value += count

    def done(self, job: str) -> None:
        self._jobs[job].value = self._time()

    def connected(self, pool: str, waited: float) -> None:
        (self._waits.get(pool) or self._pool(pool)).observe(waited)

    def database_failed(self, pool: str, reason: str) -> None:
        self._pool(pool)
        self._errors[pool, reason].value += 1

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        requests, took = self._answers.get((route, method, status)) or self._answer(route, method, status)
        requests.value += 1
        took.observe(seconds)

    def logged(self, event: str) -> None:
        if event in self._faults:
            self._faults[event].value += 1

    def _of(self, one: Attempted) -> Value:
        kind, trigger = one.kind, "manual" if one.manual else "schedule"
        side = "none" if kind is None else kind.side.value
        return self._registry.value(
            "attempts_total", OUTCOMES[one.move], _cause(one), side, trigger, one.product
        )

    def _pool(self, pool: str) -> Histogram:
        """What concerns a pool, from its first connection on: an error that is the first must be seen as a
        rise from 0."""
        found = self._waits.get(pool)
        if found is None:
            found = self._waits[pool] = self._registry.histogram("db_wait_seconds", pool)
            for reason in ERRORS:
                self._errors[pool, reason] = self._registry.value("db_errors_total", pool, reason)
        return found

    def _answer(self, route: str, method: str, status: int) -> tuple[Value, Histogram]:
        found = self._answers[route, method, status] = (
            self._registry.value("api_requests_total", route, method, str(status)),
            self._registry.histogram("api_request_seconds", _group(route, method)),
        )
        return found

    def _named(self, app_id: UUID) -> str:
        return self._applications.get(app_id, OTHER)


def _cause(one: Attempted) -> str:
    if one.status:
        return f"{one.status // 100}xx"
    if one.kind is not None:
        return one.kind.code
    return "none"  # no attempt was made


def _group(route: str, method: str) -> str:
    if method == "POST" and route.endswith(ACCEPTS):
        return "accept"
    first = route.split("/", 2)[1] if route.startswith("/") else ""
    return first if first in ("portal", "admin", "play") else "api"
