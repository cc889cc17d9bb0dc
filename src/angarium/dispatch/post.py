"""A post: the dispatcher's side of one lane, with the target that its attempts go to and its health."""

from __future__ import annotations

from uuid import UUID

from angarium.core.lane import NEVER, Lane, Limits
from angarium.core.nouns import State
from angarium.dispatch.target import Target
from angarium.store.load import Config
from angarium.store.settle import Health


class Post:
    """One lane in service. Without a target, or with a stale one, nothing is sent until it is read."""

    __slots__ = (
        "app_id",
        "closed",
        "endpoint_id",
        "failing_since",
        "failures",
        "halted",
        "lane",
        "ready",
        "revision",
        "shard",
        "size",
        "stale",
        "target",
        "used_at",
        "wake_at",
    )

    def __init__(self, app_id: UUID, endpoint_id: UUID, shard: int, lane: Lane) -> None:
        self.app_id = app_id
        self.endpoint_id = endpoint_id
        self.shard = shard
        self.lane = lane
        self.target: Target | None = None
        self.stale = True  # the target must be read (again) before the next attempt
        self.revision = 0  # the target must be at least this new
        self.closed = False  # its shard is not ours any more
        self.halted = False  # its endpoint is about to be disabled
        self.size = 0  # bytes of its payloads, as last counted
        self.ready = False  # in the queue of lanes to go round
        self.wake_at = NEVER  # the timer that is set for it
        self.used_at = 0.0
        self.failing_since: float | None = None
        self.failures = 0

    def reconfigure(self, config: Config, target: Target, limits: Limits, now: float) -> None:
        """Take what was read from the table. Of the health, the table knows only what is settled: once
        something may have been sent, it is kept here."""
        if self.target is None:
            self.failing_since = config.failing_since
            self.failures = config.failures
        self.target = target
        self.stale = target.revision < self.revision
        self.lane.reconfigure(limits, now)

    def note(self, *, delivered: bool, scheduled: bool, state: State, now: float) -> Health | None:
        """Keep the health up to date; what changed of it, to be written. Only scheduled attempts count
        as failures: somebody's test or resend must not disable an endpoint."""
        if delivered:
            if self.failing_since is None and self.failures == 0:
                return None
            self.failing_since = None
            self.failures = 0
        elif scheduled and state is State.PENDING:
            self.failing_since = now if self.failing_since is None else self.failing_since
            self.failures += 1
        else:
            return None
        return Health(self.app_id, self.endpoint_id, self.failing_since, self.failures)
