"""`angarium play`: creates a temporary inbox, shows its requests and sets its response."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from angarium import json_text
from angarium.cli.error import Exit, note
from angarium.cli.option import Count
from angarium.cli.remote import Remote, calling
from angarium.client.error import ClientError, Unreachable

POLL: Final = 0.5  # seconds between requests
SHOWN: Final = 2000  # characters of a body
TICKS: Final = {True: "✓ verified", False: "✗ not verified", None: "- no endpoint"}


@calling()
def play(
    server: Remote,
    subscribe: Annotated[
        bool,
        typer.Option(
            "--subscribe", help="Create an endpoint that delivers the application's messages to the inbox."
        ),
    ] = False,
    events: Annotated[
        list[str] | None,
        typer.Option(help="With --subscribe: only these event types or patterns; repeatable."),
    ] = None,
    status: Annotated[
        int | None, typer.Option(help="Respond with this status; 0: no response.", show_default=False)
    ] = None,
    delay: Annotated[
        float | None, typer.Option(min=0, help="Delay of the response, in seconds.", show_default=False)
    ] = None,
    failure_rate: Annotated[
        int | None,
        typer.Option(min=0, max=100, help="Percentage of requests that get 500.", show_default=False),
    ] = None,
    inbox: Annotated[str | None, typer.Option(help="Use this existing inbox, play_…; it is kept.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the inbox; the portal lists it.")] = False,
    count: Count = None,
    within: Annotated[
        float | None,
        typer.Option(min=0.1, help="Exit after this many seconds, with code 1 if --count is not reached."),
    ] = None,
) -> None:
    """Create a temporary inbox, and show and verify its requests.

    Exit code 1 if a signature is invalid, or fewer than --count requests arrived within --within seconds.

    $ angarium play --subscribe --status 503 --failure-rate 20
    """
    answer = {"status": status, "delay": delay, "failures": failure_rate}
    with contextlib.ExitStack() as leaving:
        inbox_id = inbox or _make(server, "inbox", {}, None if keep else leaving)
        found = server.call("PATCH", "/app/{app}/inbox/{}", inbox_id, body=_given(answer))
        if subscribe:
            wanted = {"url": found["url"], "description": "angarium play", "eventTypes": events}
            _make(server, "endpoint", _given(wanted), leaving)
        server.show(found, f"{found['url']}  ({found['id']})")
        seen, good = _stream(server, found["id"], count, within)
    if not good or (count is not None and seen < count):
        raise typer.Exit(Exit.FAILED)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _make(server: Remote, noun: str, body: dict[str, Any], leaving: contextlib.ExitStack | None) -> str:
    """Makes an object; it is deleted on leaving. Returns its id."""
    made = str(server.call("POST", f"/app/{{app}}/{noun}", body=body)["id"])
    if leaving is not None:
        leaving.callback(_delete, server, f"/app/{{app}}/{noun}/{{}}", made)
    return made


def _delete(server: Remote, path: str, ref: str) -> None:
    try:
        server.raw("DELETE", path, ref)
    except ClientError as error:
        note(f"angarium: {ref} could not be deleted: {error}")


def _stream(server: Remote, inbox: str, count: int | None, within: float | None) -> tuple[int, bool]:
    """Shows requests until `count` or the end; returns their number and whether none failed verification."""
    seen, good = 0, True
    for request in _requests(server, inbox, within):
        seen += 1
        good = good and request["verified"] is not False
        server.show(request, _words(request))
        if seen == count:
            break
    return seen, good


def _requests(server: Remote, inbox: str, within: float | None) -> Iterator[dict[str, Any]]:
    deadline = None if within is None else time.monotonic() + within
    cursor, away = None, False
    while deadline is None or time.monotonic() < deadline:
        try:
            page = server.call("GET", "/app/{app}/inbox/{}/request", inbox, after=cursor)
        except Unreachable as error:
            if not away:
                note(f"angarium: {error}; trying again")
            away = True
            time.sleep(POLL)
            continue
        cursor, away = page["iterator"], False
        yield from page["data"]
        if page["done"]:
            time.sleep(POLL)


def _words(request: dict[str, Any]) -> str:
    body = base64.b64decode(request["body"]).decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        body = json_text.indented(body)
    said = f"{request['timestamp'][11:19]}  {TICKS[request['verified']]}  {request['method']}"
    said += f"  {request['size']} bytes, response {int(request['status']) or 'none'}"
    if request["verified"] is False:
        said += f"\n          {request['finding']}"
    return f"\n{said}\n{''.join(c for c in body[:SHOWN] if c.isprintable() or c == chr(10))}"
