"""`angarium endpoint`: manages the endpoints of an application, and sends again what one of them lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from angarium.cli.delivery import DryRun, Wait, follow
from angarium.cli.forward import read_header
from angarium.cli.option import Yes, confirm
from angarium.cli.remote import ApiField, Given, Remote, calling
from angarium.cli.resource import METADATA, ORDER, RATE_LIMIT, SINCE, UID, UNTIL, Resource

SAMPLE: Final = "ep_0ujsswThIGTUYm2K8FjOOfXtY1K"
URL: Final = "https://shop.example.com/webhooks"
WINDOW: Final = replace(SINCE, help="Start: 2h or 7d ago, or a time; at most 14 days ago.", required=True)

ENDPOINT: Final = Resource(
    "endpoint",
    "/app/{app}/endpoint",
    SAMPLE,
    ["id", "uid", "url", "eventTypes", "disabled", "createdAt"],
    fields=[
        ApiField("url", "URL that receives the messages.", option="--to", sample=URL, required=True),
        ApiField(
            "eventTypes",
            "Only these event types or patterns; repeatable.",
            list[str],
            "--events",
            "'order.*'",
        ),
        ApiField("channels", "Only messages of these channels; repeatable.", list[str], "--channel"),
        ApiField("description", "Description."),
        UID,
        RATE_LIMIT,
        ApiField("fifo", "One message at a time, in order of acceptance.", bool),
        ApiField("disabled", "Create it disabled.", bool),
        METADATA,
        ApiField("secret", "Signing secret, whsec_…; default: a new one."),
    ],
    fixed=["secret"],
    filters=[ORDER],
    lost=", and its pending deliveries canceled",
)
app = ENDPOINT.commands("list", "show", "create", "update", "delete")


@app.command()
@calling(ENDPOINT.ref)
def enable(server: Remote, given: Given) -> None:
    """Enable an endpoint. Deliveries that wait for it are sent.

    $ angarium endpoint enable ep_0ujsswThIGTUYm2K8FjOOfXtY1K
    """
    server.show(server.call("PATCH", "/app/{app}/endpoint/{}", given["ref"], body={"disabled": False}))


@app.command()
@calling(ENDPOINT.ref)
def disable(server: Remote, given: Given) -> None:
    """Disable an endpoint. Its pending deliveries are canceled.

    $ angarium endpoint disable ep_0ujsswThIGTUYm2K8FjOOfXtY1K
    """
    server.show(server.call("PATCH", "/app/{app}/endpoint/{}", given["ref"], body={"disabled": True}))


@app.command()
@calling(ENDPOINT.ref, WINDOW, UNTIL)
def recover(
    server: Remote, given: Given, dry_run: DryRun = False, yes: Yes = False, wait: Wait = True
) -> None:
    """Resend what failed or was canceled at an endpoint since a time.

    $ angarium endpoint recover ep_0ujsswThIGTUYm2K8FjOOfXtY1K --since 7d --dry-run
    """
    ref, path = given.pop("ref"), "/app/{app}/endpoint/{}/recover"
    counted = server.call("GET", path, ref, **given)
    count = counted["messages"]
    if dry_run or int(count) == 0:
        server.show(
            counted,
            f"{count} messages would be sent again" if dry_run else "No undelivered messages since then.",
        )
        return
    confirm(f"{count} messages will be sent again to {ref}", yes)
    follow(server, server.call("POST", path, ref, body=given), wait)


@app.command("replay-missing")
@calling(ENDPOINT.ref, WINDOW, UNTIL)
def replay_missing(server: Remote, given: Given, wait: Wait = True) -> None:
    """Send the messages since a time that match an endpoint and have no delivery to it.

    $ angarium endpoint replay-missing ep_0ujsswThIGTUYm2K8FjOOfXtY1K --since 2h
    """
    ref = given.pop("ref")
    follow(server, server.call("POST", "/app/{app}/endpoint/{}/replay-missing", ref, body=given), wait)


@app.command("send-example")
@calling(
    ENDPOINT.ref,
    ApiField("eventType", "Event type whose example is sent.", option="--type", required=True),
    ApiField("exampleIndex", "Which of its examples, from 0.", int, "--index"),
)
def send_example(server: Remote, given: Given) -> None:
    """Send the example of an event type to one endpoint only.

    $ angarium endpoint send-example ep_0ujsswThIGTUYm2K8FjOOfXtY1K --type order.filled
    """
    made = server.call("POST", "/app/{app}/endpoint/{}/send-example", given.pop("ref"), body=given)
    server.show(made, made["id"])


@app.command()
@calling(ENDPOINT.ref, SINCE, UNTIL)
def stats(server: Remote, given: Given) -> None:
    """Count attempts by result, and the deliveries that wait. Default: the last 28 days.

    $ angarium endpoint stats ep_0ujsswThIGTUYm2K8FjOOfXtY1K --since 7d
    """
    server.show(server.call("GET", "/app/{app}/endpoint/{}/stats", given.pop("ref"), **given))


@app.command()
@calling(ENDPOINT.ref)
def secret(server: Remote, given: Given) -> None:
    """Print the signing secret of an endpoint. The audit log records it.

    $ angarium endpoint secret ep_0ujsswThIGTUYm2K8FjOOfXtY1K
    """
    shown = server.call("GET", "/app/{app}/endpoint/{}/secret", given["ref"])
    server.show(shown, "\n".join(map(str, shown.values())))


@app.command("rotate-secret")
@calling(
    ENDPOINT.ref,
    ApiField("key", "The new secret, whsec_…; default: a new one.", option="--secret"),
    ApiField(
        "gracePeriodSeconds", "Seconds for which the old secret also signs; default: a day.", int, "--grace"
    ),
)
def rotate_secret(server: Remote, given: Given) -> None:
    """Replace the signing secret of an endpoint.

    $ angarium endpoint rotate-secret ep_0ujsswThIGTUYm2K8FjOOfXtY1K --grace 3600
    """
    server.raw("POST", "/app/{app}/endpoint/{}/secret/rotate", given.pop("ref"), body=given)
    server.done("the secret is replaced; `angarium endpoint secret` prints it")


@app.command()
@calling(ENDPOINT.ref)
def headers(
    server: Remote,
    given: Given,
    add: Annotated[
        list[str] | None, typer.Option("--set", help="Add or replace a header, 'Name: value'; repeatable.")
    ] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Remove a header, by name; repeatable.")] = None,
) -> None:
    """Show or change the headers that an endpoint's requests have in addition.

    $ angarium endpoint headers ep_0ujsswThIGTUYm2K8FjOOfXtY1K
    $ angarium endpoint headers ep_0ujsswThIGTUYm2K8FjOOfXtY1K --set 'X-Shop: 1' --remove X-Old
    """
    path = "/app/{app}/endpoint/{}/headers"
    try:
        wanted: dict[str, Any] = {"headers": dict(map(read_header, add or [])), "deleteHeaders": remove or []}
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if add or remove:
        server.raw("PATCH", path, given["ref"], body=wanted)
    server.show(server.call("GET", path, given["ref"]))
