"""`angarium play`: creates a temporary inbox, shows its requests and sets its response."""

from __future__ import annotations

import base64
import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from angarium import json_text
from angarium.cli import remote
from angarium.client import ClientError, Unreachable

POLL: Final = 0.5  # seconds between requests
SHOWN: Final = 2000  # characters of a body
TICKS: Final = {True: "✓ verified", False: "✗ not verified", None: "- no endpoint"}


def play(
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
    count: Annotated[int | None, typer.Option(min=1, help="Exit after this many requests.")] = None,
    within: Annotated[
        float | None,
        typer.Option(min=0.1, help="Exit after this many seconds, with code 1 if --count is not reached."),
    ] = None,
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """Create an inbox, print its URL, and show each request and whether its signature is valid."""
    server = remote.Remote(url, token, app)
    stop = threading.Event()
    answer = {"status": status, "delay": delay, "failures": failure_rate}
    try:
        with contextlib.ExitStack() as leaving:
            found = _inbox(server, inbox, keep, leaving)
            found = server.call(
                "PATCH", f"/inbox/{found['id']}", {k: v for k, v in answer.items() if v is not None}
            )
            if subscribe:
                _subscribe(server, found["url"], events, leaving)
            remote.show(found, as_json, f"{found['url']}  ({found['id']})")
            restored = _stopping(stop)
            leaving.callback(restored)
            seen, good = _stream(server, found["id"], stop, count, within, as_json)
    except ClientError as error:
        remote.fail(error)
    if not good or (count is not None and seen < count):
        raise typer.Exit(remote.FAILED)


def _inbox(
    server: remote.Remote, given: str | None, keep: bool, leaving: contextlib.ExitStack
) -> dict[str, Any]:
    if given is not None:
        return {"id": given}
    made: dict[str, Any] = server.call("POST", "/inbox")
    if not keep:
        leaving.callback(_delete, server, f"/inbox/{made['id']}")
    return made


def _subscribe(
    server: remote.Remote, url: str, events: list[str] | None, leaving: contextlib.ExitStack
) -> None:
    wanted = {"url": url, "description": "angarium play", "eventTypes": events}
    made = server.call("POST", "/endpoint", {k: v for k, v in wanted.items() if v is not None})
    leaving.callback(_delete, server, f"/endpoint/{made['id']}")


def _delete(server: remote.Remote, path: str) -> None:
    try:
        server.call("DELETE", path)
    except ClientError as error:
        remote.note(f"angarium: {path} could not be deleted: {error}")


def _stopping(stop: threading.Event) -> Any:
    """Makes Ctrl-C end the stream, so that the cleanup runs; returns a function that undoes this."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in numbers]

    def restore() -> None:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)

    return restore


def _stream(
    server: remote.Remote,
    inbox: str,
    stop: threading.Event,
    count: int | None,
    within: float | None,
    as_json: bool,
) -> tuple[int, bool]:
    """Shows requests until `count` or the end; returns their number and whether none failed verification."""
    seen, good = 0, True
    for request in _requests(server, inbox, stop, within):
        seen += 1
        good = good and request["verified"] is not False
        remote.show(request, as_json, _words(request))
        if seen == count:
            break
    return seen, good


def _requests(
    server: remote.Remote, inbox: str, stop: threading.Event, within: float | None
) -> Iterator[dict[str, Any]]:
    deadline = None if within is None else time.monotonic() + within
    cursor, away = None, False
    while not stop.is_set() and (deadline is None or time.monotonic() < deadline):
        try:
            page = server.call("GET", f"/inbox/{inbox}/request", after=cursor)
        except Unreachable as error:
            if not away:
                remote.note(f"angarium: {error}; trying again")
            away = True
            stop.wait(POLL)
            continue
        cursor, away = page["iterator"], False
        yield from page["data"]
        if page["done"]:
            stop.wait(POLL)


def _words(request: dict[str, Any]) -> str:
    body = base64.b64decode(request["body"]).decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        body = json_text.indented(body)
    said = f"{request['timestamp'][11:19]}  {TICKS[request['verified']]}  {request['method']}"
    said += f"  {request['size']} bytes, response {request['status'] or 'none'}"
    if request["verified"] is False:
        said += f"\n          {request['finding']}"
    return f"\n{said}\n{''.join(c for c in body[:SHOWN] if c.isprintable() or c == chr(10))}"
