"""`angarium delivery` and `attempt`: the log of an application, and sending from it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from angarium.cli.error import Exit
from angarium.cli.option import All, Limit, Yes, confirm, need_filter
from angarium.cli.remote import ApiField, Given, Remote, calling
from angarium.cli.resource import SINCE, UNTIL

COLUMNS: Final = ("timestamp", "status", "responseStatusCode", "errorCode", "eventType", "messageId", "url")
EVENTS: Final = ApiField(
    "eventType", "Event type or pattern, such as order.*.", option="--events", sample="'order.*'"
)
ENDPOINT: Final = ApiField("endpoint", "Only this endpoint, by ID.")
FILTERS: Final = [
    ApiField(
        "status",
        "One of delivered, waiting, retrying, failed, canceled; repeatable.",
        list[str],
        sample="failed",
    ),
    EVENTS,
    ENDPOINT,
    ApiField("httpClass", "5 for 5xx; 0 for no response.", int),
    ApiField("error", "Kind of failure: timeout, dns, tls, …"),
    ApiField("message", "Only this message, by ID or your own event ID."),
    ApiField("tag", "A tag."),
    ApiField("channel", "A channel."),
    SINCE,
    UNTIL,
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count.")]
Rate = Annotated[int, typer.Option(min=1, max=1000, help="Maximum deliveries per second.")]
Wait = Annotated[bool, typer.Option(help="Wait until all of them are queued.")]

delivery = typer.Typer()
attempt = typer.Typer()


@delivery.command("list")
@calling(*FILTERS)
def list_(server: Remote, given: Given, limit: Limit = 50) -> None:
    """List deliveries, newest first, by a filter.

    $ angarium delivery list --status failed --since 2h
    """
    server.table(server.each("/app/{app}/log", limit=limit, **given), COLUMNS, "no deliveries")


@delivery.command("resend")
@calling(*FILTERS)
def resend(
    server: Remote,
    given: Given,
    everything: All = False,
    rate: Rate = 20,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = True,
) -> None:
    """Resend all deliveries that match a filter. Requires a filter, or --all.

    $ angarium delivery resend --status failed --events 'order.*' --since 2h --rate 50
    $ angarium delivery resend --all --dry-run
    """
    need_filter(everything, *given.values())
    resend_matching(server, given, rate, dry_run, yes, wait)


@attempt.command("list")
@calling(
    ApiField("message", "Attempts of this message, by ID or your own event ID.", sample="msg_…"),
    replace(ENDPOINT, help="Attempts of this endpoint, by ID or UID."),
    ApiField("status", "0 success, 1 pending, 2 failed, 3 being retried, 4 canceled.", int),
    ApiField("statusCodeClass", "Class of the response: 200, 400, …; 0: no response.", int, "--code-class"),
    replace(EVENTS, name="eventTypes", kind=list[str], help="Only this event type; repeatable."),
    ApiField("channel", "A channel."),
    ApiField("tag", "A tag."),
    replace(SINCE, name="after", option="--since"),
    replace(UNTIL, name="before", option="--until"),
)
def list_attempts(server: Remote, given: Given, limit: Limit = 50) -> None:
    """List the attempts of a message or of an endpoint, newest first.

    $ angarium attempt list --message msg_0ujsswThIGTUYm2K8FjOOfXtY1K
    $ angarium attempt list --endpoint ep_0ujsswThIGTUYm2K8FjOOfXtY1K --code-class 500
    """
    message, endpoint = given.pop("message", None), given.pop("endpoint", None)
    if message is None and endpoint is None:
        raise typer.BadParameter("name a message with --message, or an endpoint with --endpoint")
    if message is not None:
        found = server.each("/app/{app}/attempt/msg/{}", message, limit=limit, endpointId=endpoint, **given)
    else:
        found = server.each("/app/{app}/attempt/endpoint/{}", endpoint, limit=limit, **given)
    columns = (
        "timestamp",
        "id",
        "statusText",
        "responseStatusCode",
        "responseDurationMs",
        "errorCode",
        "url",
    )
    server.table(found, columns, "no attempts")


ATTEMPT: Final = (
    ApiField("attempt", "ID of the attempt.", argument=True),
    ApiField("message", "ID of its message, or your own event ID.", required=True),
)


@attempt.command("show")
@calling(*ATTEMPT)
def show_attempt(server: Remote, given: Given) -> None:
    """Show an attempt with its response, or what went wrong.

    $ angarium attempt show atmpt_0ujsswThIGTUYm2K8FjOOfXtY1K --message msg_0ujsswThIGTUYm2K8FjOOfXtY1K
    """
    path = "/app/{app}/msg/{}/attempt/{}"
    server.show(server.call("GET", path, given["message"], given["attempt"]))


@attempt.command()
@calling(*ATTEMPT)
def expunge(server: Remote, given: Given, yes: Yes = False) -> None:
    """Delete the response that an attempt has stored. The attempt stays.

    $ angarium attempt expunge atmpt_0ujsswThIGTUYm2K8FjOOfXtY1K --message order-1-filled --yes
    """
    confirm(f"The response of {given['attempt']} will be deleted", yes)
    path = "/app/{app}/msg/{}/attempt/{}/content"
    server.raw("DELETE", path, given["message"], given["attempt"])
    server.done(f"the response of {given['attempt']} is deleted")


def resend_matching(server: Remote, given: Given, rate: int, dry_run: bool, yes: bool, wait: bool) -> None:
    body = {"filter": given, "rate": rate}
    counted = server.call("POST", "/app/{app}/log/resend", body=body | {"dryRun": True})
    if agreed(server, counted, dry_run, yes):
        follow(server, server.call("POST", "/app/{app}/log/resend", body=body), wait)


def agreed(server: Remote, counted: Mapping[str, Any], dry_run: bool, yes: bool) -> bool:
    """Shows the count, and asks; whether to send."""
    number = f"{'' if counted['exact'] else 'more than '}{counted['messages']}"
    if dry_run or int(counted["messages"]) == 0:
        words = f"{number} deliveries would be sent again" if dry_run else "No deliveries match."
        server.show(counted, words)
        return False
    confirm(f"{number} deliveries will be sent again", yes)
    return True


def follow(server: Remote, task: dict[str, Any], wait: bool) -> None:
    """Shows the progress of a background task until it ends."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(
        console=Console(stderr=True), disable=server.as_json or not wait, transient=True
    ) as progress:
        expected = task["data"].get("expected")
        bar = progress.add_task("sending again", total=None if expected is None else int(expected))
        states = server.until_ended("/app/{app}/task/{}", task) if wait else [task]
        for task in states:
            progress.update(bar, completed=int(task["data"].get("messagesSent", 0)))
    sent = task["data"].get("messagesSent", 0)
    reason = f"  {task['data']['error']}" if "error" in task["data"] else ""
    server.show(task, f"{task['id']}  {task['status']}  {sent} sent again{reason}")
    if task["status"] == "failed":
        raise typer.Exit(Exit.FAILED)
