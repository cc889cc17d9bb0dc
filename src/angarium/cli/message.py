"""`angarium message`: sends, shows and follows messages over the API."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from angarium import json_text
from angarium.cli.delivery import EVENTS, FILTERS
from angarium.cli.error import Exit, note
from angarium.cli.option import Limit, Yes, confirm, content, moment
from angarium.cli.remote import ApiField, Given, Remote, calling
from angarium.cli.resource import SINCE, UNTIL
from angarium.client.angarium import message_body
from angarium.client.error import Unreachable
from angarium.message_form import check_payload

POLL: Final = 1.0  # seconds between requests of tail
TROUBLE: Final = ["failed", "retrying", "canceled"]
MESSAGE: Final = ApiField("message", "Message ID, or your own event ID.", argument=True)

app = typer.Typer()


@app.command()
@calling()
def send(
    server: Remote,
    event_type: Annotated[str, typer.Option("--type", help="Event type, such as order.filled.")],
    data: Annotated[str, typer.Option(help="The payload: JSON, @file, or - for standard input.")],
    event_id: Annotated[
        str | None, typer.Option(help="Your own ID; an application accepts each only once.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; repeatable.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="A channel; repeatable.")] = None,
    deliver_at: Annotated[
        str | None, typer.Option(help="Time of the first attempt, up to 24 hours ahead.")
    ] = None,
) -> None:
    """Send a message. The payload is delivered byte for byte.

    $ angarium message send --type order.filled --data '{"id": "ord_1"}'
    $ angarium message send --type order.filled --data @order.json --event-id order-1-filled
    """
    body = message_body(
        event_type,
        payload(data),
        event_id=event_id,
        tags=tag or (),
        channels=channel or (),
        deliver_at=None if deliver_at is None else moment(deliver_at),
    )
    post(server, body)


def post(server: Remote, body: bytes, more: str = "") -> None:
    """Sends a message and prints its id, and `more`."""
    made = server.raw("POST", "/app/{app}/msg", body=body)
    message_id = json.loads(json_text.member(made, "id") or "null")
    print(json_text.compact(made) if server.as_json else message_id + more, flush=True)


def payload(given: str) -> bytes:
    """The payload that an option gives. Raises BadParameter if it is not a JSON object."""
    data = content(given)
    try:
        check_payload(data)
    except ValueError as error:
        raise typer.BadParameter(f"the payload is not a JSON object: {error}") from error
    return data


@app.command("list")
@calling(
    replace(EVENTS, name="eventTypes", kind=list[str], help="Only this event type; repeatable."),
    ApiField("channel", "A channel."),
    ApiField("tag", "A tag."),
    replace(SINCE, name="after", option="--since"),
    replace(UNTIL, name="before", option="--until"),
)
def list_(server: Remote, given: Given, limit: Limit = 50) -> None:
    """List messages, newest first.

    $ angarium message list --events order.filled --since 2h
    """
    columns = ("timestamp", "id", "eventType", "eventId", "channels", "tags")
    server.table(server.each("/app/{app}/msg", limit=limit, **given), columns, "no messages")


@app.command()
@calling(MESSAGE)
def show(server: Remote, given: Given) -> None:
    """Show a message with its deliveries, attempts and errors. With --json, the message alone.

    $ angarium message show msg_0ujsswThIGTUYm2K8FjOOfXtY1K
    """
    ref = given["message"]
    raw = server.raw("GET", "/app/{app}/msg/{}", ref)
    if server.as_json:
        print(json_text.compact(raw), flush=True)
        return
    found = json_text.read(raw)
    print(f"{found['id']}  {found['eventType']}  {found['timestamp']}")
    print(json_text.indented(json_text.member(raw, "payload") or "null"))
    attempts = list(server.each("/app/{app}/attempt/msg/{}", ref))
    for line in server.each("/app/{app}/log", message=ref):
        following = f", next attempt {line['nextAttempt']}" if line["nextAttempt"] else ""
        print(f"\n{line['url']}  {line['status']} after {line['attempts']} attempts{following}")
        for attempt in attempts:
            if attempt["endpointId"] == line["endpointId"]:
                status = (
                    "no response" if attempt["responseStatusCode"] == "0" else attempt["responseStatusCode"]
                )
                print(f"  {attempt['timestamp']}  {status}  {attempt['responseDurationMs']} ms")
                if attempt.get("error"):
                    print(f"    {attempt['error']}")


@app.command()
@calling(MESSAGE)
def resend(
    server: Remote,
    given: Given,
    endpoint: Annotated[
        list[str] | None,
        typer.Option(help="Only to this endpoint; repeatable. Default: all of its deliveries."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Resend a message, also if it was delivered. Exit code 1 if it has no deliveries.

    $ angarium message resend msg_0ujsswThIGTUYm2K8FjOOfXtY1K --endpoint ep_0ujsswThIGTUYm2K8FjOOfXtY1K
    """
    ref = given["message"]
    endpoints = endpoint or [line["endpointId"] for line in server.each("/app/{app}/log", message=ref)]
    if endpoint is None and len(endpoints) > 1:
        confirm(f"{ref} will be sent again to {len(endpoints)} endpoints", yes)
    for one in endpoints:
        server.raw("POST", "/app/{app}/msg/{}/endpoint/{}/resend", ref, one)
    server.show({"message": ref, "endpoints": endpoints}, f"sent again to {len(endpoints)} endpoints")
    if not endpoints:
        raise typer.Exit(Exit.FAILED)


@app.command()
@calling(MESSAGE)
def expunge(server: Remote, given: Given, yes: Yes = False) -> None:
    """Delete the payload of a message. The message and its attempts stay.

    $ angarium message expunge msg_0ujsswThIGTUYm2K8FjOOfXtY1K --yes
    """
    ref = given["message"]
    confirm(f"The payload of {ref} will be deleted; pending deliveries of it are canceled", yes)
    server.raw("DELETE", "/app/{app}/msg/{}/content", ref)
    server.done(f"the payload of {ref} is deleted")


@app.command()
@calling(*(one for one in FILTERS if one.name in ("eventType", "endpoint")))
def tail(
    server: Remote,
    given: Given,
    failed: Annotated[bool, typer.Option("--failed", help="Only failed deliveries.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="Exit after this many lines.")] = None,
    within: Annotated[float | None, typer.Option(min=0.1, help="Exit after this many seconds.")] = None,
) -> None:
    """Follow the deliveries of an application.

    $ angarium message tail --failed
    $ angarium message tail --events 'order.*' --json
    """
    wanted = given | ({"status": TROUBLE} if failed else {})
    for shown, line in enumerate(_news(server, wanted, within), 1):
        status = int(line["responseStatusCode"] or 0) or line["errorCode"] or ""
        text = f"{line['timestamp'][11:19]}  {line['status']:<9}  {status!s:<16}  {line['eventType']}"
        server.show(line, f"{text}  {line['messageId']}  {line['url']}")
        if shown == count:
            return


def _news(server: Remote, wanted: Given, within: float | None) -> Iterator[dict[str, Any]]:
    """Yields each delivery when it is first seen and when it changes."""
    wanted = wanted | {"since": datetime.now(UTC).isoformat(), "limit": 250}
    seen: dict[tuple[str, str], tuple[str, str]] = {}
    deadline = None if within is None else time.monotonic() + within
    away: bool | None = None  # None: not called yet
    while deadline is None or time.monotonic() < deadline:
        try:
            page = server.call("GET", "/app/{app}/log", **wanted)["data"]
            away = False
        except Unreachable as error:
            if away is None:
                raise
            if not away:
                note(f"angarium: {error}; trying again")
            away, page = True, []
        for line in reversed(page):
            key, standing = (line["messageId"], line["endpointId"]), (line["status"], line["attempts"])
            if seen.get(key) != standing:
                seen[key] = standing
                yield line
        while len(seen) > 10_000:
            del seen[next(iter(seen))]
        time.sleep(POLL)
