"""`angarium audit`: lists the audit log over the API, and exports it from the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from angarium.cli.option import Data, moment
from angarium.cli.resource import audit as app
from angarium.core import ids

if TYPE_CHECKING:
    from angarium.settings import Settings

__all__ = ["app"]


@app.command()
def export(
    since: Annotated[
        str | None,
        typer.Option(help="Start after this record, audit_…, or at a time, such as 2h ago."),
    ] = None,
    data: Data = None,
) -> None:
    """Print the audit records of all organizations as JSON lines, oldest first, from the database.

    Keep them outside of the database, for `angarium restore apply`. Let exports overlap by some minutes: a
    record may be committed after one with a later id.

    $ angarium audit export --since 1d
    """
    from angarium.server import process
    from angarium.settings import load

    process.run(_export(load(overrides={"data_dir": data}), _start(since)))


def _start(since: str | None) -> UUID:
    if since is None:
        return UUID(int=0)
    if since.startswith("audit_"):
        found = ids.parse("audit_", since)
        if found is None:
            raise typer.BadParameter(f"{since} is not the id of a record")
        return found
    return ids.lowest(moment(since).timestamp())


async def _export(settings: Settings, after: UUID) -> None:
    import msgspec

    from angarium.cli.installation import opened
    from angarium.service.reapply import export

    async with opened(settings) as services:
        async for record in export(services.database, after):
            print(msgspec.json.encode(record).decode())
