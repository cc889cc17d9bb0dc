"""`angarium dead-letter`: lists and resends deliveries that are exhausted or canceled and were not delivered.

With `--database` they are those of a whole organization, and no server is needed. The answers are the API's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from angarium.cli.delivery import COLUMNS, ENDPOINT, EVENTS, DryRun, Rate, Wait, agreed, resend_matching
from angarium.cli.option import All, Data, Database, DatabaseOrg, Limit, Yes, need_filter
from angarium.cli.remote import Given, Remote, calling
from angarium.cli.resource import SINCE
from angarium.core import ids

if TYPE_CHECKING:
    from angarium.core.log_filter import LogFilter
    from angarium.core.nouns import Application
    from angarium.service.services import DatabaseServices

UNDELIVERED: Final = {"status": ["failed", "canceled"]}

app = typer.Typer()


@app.command("list")
@calling(ENDPOINT, EVENTS, SINCE)
def list_(
    server: Remote,
    given: Given,
    limit: Limit = 100,
    database: Database = False,
    org: DatabaseOrg = None,
    data: Data = None,
) -> None:
    """List dead letters, newest first.

    $ angarium dead-letter list --since 7d
    $ angarium dead-letter list --database --org org_23rb8YdGqMT0qIzpgGwdXfHirMu
    """
    if database:
        found = _run(_list, org, data, server.named_app, given, limit)
    else:
        found = server.each("/app/{app}/log", limit=limit, **given, **UNDELIVERED)
    server.table(found, COLUMNS, "no dead letters")


@app.command()
@calling(ENDPOINT, EVENTS, SINCE)
def resend(
    server: Remote,
    given: Given,
    everything: All = False,
    rate: Rate = 20,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = True,
    database: Database = False,
    org: DatabaseOrg = None,
    data: Data = None,
) -> None:
    """Resend dead letters that match a filter, with the same IDs and payloads. Requires a filter, or --all.

    With --database the service sends them; if it is not running, it does so after its next start.

    $ angarium dead-letter resend --all
    $ angarium dead-letter resend --endpoint ep_0ujsswThIGTUYm2K8FjOOfXtY1K --since 7d --dry-run
    """
    if database:
        need_filter(everything, server.named_app, *given.values())
        _run(_resend, server, org, data, given, rate, dry_run, yes)
    else:
        need_filter(everything, *given.values())
        resend_matching(server, given | UNDELIVERED, rate, dry_run, yes, wait)


def _run(work: Callable[..., Any], *given: Any) -> Any:
    from angarium.server import process

    return process.run(work(*given))


async def _list(
    org: str | None, data: Path | None, app_ref: str | None, given: Given, limit: int
) -> list[dict[str, Any]]:
    from msgspec import to_builtins

    from angarium.api.native.log import line_out

    found: list[dict[str, Any]] = []  # the newest so far
    async with _opened(org, data, app_ref, given) as (services, applications, wanted):
        for application in applications:
            cursor, left = None, limit
            while left > 0:
                page = await services.log.page(application.id, wanted, cursor, limit=left)
                waits = await services.overdue.of(application.id, (line.row for line in page.lines))
                found += [to_builtins(line_out(line, waits)) for line in page.lines]
                cursor, left = page.older, left - len(page.lines)
                if cursor is None:
                    break
            found = sorted(found, key=lambda line: str(line["timestamp"]), reverse=True)[:limit]
    return found


async def _resend(
    server: Remote, org: str | None, data: Path | None, given: Given, rate: int, dry_run: bool, yes: bool
) -> None:
    from msgspec import to_builtins

    from angarium.api.native.replay import task_out

    async with _opened(org, data, server.named_app, given) as (services, applications, wanted):
        counts = [await services.replay.count_matching(one.id, wanted) for one in applications]
        counted = {
            "messages": sum(count.number for count in counts),
            "exact": all(count.exact for count in counts),
        }
        if not agreed(server, counted, dry_run, yes):
            return
        for application, count in zip(applications, counts, strict=True):
            if count.number:
                task = await services.replay.resend_matching(
                    application.org_id, application.id, wanted, rate=rate, expected=count
                )
                server.show(
                    to_builtins(task_out(task)), f"{count.number} of {application.name} will be sent again"
                )


@asynccontextmanager
async def _opened(
    org: str | None, data: Path | None, app_ref: str | None, given: Given
) -> AsyncIterator[tuple[DatabaseServices, list[Application], LogFilter]]:
    """The use cases, the applications to look at, and the filter."""
    from angarium.api.native.log import FilterIn
    from angarium.cli import installation
    from angarium.settings import load

    settings = load(overrides={"data_dir": data})
    org_id = org or installation.organization_of(settings)
    wanted = given | UNDELIVERED
    if "endpoint" in wanted:  # with the prefix of any product
        wanted["endpoint"] = ids.ENDPOINT + wanted["endpoint"].rpartition("_")[2]
    async with installation.opened(settings) as services:
        applications = [await services.application.find(org_id, app_ref)] if app_ref else []
        while not app_ref:
            cursor = applications[-1].id if applications else None
            more = await services.application.page(org_id, cursor, ascending=True, limit=1000)
            applications += more
            if not more:
                break
        yield services, applications, FilterIn.model_validate(wanted).wanted()
