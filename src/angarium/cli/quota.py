"""`angarium quota` and `angarium usage`: limits of applications, and what they used in each month."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from angarium.cli.remote import ApiField, Given, Remote, calling, cell
from angarium.cli.resource import Clear

app = typer.Typer()

APPLICATION: Final = ApiField("application", "ID or UID of the application.", argument=True)
COLUMNS: Final = (
    "month", "applicationId", "applicationUid", "applicationName", "messages", "deliveriesDelivered",
    "deliveriesExhausted", "deliveriesCanceled", "attempts", "attemptsFailed",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the start of a formula


def limit(text: str) -> int | str:
    """A number, or `unlimited`. Raises BadParameter."""
    if text == "unlimited":
        return text
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise typer.BadParameter(f"{text[:40]} is not a limit; it must be a number or unlimited")
    return int(text)


LIMITS: Final = (
    ApiField("messagesSoft", "Messages a month that are reported: a number, or unlimited.", limit),
    ApiField("messagesHard", "Messages a month, at most: a number, or unlimited.", limit),
    ApiField("endpointsSoft", "Number of endpoints that is reported, or unlimited.", limit),
    ApiField("endpointsHard", "Maximum number of endpoints, or unlimited.", limit),
)


@app.command()
@calling(APPLICATION, app=False)
def show(server: Remote, given: Given) -> None:
    """Show the limits of an application, and what it uses in this month.

    $ angarium quota show customer-1
    """
    _show(server, server.call("GET", "/app/{}/quota", given["application"]))


@app.command("set")
@calling(APPLICATION, *LIMITS, app=False)
def set_limits(server: Remote, given: Given, clear: Clear = None) -> None:
    """Change limits of an application. What is not given stays; --clear makes one the default again.

    $ angarium quota set customer-1 --messages-soft 80000 --messages-hard 100000
    $ angarium quota set customer-1 --endpoints-hard unlimited --clear messages-soft
    """
    ref = given.pop("application")
    names = {one.flag.removeprefix("--"): one.name for one in LIMITS}
    if unknown := set(clear or ()) - set(names):
        raise typer.BadParameter(f"--clear {min(unknown)}: choose from {', '.join(names)}")
    body = given | {names[one]: None for one in clear or ()}
    if not body:
        raise typer.BadParameter("nothing to change; give an option")
    _show(server, server.call("PATCH", "/app/{}/quota", ref, body=body))


@calling(
    replace(APPLICATION, argument=False, help="Only this application, by ID or UID."),
    ApiField("since", "From this month on, such as 2026-01."),
    ApiField("until", "Up to this month, such as 2026-11."),
    app=False,
)
def usage(
    server: Remote,
    given: Given,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with the API's fields.")] = False,
) -> None:
    """Print what each application used in each month, for billing.

    $ angarium usage --since 2026-10 --until 2026-10
    $ angarium usage --application customer-1 --csv
    """
    if as_csv and server.as_json:
        raise typer.BadParameter("choose one of --csv and --json")
    items = server.each("/usage", **given)
    if as_csv:
        _write(items)
    else:
        server.table(items, COLUMNS, "no usage")


def _show(server: Remote, quota: Mapping[str, Any]) -> None:
    own = quota["own"]
    lines = [f"month {quota['month']} (UTC), ends at {quota['endsAt']}"]
    for noun in ("messages", "endpoints"):
        one = quota[noun]
        limits = [
            f"{level} limit {'none' if one[level] is None else one[level]}"
            f"{'' if f'{noun}{level.title()}' in own else ' (default)'}"
            for level in ("soft", "hard")
        ]
        lines.append(f"{noun:<9} {one['used']} used, {', '.join(limits)}")
    server.show(quota, "\n".join(lines))


def _write(items: Iterable[Mapping[str, Any]]) -> None:
    """Print CSV. A text that a spreadsheet would calculate gets an apostrophe in front."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in items:
        texts = [cell(item.get(name)) for name in COLUMNS]
        writer.writerow([f"'{text}" if text.startswith(_FORMULA) else text for text in texts])
