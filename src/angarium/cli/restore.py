"""`angarium restore`: brings a database that was restored to an earlier time back into use, in four steps.

They work on the database, while no server runs or while servers wait. `docs/restoring.md` describes them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Final

import typer

from angarium.cli.error import Exit, note
from angarium.cli.option import Data, Json, Yes, confirm, moment

if TYPE_CHECKING:
    from angarium.clock import Clock
    from angarium.service.reapply import Reapplied
    from angarium.service.restore import Reconciled
    from angarium.settings import Settings
    from angarium.store.database import Database
    from angarium.store.restore import PendingCount

SHOWN: Final = 50  # applications
COUNTS: Final = ("pending", "due now", "due since")

app = typer.Typer()


@app.command()
def begin(
    at: Annotated[str, typer.Option(help="The time to which the database was restored.")],
    accept: Annotated[bool, typer.Option("--accept", help="Accept messages during the hold.")] = False,
    yes: Yes = False,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Hold a restored database: nothing is sent until `release`. Prints what waits for each application.

    Refused while other processes of Angarium use the database. Processes that ran before are refused later.

    $ angarium restore begin --at 2026-11-29T08:00:00Z --yes
    """
    restored_to = moment(at)
    confirm(f"The database was restored to {restored_to.isoformat()}; nothing will be sent", yes)

    async def work(database: Database, clock: Clock, _: Settings) -> list[PendingCount]:
        from angarium.service.restore import Restore

        return await Restore(database, clock, os.urandom).begin(restored_to, accepting=accept)

    pending: list[PendingCount] = _run(data, work)
    lines = [
        {
            "appId": _app(one), "orgId": one.org_id, "uid": one.uid, "name": one.name, "pending": one.pending,
            "due": one.due, "dueSince": one.since,
        }
        for one in pending
    ]  # fmt: skip
    if as_json:
        for line in lines:
            print(json.dumps(line, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    # nothing is shortened in a narrow terminal, and an id stays in one line
    named = Column("application", no_wrap=True), *(Column(one, overflow="fold") for one in ("uid", "name"))
    table = Table(*named, *(Column(one, justify="right") for one in COUNTS), box=None, pad_edge=False)
    for line in lines[:SHOWN]:
        table.add_row(*(escape(str(line[key] or "")) for key in ("appId", "uid", "name")), *_counts(line))
    if len(lines) > SHOWN:
        table.add_row(f"{len(lines) - SHOWN} others", "", "", *_counts(_total(lines[SHOWN:])))
    table.add_row("all", "", "", *_counts(_total(lines)))
    Console().print(table)
    accepts = "Messages are accepted, and wait." if accept else "No messages are accepted."
    print(f"Nothing is sent until `angarium restore release`. {accepts}")


@app.command()
def reconcile(
    attempts: Annotated[
        list[str],
        typer.Option(help="Log with lines `delivery.attempted`, or - for standard input; repeatable."),
    ],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Record the deliveries that the log proves, so that they are not sent again. Can be repeated.

    Exit code 1 if lines of attempts cannot be read.

    $ angarium restore reconcile --attempts angarium.log
    """

    async def work(database: Database, clock: Clock, _: Settings) -> Reconciled:
        from angarium.service.restore import Reconcile, Reconciled

        found = Reconciled()
        for name in attempts:
            with _opened(name) as file:
                await Reconcile(database, clock, os.urandom).run(file, found)
        return found

    found: Reconciled = _run(data, work)
    said = {
        "lines": found.lines,
        "attempts": found.attempts,
        "delivered": found.delivered,
        "recorded": found.recorded,
        "malformed": found.malformed,
    }
    if as_json:
        print(json.dumps(said))
    else:
        print("\n".join(f"{name + ':':<11} {number}" for name, number in said.items()))
    if found.malformed:
        note(f"angarium: lines of attempts that cannot be read, the first: {found.first_malformed}")
        raise typer.Exit(Exit.FAILED)


@app.command()
def apply(
    audit: Annotated[str, typer.Option(help="Output of `angarium audit export`, or - for standard input.")],
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Repeat revocations, deletions and disabled endpoints from exported audit records. Can be repeated.

    Lists what has to be done by hand, such as secrets that were rotated.

    $ angarium restore apply --audit audit.jsonl
    """

    async def work(database: Database, clock: Clock, settings: Settings) -> Reapplied:
        from angarium import build, keys
        from angarium.core.address import AddressPolicy
        from angarium.service.api_key import ApiKeys
        from angarium.service.application import Applications
        from angarium.service.endpoint import Endpoints
        from angarium.service.product import Products
        from angarium.service.reapply import Reapplied, Reapply
        from angarium.service.restore import Restore

        shared = database, clock, os.urandom
        await Restore(*shared).require_hold()
        done = Reapplied()
        endpoints = Endpoints(
            *(*shared, keys.keyring(settings)),
            policy=AddressPolicy(settings.allowed_subnets),
            https_only=settings.https_only,
            products=Products(*shared[:2], build.products_of(settings)),
            quota=build.quota_of(settings),
        )
        work = Reapply(
            *shared, applications=Applications(*shared), endpoints=endpoints, keys=ApiKeys(*shared)
        )
        with _opened(audit) as file:
            await work.run(file, done)
        return done

    done: Reapplied = _run(data, work)
    if as_json:
        counts = {"repeated": done.repeated, "gone": done.gone, "byHand": done.by_hand}
        print(
            json.dumps({"known": done.known, "malformed": done.malformed, **counts, "targets": done.targets})
        )
    else:
        print(f"already there: {done.known}")
        for words, counter in (("repeated", done.repeated), ("no longer there", done.gone)):
            for action, number in sorted(counter.items()):
                print(f"{words}: {action} {number}")
        print("\n".join(f"by hand: {target}" for target in done.targets) or "by hand: nothing")
    if done.malformed:
        note(f"angarium: {done.malformed} lines are not audit records")
        raise typer.Exit(Exit.FAILED)


@app.command()
def release(
    rate: Annotated[
        int, typer.Option(min=1, max=100_000, help="Deliveries a second, of all processes.")
    ] = 50,
    yes: Yes = False,
    data: Data = None,
) -> None:
    """End the hold. Deliveries start, at most `--rate` a second until those that are due have been sent.

    $ angarium restore release --rate 50 --yes
    """
    confirm(f"Deliveries will be sent, at most {rate} a second", yes)

    async def work(database: Database, clock: Clock, _: Settings) -> None:
        from angarium.service.restore import Restore

        await Restore(database, clock, os.urandom).release(rate)

    _run(data, work)
    print(f"released; at most {rate} deliveries a second until the due ones have been sent")


def _run(data: Path | None, work: Callable[[Any, Any, Any], Coroutine[Any, Any, Any]]) -> Any:
    from angarium.server import process

    return process.run(_opened_for(data, work))


async def _opened_for(data: Path | None, work: Callable[[Any, Any, Any], Coroutine[Any, Any, Any]]) -> Any:
    from angarium.cli.installation import opened, settings_of

    settings = settings_of(data)
    async with opened(settings) as services:
        return await work(services.database, services.clock, settings)


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield file


def _app(one: PendingCount) -> str:
    from angarium.core import ids

    return ids.text(ids.APPLICATION, one.app_id)


def _total(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: sum(line[key] for line in lines) for key in ("pending", "due", "dueSince")}


def _counts(line: dict[str, Any]) -> list[str]:
    return [str(line[key]) for key in ("pending", "due", "dueSince")]
