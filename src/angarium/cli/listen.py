"""`angarium listen`: what an application is sent, on a developer's machine.

The listener is an endpoint of the application whose deliveries wait at the server until they are fetched.
So nothing is lost while the connection is cut, the command restarted or the laptop asleep; what a receiver
fails to take is tried again on the product's schedule; answers and errors stand in the portal.
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

WAIT: Final = 20.0  # seconds that the server may wait for something to happen
LEASE: Final = 15.0  # seconds beyond the receiver's timeout that a delivery is ours
LONGEST_PAUSE: Final = 30.0
TOO_MANY: Final = 429  # others of the application wait already; whoever is handed something makes room


def listen(
    forward_to: Annotated[str, typer.Option(help="Your receiver, http://localhost:3000/webhooks.")],
    events: Annotated[
        list[str] | None, typer.Option(help="Only these types or patterns, order.*; repeat for more.")
    ] = None,
    channel: Annotated[list[str] | None, typer.Option(help="Only messages of these channels.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Same name, same listener and secret; default: this user and machine.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(help="Sent along, 'Name: value'; replaces the delivery's own, Host too; repeat."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept any certificate of your receiver, a self-signed one.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(help="Also what was sent before: 2h, 7d; at most 14 days.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, max=250, help="Seconds your receiver has.")] = 30.0,
    parallel: Annotated[int, typer.Option(min=1, max=50, help="Deliveries at once; 1 keeps the order.")] = 4,
    count: Annotated[int | None, typer.Option(min=1, help="For CI: end after so many deliveries.")] = None,
    within: Annotated[
        float | None, typer.Option(min=0.1, help="For CI: end with code 1 if --count takes longer, seconds.")
    ] = None,
    url: remote.Url = None,
    token: remote.Token = None,
    app: remote.App = None,
    as_json: remote.Json = False,
) -> None:
    """Forward what an application is sent to a receiver on this machine, and report its answers."""
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
        """Fetch, forward and report until stopped."""
        with ThreadPoolExecutor(self.parallel) as pool:
            for deliveries in self._fetched():
                under_way: list[Future[ForwardResult]] = [
                    pool.submit(self.forwarder.forward, fetched) for fetched in deliveries
                ]
                for ended in as_completed(under_way):
                    self._report(ended.result())
                if self.count is not None and self.done >= self.count:
                    return

    def _fetched(self) -> Iterator[list[Mapping[str, Any]]]:
        """Batches of deliveries, over every interruption of the connection."""
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
                    remote.fail(error)  # deleted, disabled, or no longer ours
                if not away:
                    remote.note(f"angarium: {error}; trying again, nothing is lost")
                away = True
                self.stop.wait(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            if away:
                remote.note("angarium: connected again")
            pause, away = 0.5, False
            if got["data"]:
                yield got["data"]

    def _report(self, outcome: ForwardResult) -> None:
        """Show it, and tell the server; while that is away the delivery comes again, which is allowed."""
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
                f"angarium: the answer to {outcome.message} could not be reported; it will come again"
            )
        except Refused as error:
            remote.note(f"angarium: the answer to {outcome.message} was refused: {error}")


def _replay(server: remote.Remote, endpoint: str, since: str) -> None:
    """Owe the listener what was sent before it was there."""
    begin = remote.time_ago(since)
    server.call("POST", f"/endpoint/{endpoint}/replay-missing", {"since": begin})
