"""`angarium serve`: runs the service in production."""

from __future__ import annotations

import os
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from angarium import telemetry
from angarium.core.errors import SettingsError
from angarium.settings import PREFIX, Settings, load


class Role(StrEnum):
    """The part of the work that a process does."""

    ALL = "all"
    API = "api"
    DISPATCH = "dispatch"


def serve(
    role: Annotated[
        Role, typer.Option(help="api accepts requests, dispatch delivers, all does both.")
    ] = Role.ALL,
    processes: Annotated[int, typer.Option(min=1, max=256, help="Number of processes.")] = 1,
    migrate: Annotated[bool, typer.Option("--migrate", help="Migrate the database schema first.")] = False,
    listen: Annotated[str | None, typer.Option(help="Address and port, e.g. 0.0.0.0:8071.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data directory, used without a database URL.")] = None,
) -> None:
    """Run the service. Needs ANGARIUM_JWT_SECRET and ANGARIUM_SECRET_KEY."""
    settings = load(overrides={"listen": listen, "data_dir": data})
    require_secrets(settings)
    telemetry.configure(settings.log_format, settings.log_level)
    from angarium.server import open_files, process

    open_files.allow(settings, role.value)
    process.run(_serve(settings, role, processes, migrate))


def require_secrets(settings: Settings) -> None:
    """Raises SettingsError with the missing secrets and how to create them."""
    missing = []
    if settings.jwt_secret is None:
        missing.append(f"{PREFIX}JWT_SECRET is not set; create one with `openssl rand -base64 48`")
    if settings.secret_key is None:
        missing.append(f"{PREFIX}SECRET_KEY is not set; create one with `angarium key new`")
    if missing:
        raise SettingsError("\n".join(missing) + "\n(for development, `angarium dev` creates its own)")


async def _serve(settings: Settings, role: Role, processes: int, migrate: bool) -> None:
    from angarium.server import process, supervisor
    from angarium.store import migrate as schema

    stop = process.stop_signal()
    async with process.database(settings) as url:
        if migrate:
            applied = await schema.migrate(url)
            telemetry.logger("serve").info("database.migrated", applied=applied)
        else:
            await require_schema(url)
        url = process.served(settings, url)
        listener = None if role is Role.DISPATCH else process.listen(settings)
        if processes == 1:
            await process.work(settings, url, role.value, listener, stop, lambda: _started(listener))
        else:
            _started(listener)
            await supervisor.supervise(settings, url, role.value, listener, processes, stop)
    telemetry.logger("serve").info("server.stopped", pid=os.getpid())


async def require_schema(url: str) -> None:
    """Raises SettingsError if the schema is older than this release."""
    from angarium.store import migrate as schema

    found, needed = await schema.current(url), schema.head()
    if found is not None and found > needed:
        return  # migrated by a newer release; schemas only grow, so this release runs on it
    if found != needed:
        raise SettingsError(
            f"the database's schema is {found or 'missing'}, this release needs {needed}; run "
            "`angarium migrate` first, or start with --migrate"
        )


def _started(listener: socket.socket | None) -> None:
    from angarium.server import process

    url = None if listener is None else process.url_of(listener)
    telemetry.logger("serve").info("server.started", url=url, pid=os.getpid())
