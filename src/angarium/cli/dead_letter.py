"""`angarium deadletter`: lists and resends undelivered messages of an organization, over its database.

The same over the API: `POST /api/v1/app/{app}/endpoint/{endpoint}/recover` with the organization's token.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from angarium.cli.confirm import All, Yes, confirm, need_filter
from angarium.cli.moment import moment
from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.settings import Settings, load

if TYPE_CHECKING:
    from angarium.service.operator import Operator
    from angarium.store.dead_letter import DeadLetter, Undelivered

app = typer.Typer(help="List and resend undelivered messages of an organization.", no_args_is_help=True)

Org = Annotated[str | None, typer.Option(help="Organization, org_…; default: the data directory's.")]
App = Annotated[str | None, typer.Option("--app", help="Only this application, by ID or UID.")]
Endpoint = Annotated[str | None, typer.Option(help="Only this endpoint, by ID.")]
Since = Annotated[str, typer.Option(help="Start: 36h or 7d ago, or a time such as 2026-11-20T08:00:00Z.")]
Data = Annotated[Path | None, typer.Option(help="Data directory, used without a database URL.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


@app.command("list")
def list_(
    org: Org = None,
    application: App = None,
    endpoint: Endpoint = None,
    since: Since = "14d",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number, newest first.")] = 100,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """List dead letters, newest first."""
    settings = load(overrides={"data_dir": data})

    async def work(service: Operator) -> None:
        found = await service.dead_letters(
            _org(settings, org), application, _endpoint(endpoint), _since(since), limit
        )
        _print([_letter(one) for one in found], as_json, "no dead letters")

    _run(settings, work)


@app.command()
def replay(
    org: Org = None,
    application: App = None,
    endpoint: Endpoint = None,
    since: Annotated[
        str | None, typer.Option(help="Start: 36h or 7d ago, or a time; at most 14 days ago.")
    ] = None,
    everything: All = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be sent.")] = False,
    yes: Yes = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Resend dead letters that match a filter, or --all, with the same IDs and payloads.

    The service sends them; if it is not running, it does so after its next start.
    """
    need_filter(everything, application, endpoint, since)
    settings = load(overrides={"data_dir": data})

    async def work(service: Operator) -> None:
        org_id, start = _org(settings, org), _since(since or "14d")
        undelivered = await service.undelivered_since(org_id, application, _endpoint(endpoint), start)
        count = sum(one.number for one in undelivered if not one.disabled)
        if count and not dry_run:
            confirm(f"{count} messages of {org_id} will be sent again", yes)
            await service.recover(org_id, undelivered, since=start)
        _print([_undelivered(one, dry_run) for one in undelivered], as_json, "nothing to replay")

    _run(settings, work)


def _letter(one: DeadLetter) -> dict[str, Any]:
    return {
        "message": ids.text(ids.MESSAGE, one.message_id),
        "event_type": one.event_type,
        "status": "dead" if one.state == 2 else "canceled",
        "failed_attempts": one.failures,
        "app": ids.text(ids.APPLICATION, one.app_id),
        "endpoint": ids.text(ids.ENDPOINT, one.endpoint_id),
        "url": one.url,
    }


def _undelivered(one: Undelivered, dry_run: bool) -> dict[str, Any]:
    result = "disabled, skipped" if one.disabled else "would be replayed" if dry_run else "replaying"
    return {
        "endpoint": ids.text(ids.ENDPOINT, one.endpoint_id),
        "app": ids.text(ids.APPLICATION, one.app_id),
        "messages": one.number,
        "result": result,
        "url": one.url,
    }


def _print(rows: list[dict[str, Any]], as_json: bool, nothing: str) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        print(nothing)
        return
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in rows[0]}
    for row in ({name: name for name in widths}, *rows):
        print("  ".join(str(row[name]).ljust(width) for name, width in widths.items()).rstrip())


def _org(settings: Settings, org: str | None) -> str:
    if org is not None:
        return org
    path = settings.data_dir.expanduser() / "organization"
    if not path.exists():
        raise SettingsError(
            f"--org is missing, and {settings.data_dir} is not a data directory of `angarium dev`"
        )
    return path.read_text().strip()


def _endpoint(ref: str | None) -> UUID | None:
    """An endpoint's id, with the prefix of any product."""
    if ref is None:
        return None
    found = ids.parse(ref[: ref.rfind("_") + 1], ref)
    if found is None:
        raise SettingsError(f"--endpoint: {ref} is not an endpoint ID")
    return found


def _since(text: str) -> float:
    """Epoch seconds of a time or a duration ago."""
    try:
        return moment(text).timestamp()
    except ValueError as error:
        raise SettingsError(f"--since: {error}") from error


def _run(settings: Settings, work: Callable[[Operator], Any]) -> None:
    from angarium.server import process

    async def main() -> None:
        async with _service(settings) as service:
            await work(service)

    process.run(main())


@asynccontextmanager
async def _service(settings: Settings) -> AsyncIterator[Operator]:
    from angarium.cli.serve import require_schema
    from angarium.clock import SystemClock
    from angarium.server import process
    from angarium.service.operator import Operator
    from angarium.service.replay import Replay
    from angarium.store.database import Database

    process.sign()
    async with process.database(settings) as url:
        await require_schema(url)
        database = await Database.connect(url, size=2)
        clock = SystemClock()
        try:
            clock.anchor(await database.time())
            yield Operator(database, clock, Replay(database, clock, os.urandom))
        finally:
            await database.close()
