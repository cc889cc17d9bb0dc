"""Reads what the database requires of the processes that use it: the oldest release, the epoch, and a hold.

While a hold lasts nothing is sent: the database was restored, and what was sent since is pending again.
After it deliveries are paced, until no process has to wait for the pace any more.

The epoch is drawn with the schema and again by a restore. A process that began in another epoch has
deliveries in memory that the database does not know, or knows otherwise, so it must stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.core.errors import ProcessRefused
from angarium.store import release
from angarium.store.connection import Connection
from angarium.store.sql import queries

QUIET: Final = 30.0  # seconds in which no process had to wait for the pace, after which it ends


@dataclass(frozen=True, slots=True)
class RestoreHold:
    """Nothing is sent since `since`. `accepting`: messages are accepted meanwhile."""

    since: datetime
    restored_to: datetime
    accepting: bool


@dataclass(frozen=True, slots=True)
class Installation:
    """The one row of `control.installation`."""

    oldest_release: str
    epoch: UUID
    hold: RestoreHold | None = None
    pace: int | None = None  # deliveries a second of all processes together

    def require_release(self) -> None:
        """Raise ProcessRefused if this release is too old for the schema."""
        if release.is_older(release.current(), self.oldest_release):
            raise ProcessRefused(
                f"this is Angarium {release.current()}, and the database needs {self.oldest_release} or "
                "newer, because a migration removed what older releases use; install a newer release"
            )


async def read(connection: Connection) -> Installation:
    """The installation of this database."""
    row = await queries.installation_read(connection)
    hold = None
    if row["held_at"] is not None:
        hold = RestoreHold(row["held_at"], row["restored_to"], row["accepting"])
    return Installation(row["oldest_release"], row["epoch"], hold, row["pace"])


async def raise_floor(connection: Connection, oldest: str) -> None:
    """Refuse processes that are older than this release."""
    await queries.installation_raise_floor(connection, oldest=oldest)


async def lock(connection: Connection) -> None:
    """Keep other processes from reading the installation until the transaction ends."""
    await queries.installation_lock(connection)


async def hold(connection: Connection, at: datetime, now: datetime, *, accepting: bool) -> None:
    """Hold everything from now on, in a new epoch. `at`: the time to which the database was restored."""
    await queries.installation_hold(connection, at=at, now=now, accepting=accepting)


async def release_hold(connection: Connection, pace: int) -> bool:
    """End the hold. Returns whether there was one."""
    return bool(await queries.installation_release(connection, pace=pace))


async def note_pace(connection: Connection, *, limited: bool) -> None:
    """Tell the others that this process had to wait for the pace, or end the pace if none had to lately."""
    if limited:
        await queries.installation_paced(connection)
    else:
        await queries.installation_end_pace(connection, quiet=QUIET)
