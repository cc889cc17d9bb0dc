"""`angarium send`, `show`, `resend` and `tail`: work with messages over the API."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from angarium import json_text
from angarium.cli import remote
from angarium.cli.confirm import Yes, confirm
from angarium.client import Refused, Unreachable
from angarium.client.angarium import message_body
from angarium.message_form import check_payload

POLL: Final = 1.0  # seconds between requests of tail


def send(
    event_type: Annotated[str, typer.Option("--type", help="Event type, such as order.filled.")],
    data: Annotated[str, typer.Option(help="The payload: JSON, @file, or - for standard input.")],
    event_id: Annotated[
        str | None, typer.Option(help="Your own ID; an application accepts each only once.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; repeatable.")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="A channel; repeatable.")] = None,
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """Send a message. The payload is delivered byte for byte."""
    server = remote.Remote(url, token, app)
    body = message_body(event_type, payload(data), event_id=event_id, tags=tag or (), channels=channel or ())
    made = server.accept(body)
    remote.show_raw(made, as_json, json.loads(json_text.member(made, "id") or "null"))


def payload(given: str) -> bytes:
    """The payload that an option names. Raises BadParameter if it is not a JSON object."""
    if given == "-":
        data = sys.stdin.buffer.read()
    elif given.startswith("@"):
        try:
            data = Path(given[1:]).read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"cannot read {given[1:]}: {error.strerror}") from error
    else:
        data = given.encode()
    try:
        check_payload(data)
    except ValueError as error:
        raise typer.BadParameter(f"the payload is not a JSON object: {error}") from error
    return data


def show(
    message: Annotated[str, typer.Argument(help="Message ID, or your own event ID.")],
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """Show a message with its deliveries, attempts and errors."""
    server = remote.Remote(url, token, app)
    raw = server.raw("GET", f"/msg/{message}", with_content="true")
    found = json_text.read(raw)
    lines = list(server.client.each(server.path("/log"), message=message))
    attempts = list(server.client.each(server.path(f"/attempt/msg/{message}")))
    if as_json:
        more = json.dumps({"deliveries": lines, "attempts": attempts}, ensure_ascii=False)
        print(f'{{"message": {json_text.compact(raw)}, {more[1:]}', flush=True)
        return
    print(f"{found['id']}  {found['eventType']}  {found['timestamp']}")
    print(json_text.indented(json_text.member(raw, "payload") or "null"))
    for line in lines:
        following = f", next attempt {line['nextAttempt']}" if line["nextAttempt"] else ""
        print(f"\n{line['url']}  {line['status']} after {line['attempts']} attempts{following}")
        for attempt in attempts:
            if attempt["endpointId"] == line["endpointId"]:
                status = attempt["responseStatusCode"] or "no response"
                print(f"  {attempt['timestamp']}  {status}  {attempt['responseDurationMs']} ms")
                if attempt.get("errorDetail"):
                    print(f"    {attempt['errorDetail']}")


def resend(
    message: Annotated[str, typer.Argument(help="Message ID, or your own event ID.")],
    endpoint: Annotated[
        list[str] | None,
        typer.Option(help="Only to this endpoint; repeatable. Default: all of its deliveries."),
    ] = None,
    yes: Yes = False,
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """Resend a message, also if it was delivered."""
    server = remote.Remote(url, token, app)
    known = server.client.each(server.path("/log"), message=message)
    endpoints = endpoint or [line["endpointId"] for line in known]
    if endpoint is None and len(endpoints) > 1:
        confirm(f"{message} will be sent again to {len(endpoints)} endpoints", yes)
    for one in endpoints:
        server.call("POST", f"/msg/{message}/endpoint/{one}/resend")
    remote.show(
        {"message": message, "endpoints": endpoints}, as_json, f"sent again to {len(endpoints)} endpoints"
    )
    if not endpoints:
        raise typer.Exit(remote.FAILED)


def tail(
    failed: Annotated[bool, typer.Option("--failed", help="Only failed deliveries.")] = False,
    events: Annotated[
        str | None, typer.Option(help="Only this event type or pattern, such as order.*.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="Only this endpoint.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Exit after this many lines.")] = None,
    within: Annotated[float | None, typer.Option(min=0.1, help="Exit after this many seconds.")] = None,
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """Follow the deliveries of an application."""
    server = remote.Remote(url, token, app)
    for shown, line in enumerate(_news(server, failed, events, endpoint, within), 1):
        status = line["responseStatusCode"] or line["errorCode"] or ""
        text = f"{line['timestamp'][11:19]}  {line['status']:<9}  {status!s:<16}  {line['eventType']}"
        remote.show(line, as_json, f"{text}  {line['messageId']}  {line['url']}")
        if shown == count:
            return


def _news(
    server: remote.Remote, failed: bool, events: str | None, endpoint: str | None, within: float | None
) -> Iterator[dict[str, Any]]:
    """Yields each delivery when it is first seen and when it changes."""
    since = datetime.now(UTC).isoformat()
    wanted: dict[str, Any] = {"event_type": events, "endpoint": endpoint, "since": since, "limit": 250}
    if failed:
        wanted["status"] = ["failed", "retrying", "canceled"]
    seen: dict[tuple[str, str], tuple[str, int]] = {}
    deadline = None if within is None else time.monotonic() + within
    while deadline is None or time.monotonic() < deadline:
        try:
            page = server.call("GET", "/log", **wanted)["data"]
        except Unreachable as error:
            remote.note(f"angarium: {error}; trying again")
            page = []
        except Refused as error:
            remote.fail(error)
        for line in reversed(page):
            key, standing = (line["messageId"], line["endpointId"]), (line["status"], line["attempts"])
            if seen.get(key) != standing:
                seen[key] = standing
                yield line
        while len(seen) > 10_000:
            del seen[next(iter(seen))]
        time.sleep(POLL)
