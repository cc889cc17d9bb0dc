"""`angarium key`: creates, checks and rotates the keys that encrypt endpoint secrets in the database.

To rotate: add a new key in front of ANGARIUM_SECRET_KEY and restart; run `angarium rekey`, which is also
`angarium key rewrap`; remove the old key when nothing is encrypted under it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from angarium.cli.confirm import Yes, confirm
from angarium.settings import Settings, load

app = typer.Typer(
    help="Create, check and rotate the keys that encrypt secrets in the database.", no_args_is_help=True
)
Data = Annotated[Path | None, typer.Option(help="Data directory, used without a database URL.")]


@app.command()
def new() -> None:
    """Print a new key for ANGARIUM_SECRET_KEY."""
    from angarium.cli.kept import new_key

    print(new_key(os.urandom(32)))


@app.command()
def check(data: Data = None) -> None:
    """Count secrets under the first key, under older keys, and under unknown keys."""
    _run(_settings(data), rewrap=False)


@app.command()
def rewrap(yes: Yes = False, data: Data = None) -> None:
    """Encrypt all secrets again under the first key. Safe while the service is running."""
    _run(_settings(data), rewrap=True, yes=yes)


def _settings(data: Path | None) -> Settings:
    from angarium.cli.kept import with_secrets

    settings = load(overrides={"data_dir": data})
    if (settings.data_dir.expanduser() / "secret-key").exists():
        return with_secrets(settings)
    return settings


def _run(settings: Settings, *, rewrap: bool, yes: bool = False) -> None:
    from angarium.server import process

    process.run(_rewrap(settings, rewrap, yes))


async def _rewrap(settings: Settings, rewrap: bool, yes: bool) -> None:
    from angarium import build
    from angarium.cli.serve import require_schema
    from angarium.server import process
    from angarium.service.rewrap import Rewrap
    from angarium.store.database import Database

    ring = build.keyring(settings)
    async with process.database(settings) as url:
        await require_schema(url)
        database = await Database.connect(url, size=2)
        try:
            work = Rewrap(database, os.urandom, ring)
            count = await work.check()
            if rewrap and count.old:
                confirm(f"{count.old} secrets will be encrypted again under the first key", yes)
                count = await work.rewrap()
        finally:
            await database.close()
    print(f"under the first key: {count.current}")
    print(f"under an older key:  {count.old}")
    print(f"cannot be decrypted: {count.unreadable}")
    if count.rewrapped:
        print(f"encrypted again:     {count.rewrapped}")
    if count.unreadable:
        sys.exit(1)
