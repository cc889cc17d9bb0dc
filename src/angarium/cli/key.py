"""`angarium key`: creates, checks and rotates the keys that encrypt endpoint secrets in the database.

To rotate: add a new key in front of ANGARIUM_SECRET_KEY and restart; run `angarium key rewrap`; remove the
old key when nothing is encrypted under it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import typer

from angarium.cli.error import Exit
from angarium.cli.option import Data, Json, Yes, confirm

if TYPE_CHECKING:
    from angarium.service.rewrap import SealedCount
    from angarium.settings import Settings

app = typer.Typer()


@app.command()
def create() -> None:
    """Print a new key for ANGARIUM_SECRET_KEY.

    $ angarium key create
    """
    from angarium.cli.installation import new_key

    print(new_key(os.urandom(32)))


@app.command()
def check(data: Data = None, as_json: Json = False) -> None:
    """Count secrets under the first key, under older keys, and under unknown keys.

    Exit code 1 if some cannot be decrypted.

    $ angarium key check
    """
    _run(data, as_json, rewrap=False)


@app.command()
def rewrap(yes: Yes = False, data: Data = None, as_json: Json = False) -> None:
    """Encrypt all secrets again under the first key. Safe while the service is running.

    $ angarium key rewrap --yes
    """
    _run(data, as_json, rewrap=True, yes=yes)


def _run(data: Data, as_json: bool, *, rewrap: bool, yes: bool = False) -> None:
    from angarium.cli.installation import settings_of
    from angarium.server import process

    count = process.run(_rewrap(settings_of(data), rewrap, yes))
    said = {
        "under the first key": count.current,
        "under an older key": count.old,
        "cannot be decrypted": count.unreadable,
        **({"encrypted again": count.rewrapped} if count.rewrapped else {}),
    }
    if as_json:
        names = {"current": count.current, "old": count.old, "unreadable": count.unreadable}
        print(json.dumps(names | {"rewrapped": count.rewrapped}))
    else:
        print("\n".join(f"{words + ':':<20} {number}" for words, number in said.items()))
    if count.unreadable:
        raise typer.Exit(Exit.FAILED)


async def _rewrap(settings: Settings, rewrap: bool, yes: bool) -> SealedCount:
    from angarium import keys
    from angarium.cli.installation import opened
    from angarium.service.rewrap import Rewrap

    ring = keys.keyring(settings)
    async with opened(settings) as services:
        work = Rewrap(services.database, os.urandom, ring)
        count = await work.check()
        if rewrap and count.old:
            confirm(f"{count.old} secrets will be encrypted again under the first key", yes)
            count = await work.rewrap()
    return count
