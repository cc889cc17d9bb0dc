"""`angarium migrate`: migrates the database schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from angarium import telemetry
from angarium.settings import Settings, load


def migrate(
    data: Annotated[Path | None, typer.Option(help="Data directory, used without a database URL.")] = None,
) -> None:
    """Migrate the database schema to this release. Safe while the previous release is running."""
    settings = load(overrides={"data_dir": data})
    telemetry.configure(settings.log_format, settings.log_level)
    from angarium.server import process

    process.run(_migrate(settings))


async def _migrate(settings: Settings) -> None:
    from angarium.server import process
    from angarium.store import migrate as schema

    async with process.database(settings) as url:
        applied = await schema.migrate(url)
        print(f"applied {', '.join(applied)}" if applied else f"already at {await schema.current(url)}")
