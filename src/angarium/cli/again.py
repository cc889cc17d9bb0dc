"""`angarium recover`, `replay` and `dlq`: resend deliveries in bulk, after a count and a confirmation."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from angarium.cli import remote
from angarium.cli.confirm import All, Yes, confirm, need_filter

POLL: Final = 0.5  # seconds
STATUSES: Final = ("delivered", "waiting", "retrying", "failed", "canceled")

Since = Annotated[str, typer.Option(help="Start: 2h or 7d ago, or a time; at most 14 days ago.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count.")]
Wait = Annotated[bool, typer.Option(help="Wait until all of them are queued.")]


def recover(
    endpoint: Annotated[str, typer.Argument(help="ID or UID of the endpoint.")],
    since: Since,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = True,
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """Resend what failed or was canceled at an endpoint since a time."""
    server = remote.Remote(url, token, app)
    begin = remote.time_ago(since)
    place = f"/endpoint/{quote(endpoint, safe='')}/recover"
    count = server.call("GET", place, since=begin)["messages"]
    if dry_run:
        remote.show({"messages": count}, as_json, f"{count} messages would be sent again")
        return
    if not count:
        remote.show({"messages": 0}, as_json, "No undelivered messages since then.")
        return
    confirm(f"{count} messages will be sent again to {endpoint}", yes)
    _follow(server, server.call("POST", place, {"since": begin}), wait, as_json)


def replay(
    status: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(STATUSES)}; repeatable.")
    ] = None,
    events: Annotated[str | None, typer.Option(help="Event type or pattern, such as order.*.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="ID of the endpoint.")] = None,
    http_class: Annotated[
        int | None, typer.Option(min=0, max=5, help="5 for 5xx; 0 for no response.")
    ] = None,
    error: Annotated[str | None, typer.Option(help="Kind of failure: timeout, dns, tls, …")] = None,
    tag: Annotated[str | None, typer.Option(help="A tag.")] = None,
    channel: Annotated[str | None, typer.Option(help="A channel.")] = None,
    since: Annotated[str | None, typer.Option(help="Start: 2h or 7d ago, or a time.")] = None,
    until: Annotated[str | None, typer.Option(help="End: 1h ago, or a time.")] = None,
    everything: All = False,
    rate: Annotated[int, typer.Option(min=1, max=1000, help="Maximum deliveries per second.")] = 20,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = True,
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """Resend all deliveries that match a filter. Requires a filter, or --all."""
    need_filter(everything, status, events, endpoint, http_class, error, tag, channel, since, until)
    server = remote.Remote(url, token, app)
    wanted = {
        "status": status or None,
        "eventType": events,
        "endpoint": endpoint,
        "httpClass": http_class,
        "error": error,
        "tag": tag,
        "channel": channel,
        "since": None if since is None else remote.time_ago(since),
        "until": None if until is None else remote.time_ago(until),
    }
    _resend(server, wanted, rate, dry_run, yes, wait, as_json)


dlq = typer.Typer(help="List and resend undelivered messages of an application.", no_args_is_help=True)
_UNDELIVERED: Final = {"status": ["failed", "canceled"]}


@dlq.command("ls")
def ls(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Maximum number, newest first.")] = 50,
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """List dead letters, newest first."""
    server = remote.Remote(url, token, app)
    for shown, line in enumerate(server.client.each(server.path("/log"), **_UNDELIVERED)):
        if shown == limit:
            return
        status = line["responseStatusCode"] or line["errorCode"] or "not tried"
        text = f"{line['timestamp']}  {line['status']:<8}  {status!s:<16}  {line['eventType']}  "
        remote.show(line, as_json, text + f"{line['messageId']}  {line['url']}")


@dlq.command("replay")
def replay_undelivered(
    endpoint: Annotated[str | None, typer.Option(help="Only this endpoint, by ID.")] = None,
    since: Annotated[str | None, typer.Option(help="Start: 2h or 7d ago, or a time.")] = None,
    everything: All = False,
    rate: Annotated[int, typer.Option(min=1, max=1000, help="Maximum deliveries per second.")] = 20,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = True,
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """Resend dead letters that match a filter. Requires a filter, or --all."""
    need_filter(everything, endpoint, since)
    server = remote.Remote(url, token, app)
    begin = None if since is None else remote.time_ago(since)
    _resend(server, {**_UNDELIVERED, "endpoint": endpoint, "since": begin}, rate, dry_run, yes, wait, as_json)


def _resend(
    server: remote.Remote,
    wanted: dict[str, Any],
    rate: int,
    dry_run: bool,
    yes: bool,
    wait: bool,
    as_json: bool,
) -> None:
    body = {"filter": {name: value for name, value in wanted.items() if value is not None}, "rate": rate}
    counted = server.call("POST", "/log/resend", {**body, "dryRun": True})
    number = f"{'' if counted['exact'] else 'more than '}{counted['messages']}"
    if dry_run:
        remote.show(counted, as_json, f"{number} deliveries would be sent again")
        return
    if not counted["messages"]:
        remote.show(counted, as_json, "No deliveries match.")
        return
    confirm(f"{number} deliveries will be sent again", yes)
    _follow(server, server.call("POST", "/log/resend", body), wait, as_json)


def _follow(server: remote.Remote, task: dict[str, Any], wait: bool, as_json: bool) -> None:
    """Shows the progress of a background task until it ends."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=as_json or not wait, transient=True) as progress:
        bar = progress.add_task("sending again", total=task["data"].get("expected"))
        while wait and task["status"] == "running":
            time.sleep(POLL)
            task = server.call("GET", f"/task/{task['id']}")
            progress.update(bar, completed=task["data"].get("messagesSent", 0))
    sent = task["data"].get("messagesSent", 0)
    remote.show(task, as_json, f"{task['id']}  {task['status']}  {sent} sent again")
    if task["status"] == "failed":
        raise typer.Exit(remote.FAILED)
