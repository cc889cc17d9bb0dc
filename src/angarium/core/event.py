"""Defines what the parts of Angarium report: messages accepted, attempts recorded, faults, and so on.

A part calls the method of what happened on the `Events` that it was given, once for a batch, not for each of
its items. It does not know who listens (telemetry/sink.py). Methods must be quick and must not wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec

from angarium.core.failure import FailureKind
from angarium.core.hold import Held
from angarium.core.lifecycle import Move
from angarium.core.nouns import DisabledReason

REFUSED: Final = "refused"
"""The reason when the database refused a statement."""


class Attempted(msgspec.Struct, frozen=True, gc=False):
    """An attempt that ended. Times are epoch seconds."""

    app_id: UUID
    product: str
    move: Move  # what became of the delivery
    status: int | None  # of the response; 0: no response, None: no attempt, because the payload is gone
    kind: FailureKind | None  # None: delivered
    manual: bool
    number: int  # of all attempts of the delivery, from 1; 0: none was made
    accepted_at: float  # when the message was accepted
    due_at: float
    started_at: float
    ended_at: float
    held: Held  # why it started late, apart from us
    lateness: float  # seconds by which it started late because of us


class Events:
    """Ignores everything. A listener overrides the methods of what it wants to know."""

    def accepted(
        self, app_ids: Sequence[UUID], deliveries: int, duplicates: int, refused: int, seconds: float
    ) -> None:
        """Messages were committed in one batch, which took `seconds`: the application of each, and how many
        deliveries were written with them. `duplicates` had been accepted before; `refused` were invalid."""

    def fanned_out(self, deliveries: int) -> None:
        """Deliveries of a message that was accepted before were committed."""

    def quota_refused(self, noun: str, count: int) -> None:
        """Messages or endpoints (`noun`) were refused, because an application has reached its limit."""

    def endpoint_created(self) -> None:
        """An endpoint was created."""

    def turned_away(self, reason: str, messages: int) -> None:
        """Messages were not accepted, because there was no room or no database."""

    def recorded(self, attempts: Sequence[Attempted], seconds: float) -> None:
        """The outcomes of attempts were committed in one batch. The transaction took `seconds`."""

    def held_up(self, kind: FailureKind, product: str) -> None:
        """An attempt failed on our side. It is not recorded, and its delivery waits."""

    def disabled(self, reason: DisabledReason) -> None:
        """An endpoint was disabled automatically."""

    def shards(self, change: str, count: int) -> None:
        """Shards were `taken`, `given`, `lost`, or taken from others that were `evicted`."""

    def done(self, job: str) -> None:
        """A periodic job succeeded."""

    def connected(self, pool: str, waited: float) -> None:
        """A database connection was taken from a pool after `waited` seconds."""

    def database_failed(self, pool: str, reason: str) -> None:
        """The database failed, for the reason of a StoreUnavailable, or REFUSED a statement."""

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """The API or a page answered a request. `route`: the template of its path."""

    def logged(self, event: str) -> None:
        """A warning or an error was logged. `event`: its name in `telemetry.EVENTS`."""


NO_EVENTS: Final = Events()
