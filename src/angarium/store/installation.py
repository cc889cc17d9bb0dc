"""Reads what the database requires of the processes that use it: the oldest release, and the epoch.

The epoch is drawn with the schema and again by a restore. A process that began in another epoch has
deliveries in memory that the database does not know, or knows otherwise, so it must stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from angarium.core.errors import ProcessRefused
from angarium.store import release
from angarium.store.connection import Connection
from angarium.store.sql import queries


@dataclass(frozen=True, slots=True)
class Installation:
    """The one row of `control.installation`."""

    oldest_release: str
    epoch: UUID

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
    return Installation(row["oldest_release"], row["epoch"])


async def raise_floor(connection: Connection, oldest: str) -> None:
    """Refuse processes that are older than this release."""
    await queries.installation_raise_floor(connection, oldest=oldest)
