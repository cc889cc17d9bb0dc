"""Brings a database that was restored to an earlier time back into use, in steps.

`begin` holds everything: what was sent since is pending again. `Reconcile` records what the
log proves to be delivered, and `Reapply` (service/reapply.py) repeats what must not be undone. `release`
ends the hold, at a pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Final
from uuid import UUID

import msgspec

from angarium.core import ids
from angarium.core.alert import OPERATIONS
from angarium.core.errors import Conflict
from angarium.service.use_case import Subject, UseCase
from angarium.store import fan_out, installation, restore
from angarium.store.restore import PendingCount, Proof
from angarium.store.stretch import LOWEST

SLACK: Final = 5.0  # seconds by which a message may be newer than the time to which a database was restored
BATCH: Final = 1000  # lines recorded in one statement
LONGEST_LINE: Final = 256 * 1024  # bytes
_EVENT: Final = b"delivery.attempted"
_LONGEST_DURATION: Final = 2**31 - 1


class Restore(UseCase):
    """Begins and ends the hold of a restored database."""

    async def begin(self, at: datetime, *, accepting: bool = False) -> list[PendingCount]:
        """Hold the database, which was restored to `at`, in a new epoch. Returns what is pending.

        Raises Conflict if another session of Angarium is connected, or if the database has messages that were
        accepted after `at`.
        """
        now = self._clock.now()
        async with self._database.transaction() as connection:
            await installation.lock(connection)
            if await restore.has_messages_after(connection, at.timestamp() + SLACK):
                raise Conflict(
                    f"the database has messages that were accepted after {at.isoformat()}, so it was not "
                    "restored to that time; give the time to which it was restored"
                )
            if others := await restore.sessions(connection):
                named = ", ".join(f"{name} ({count})" for name, count in sorted(others.items()))
                raise Conflict(
                    f"other processes of Angarium use this database: {named}; stop them, and begin again"
                )
            await installation.hold(connection, at, self._now(), accepting=accepting)
            said = {"restoredTo": at.isoformat(), "accepting": accepting}
            await self._record(connection, "restore.begun", Subject(OPERATIONS), after=said)
        await self._write_deliveries(now)
        async with self._database.connection() as connection:
            return await restore.pending(connection, at, self._clock.now())

    async def release(self, pace: int) -> None:
        """End the hold: deliveries start, at most `pace` a second in all. Raises Conflict without a hold."""
        async with self._database.transaction() as connection:
            if not await installation.release_hold(connection, pace):
                raise Conflict("the database is not held; `angarium restore begin` comes first")
            await self._record(connection, "restore.released", Subject(OPERATIONS), after={"pace": pace})

    async def require_hold(self) -> None:
        """Raises Conflict without a hold."""
        async with self._database.connection() as connection:
            found = await installation.read(connection)
        if found.hold is None:
            raise Conflict("the database is not held; `angarium restore begin` comes first")

    async def _write_deliveries(self, now: float) -> None:
        """Write the deliveries of large messages that are not written yet, so that they can be proven."""
        after: UUID = LOWEST
        while True:
            async with self._database.connection() as connection:
                waiting = await fan_out.applications(connection, after, restore.PAGE)
            if not waiting:
                return
            for app_id in waiting:
                while await fan_out.write(self._database, app_id, now) is not None:
                    pass
            after = waiting[-1]


@dataclass(slots=True)
class Reconciled:
    """Counts of the lines of a log. `malformed`: lines of attempts that cannot be read, with the number of
    the first."""

    lines: int = 0
    attempts: int = 0
    delivered: int = 0
    recorded: int = 0
    malformed: int = 0
    first_malformed: list[int] = field(default_factory=list)


class _Line(msgspec.Struct, gc=False):
    """A line of the log, as far as it is needed. Other lines have other fields."""

    event: str
    message: str
    endpoint: str
    attempt: int
    manual: bool
    move: str
    status: int | None
    duration_ms: int | None
    timestamp: datetime


class Reconcile(Restore):
    """Records deliveries that the log proves. It can be repeated, with the same lines or others."""

    _decoder: Final = msgspec.json.Decoder(_Line)

    async def run(self, log: BinaryIO, found: Reconciled) -> None:
        """Read the lines of a log, and add to the counts. Raises Conflict without a hold."""
        await self.require_hold()
        batch: dict[tuple[UUID, UUID], Proof] = {}
        for line in _lines(log):
            found.lines += 1
            if _EVENT not in line:
                continue
            try:
                proof = self._proof(line)
            except (msgspec.MsgspecError, ValueError, OverflowError):
                found.malformed += 1
                if len(found.first_malformed) < 5:
                    found.first_malformed.append(found.lines)
                continue
            found.attempts += 1
            if proof is None:
                continue
            found.delivered += 1
            key = proof.endpoint_id, proof.message_id
            before = batch.get(key)
            if before is None or before.number < proof.number:
                batch[key] = proof
            if len(batch) >= BATCH:
                found.recorded += await self._deliver(batch)
        found.recorded += await self._deliver(batch)

    def _proof(self, line: bytes) -> Proof | None:
        """The proof of a line; None if it is an attempt that did not deliver. Raises ValueError."""
        read = self._decoder.decode(line)
        message_id = ids.parse(ids.MESSAGE, read.message)
        endpoint_id = ids.parse(ids.ENDPOINT, read.endpoint)
        if message_id is None or endpoint_id is None or read.event != _EVENT.decode() or read.attempt < 0:
            raise ValueError("not an attempt")
        if read.move != "deliver" or read.status is None:
            return None
        duration = min(max(read.duration_ms or 0, 0), _LONGEST_DURATION)
        if not 0 <= read.status <= 999 or not 1 <= read.attempt < 2**31:
            raise ValueError("not an attempt")
        return Proof(
            endpoint_id,
            message_id,
            read.attempt,
            read.timestamp.timestamp(),
            read.status,
            duration,
            read.manual,
        )

    async def _deliver(self, batch: dict[tuple[UUID, UUID], Proof]) -> int:
        if not batch:
            return 0
        async with self._database.connection() as connection:
            count = await restore.deliver(connection, list(batch.values()))
        batch.clear()
        return count


def _lines(log: BinaryIO) -> Iterator[bytes]:
    """The lines of a log. One that is too long is cut, so that it cannot be read."""
    while line := log.readline(LONGEST_LINE):
        yield line
        while not line.endswith(b"\n") and len(line) == LONGEST_LINE:
            line = log.readline(LONGEST_LINE)
