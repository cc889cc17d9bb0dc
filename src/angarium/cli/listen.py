"""`angarium listen`: forwards the messages of an application to a receiver on a developer's machine.

The listener is an endpoint of the application whose deliveries wait at the server until they are fetched.
Nothing is lost while the connection is down, the command restarts or the laptop sleeps. Failures are retried
on the product's schedule. The portal shows responses and errors.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Annotated, Any, Final

import typer

from angarium.cli.error import Exit, note
from angarium.cli.forward import DeliveryForwarder, ForwardResult, read_header
from angarium.cli.remote import Remote, calling, time_ago
from angarium.client.error import ClientError, Refused, Unreachable

WAIT: Final = 20.0  # seconds that the server may wait for a delivery
LEASE: Final = 15.0  # seconds beyond the receiver's timeout for which a delivery is leased
LONGEST_PAUSE: Final = 30.0
TOO_MANY: Final = 429  # too many listeners of the application wait; one that gets a delivery makes room


@calling()
def listen(
    server: Remote,
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
) -> None:
    """Forward the messages of an application to this machine.

    $ angarium listen --forward-to http://localhost:3000/webhooks --events 'order.*'
    $ angarium listen --forward-to localhost:3000/webhooks --count 3 --within 60
    """
    try:
        extra = [read_header(one) for one in header or []]
        forwarder = DeliveryForwarder(forward_to, timeout, extra, insecure=insecure)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    wanted = {"name": name or default_name(), "eventTypes": events, "channels": channel}
    opened = server.call("POST", "/app/{app}/listener", body=wanted)
    if since is not None:
        path = "/app/{app}/endpoint/{}/replay-missing"
        server.call("POST", path, opened["id"], body={"since": time_ago(since)})
    if not server.as_json:
        note(f"Listening as {wanted['name']} ({opened['id']}) and forwarding to {forward_to}")
        if opened["secret"]:
            note(f"Signing secret  {opened['secret']}")
    run = Run(server, opened["id"], forwarder, parallel, timeout + LEASE, count)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, run.interrupted)
    if within is not None:
        timer = threading.Timer(within, run.end)
        timer.daemon = True
        timer.start()
    run.forward()
    if run.signal is not None:
        raise typer.Exit(Exit.INTERRUPTED if run.signal == signal.SIGINT else Exit.TERMINATED)
    if run.failed or (count is not None and run.done < count):
        raise typer.Exit(Exit.FAILED)


@dataclass
class Run:
    """One run of the command."""

    server: Remote
    endpoint: str
    forwarder: DeliveryForwarder
    parallel: int
    lease: float
    count: int | None
    ended: bool = False
    signal: int | None = None
    done: int = 0
    failed: int = 0
    # of requests in threads; None wakes the command to its end. Handlers of signals may put into this queue.
    _answers: SimpleQueue[Mapping[str, Any] | Exception | None] = field(default_factory=SimpleQueue)

    def end(self) -> None:
        """Fetch no more, at once; deliveries in progress are finished and reported."""
        self.ended = True
        self._answers.put(None)

    def interrupted(self, number: int, _: object) -> None:
        """Handles a signal. The second one ends the process without waiting for deliveries in progress."""
        signal.signal(number, signal.SIG_DFL)
        self.signal = number
        self.end()

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
        while not self.ended:
            try:
                got = self._fetch()
            except ClientError as error:
                if isinstance(error, Refused) and error.status < 500 and error.status != TOO_MANY:
                    raise  # deleted, disabled or taken over
                if not away:
                    note(f"angarium: {error}; reconnecting, no messages are lost")
                away = True
                with suppress(Empty):
                    self._answers.get(timeout=pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            if got is None:
                return
            if away:
                note("angarium: reconnected")
            pause, away = 0.5, False
            if got["data"]:
                yield got["data"]

    def _fetch(self) -> Mapping[str, Any] | None:
        """The answer to one request, which may take long; None if the command is to end first."""
        threading.Thread(target=self._request, daemon=True).start()
        answer = self._answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _request(self) -> None:
        try:
            answer = self.server.call(
                "GET",
                "/app/{app}/listener/{}/fetch",
                self.endpoint,
                limit=self.parallel,
                wait=WAIT if self.count is None else 2,
                lease=self.lease,
                timeout=WAIT + 10,
            )
        except Exception as error:  # raised where the answer is awaited
            self._answers.put(error)
        else:
            self._answers.put(answer)

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
        self.server.show(outcome.line(), text)
        try:
            body = {"data": [outcome.answer()]}
            self.server.raw("POST", "/app/{app}/listener/{}/answer", self.endpoint, body=body)
        except Unreachable:
            note(
                f"angarium: the result of {outcome.message} could not be reported; it will be delivered again"
            )
        except Refused as error:
            note(f"angarium: the result of {outcome.message} was rejected: {error}")


def default_name() -> str:
    """The default name of a listener, from user and machine."""
    name = f"{os.environ.get('USER') or 'user'}-{os.uname().nodename if hasattr(os, 'uname') else 'host'}"
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)[:64]
