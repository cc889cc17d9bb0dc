"""`angarium serve`, `migrate` and `settings`: run the service in production."""

from __future__ import annotations

import json
import os
import signal
import socket
from enum import StrEnum
from typing import Annotated

import typer

from angarium import settings as module
from angarium import telemetry
from angarium.cli.option import Data, Json
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
    data: Data = None,
) -> None:
    """Run the service. Needs ANGARIUM_JWT_SECRET and ANGARIUM_SECRET_KEY.

    $ angarium serve --migrate --listen 0.0.0.0:8071 --processes 2
    """
    settings = load(overrides={"listen": listen, "data_dir": data})
    require_secrets(settings)
    _require_otel(settings)
    telemetry.configure(settings.log_format, settings.log_level)
    _warn_of_unknown()
    from angarium.server import open_files, process

    open_files.allow(settings, role.value)
    process.run(_serve(settings, role, processes, migrate))


def migrate(data: Data = None) -> None:
    """Migrate the database schema to this release. Safe while the previous release is running.

    $ angarium migrate
    """
    settings = load(overrides={"data_dir": data})
    telemetry.configure(settings.log_format, settings.log_level)
    _warn_of_unknown()
    from angarium.server import process

    process.run(_migrate(settings))


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
    as_json: Json = False,
) -> None:
    """Show all settings with their effective values. Secrets are hidden.

    $ angarium settings
    $ angarium settings --json
    """
    if markdown:
        print(module.markdown(), end="")
        return
    found = load()
    lines = [
        {
            "name": PREFIX + name.upper(),
            "value": _shown(getattr(found, name)),
            "meaning": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        print("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("variable", "value", "meaning")
    for line in lines:
        table.add_row(*line.values())
    Console().print(table)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{part:g}s" if isinstance(part, float) else str(part) for part in value)
    return "" if value is None else str(value)


def _warn_of_unknown() -> None:
    if names := module.unknown(os.environ):  # `load` refuses them unless they are to be ignored
        telemetry.logger("settings").warning("settings.ignored", names=names)


async def _migrate(settings: Settings) -> None:
    from angarium.server import process
    from angarium.store import migrate as schema

    async with process.database(settings) as url:
        applied = await schema.migrate(url)
        print(f"applied {', '.join(applied)}" if applied else f"already at {await schema.current(url)}")


def require_secrets(settings: Settings) -> None:
    """Raises SettingsError with the missing secrets and how to create them."""
    missing = []
    if settings.jwt_secret is None:
        missing.append(f"{PREFIX}JWT_SECRET is not set; create one with `openssl rand -base64 48`")
    if settings.secret_key is None:
        missing.append(f"{PREFIX}SECRET_KEY is not set; create one with `angarium key create`")
    if missing:
        raise SettingsError("\n".join(missing) + "\n(for development, `angarium dev` creates its own)")


def _require_otel(settings: Settings) -> None:
    from angarium.server.otlp import require_otel

    require_otel(settings)


async def _serve(settings: Settings, role: Role, processes: int, migrate: bool) -> None:
    from angarium.cli.installation import require_schema
    from angarium.core.probe import StartStep
    from angarium.server import process, supervisor
    from angarium.server.presence import Presence
    from angarium.store import migrate as schema

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until keys can be read again
    shutdown = process.stop_signal(settings)
    presence = Presence(processes)
    presence.vitals.done(StartStep.SETTINGS, StartStep.SECRETS)
    ops_listener = process.listen_ops(settings)
    async with presence.shown(ops_listener, shutdown), process.database(settings) as url:
        if migrate:
            applied = await schema.migrate(url)
            telemetry.logger("serve").info("database.migrated", applied=applied)
        else:
            await require_schema(url)
        presence.vitals.done(StartStep.SCHEMA)
        url = process.served(settings, url)
        listener = None if role is Role.DISPATCH else process.listen(settings)

        def ready() -> None:
            _started(listener)
            presence.ready()

        if processes == 1:
            await process.work(
                *(settings, url, role.value, listener, shutdown, ready),
                vitals=presence.vitals,
                routes=presence.routes,
            )
        else:
            _started(listener)
            work = supervisor.ChildWork(settings, url, role.value, listener)
            await supervisor.supervise(work, processes, shutdown, presence)
    telemetry.logger("serve").info("server.stopped", pid=os.getpid())


def _started(listener: socket.socket | None) -> None:
    from angarium.server import process

    url = None if listener is None else process.url_of(listener)
    telemetry.logger("serve").info("server.started", url=url, pid=os.getpid())
