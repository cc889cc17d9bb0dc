"""`angarium listen`: forwards the messages of an application to a receiver on a developer's machine.

The listener is an endpoint of the application whose deliveries wait at the server until they are fetched.
Nothing is lost while the connection is down, the command restarts or the laptop sleeps. Failures are retried
on the product's schedule. The portal shows responses and errors.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import typer

from angarium.cli import remote
from angarium.cli.forward import DeliveryForwarder, ForwardResult, read_header
from angarium.client import ClientError, Refused, Unreachable

WAIT: Final = 20.0  # seconds that the server may wait for a delivery
LEASE: Final = 15.0  # seconds beyond the receiver's timeout for which a delivery is leased
LONGEST_PAUSE: Final = 30.0
TOO_MANY: Final = 429  # too many listeners of the application wait; one that gets a delivery makes room


def listen(
    forward_to: Annotated[
        str, typer.Option(help="URL of your receiver, such as http://localhost:3000/webhooks.")
    ],
    events: Annotated[
        list[str] | None,
        typer.Option(help="Only these event types or patterns, such as order.*; repeatable."),
    ] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="Only messages of these channels; repeatable.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the listener; the same name has the same secret. Default: user and machine."
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="Header to add or replace, 'Name: value'; also Host; repeatable."),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Accept any certificate of your receiver, including self-signed ones."
        ),
    ] = False,
    since: Annotated[
        str | None, typer.Option(help="Also forward earlier messages, since 2h or 7d ago; at most 14 days.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, max=250, help="Timeout of your receiver, in seconds.")
    ] = 30.0,
    parallel: Annotated[
        int, typer.Option(min=1, max=50, help="Concurrent deliveries; 1 keeps the order.")
    ] = 4,
    count: Annotated[int | None, typer.Option(min=1, help="For CI: exit after this many deliveries.")] = None,
    within: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="For CI: exit with code 1 if --count is not reached in this many seconds."
        ),
    ] = None,
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """Forward the messages of an application to a receiver on this machine."""
    try:
        extra = [read_header(one) for one in header or []]
        forwarder = DeliveryForwarder(forward_to, timeout, extra, insecure=insecure)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    server = remote.Remote(url, token, app)
    try:
        wanted = {"name": name or remote.default_name(), "eventTypes": events, "channels": channel}
        opened = server.call("POST", "/listener", wanted)
        if since is not None:
            _replay(server, opened["id"], since)
    except ClientError as error:
        remote.fail(error)
    if not as_json:
        remote.note(f"Listening as {wanted['name']} ({opened['id']}) and forwarding to {forward_to}")
        if opened["secret"]:
            remote.note(f"Signing secret  {opened['secret']}")
    run = Run(server, opened["id"], forwarder, parallel, timeout + LEASE, as_json, count)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: run.stop.set())
    if within is not None:
        timer = threading.Timer(within, run.stop.set)
        timer.daemon = True
        timer.start()
    run.forward()
    if run.failed or (count is not None and run.done < count):
        raise typer.Exit(remote.FAILED)


@dataclass
class Run:
    """One run of the command."""

    server: remote.Remote
    endpoint: str
    forwarder: DeliveryForwarder
    parallel: int
    lease: float
    as_json: bool
    count: int | None
    stop: threading.Event = field(default_factory=threading.Event)
    done: int = 0
    failed: int = 0

    def forward(self) -> None:
        """Fetches, forwards and reports until stopped."""
        with ThreadPoolExecutor(self.parallel) as pool:
            for deliveries in self._fetched():
                in_progress: list[Future[ForwardResult]] = [
                    pool.submit(self.forwarder.forward, fetched) for fetched in deliveries
                ]
                for ended in as_completed(in_progress):
                    self._report(ended.result())
                if self.count is not None and self.done >= self.count:
                    return

    def _fetched(self) -> Iterator[list[Mapping[str, Any]]]:
        """Batches of deliveries; reconnects after interruptions."""
        pause, away = 0.5, False
        while not self.stop.is_set():
            try:
                path = self.server.path(f"/listener/{self.endpoint}/fetch")
                query = {
                    "limit": self.parallel,
                    "wait": WAIT if self.count is None else 2,
                    "lease": self.lease,
                }
                got = self.server.client.call("GET", path, query=query, timeout=WAIT + 10)
            except ClientError as error:
                if isinstance(error, Refused) and error.status < 500 and error.status != TOO_MANY:
                    remote.fail(error)  # deleted, disabled or taken over
                if not away:
                    remote.note(f"angarium: {error}; reconnecting, no messages are lost")
                away = True
                self.stop.wait(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            if away:
                remote.note("angarium: reconnected")
            pause, away = 0.5, False
            if got["data"]:
                yield got["data"]

    def _report(self, outcome: ForwardResult) -> None:
        """Prints the result and reports it. If the server is unreachable, the delivery is repeated later."""
        self.done += 1
        self.failed += not outcome.delivered
        at = time.strftime("%H:%M:%S")
        status = str(outcome.status or "failed")
        text = f"{at}  {status:<6}  {outcome.event_type}  {outcome.message}  {outcome.duration_ms} ms"
        if outcome.attempt > 1:
            text += f"  attempt {outcome.attempt}"
        if outcome.error:
            text += f"\n          {outcome.error}"
        remote.show(outcome.line(), self.as_json, text)
        try:
            self.server.call("POST", f"/listener/{self.endpoint}/answer", {"data": [outcome.answer()]})
        except Unreachable:
            remote.note(
                f"angarium: the result of {outcome.message} could not be reported; it will be delivered again"
            )
        except Refused as error:
            remote.note(f"angarium: the result of {outcome.message} was rejected: {error}")


def _replay(server: remote.Remote, endpoint: str, since: str) -> None:
    """Sends earlier messages to the listener."""
    begin = remote.time_ago(since)
    server.call("POST", f"/endpoint/{endpoint}/replay-missing", {"since": begin})
