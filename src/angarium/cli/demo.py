"""`angarium demo`: shows Angarium deliver messages, in under a minute.

It starts a server in a separate process, and receivers on the loopback interface. It calls the server's API
as any client does: registers the receivers, sends messages, and watches them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

import typer
from rich.console import Console

from angarium.cli.demo_screen import DemoRequest, Screen, ScreenRow
from angarium.cli.error import Exit
from angarium.client import AsyncAngarium
from angarium.core import timestamp
from angarium.core.errors import AngariumError
from angarium.core.signature import SignatureError, verify

SCHEDULE: Final = "2s,4s"
EVENT_TYPES: Final = {
    "order.filled": {"order": "ord_1027", "symbol": "ACME", "quantity": 12, "price": "98.14"},
    "transfer.completed": {"transfer": "tr_553", "amount": "1500.00", "currency": "EUR"},
    "account.opened": {"account": "acc_88", "customer": "Ada"},
}
START_DEADLINE: Final = 60.0
DELIVERY_DEADLINE: Final = 60.0
STOP_DEADLINE: Final = 30.0
RETRYING: Final = 3
STATES: Final = {0: "delivered", 1: "pending", 2: "exhausted", 3: "pending", 4: "canceled"}


class DemoError(AngariumError):
    """The demo failed."""


class DemoReceiver(ThreadingHTTPServer):
    """Verifies requests, and answers 500 to the first `failures` requests of every message, then 200."""

    def __init__(self, name: str, failures: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.failures = failures
        self.secret = ""
        self.url = f"http://127.0.0.1:{self.server_port}/webhooks"
        self.arrivals: list[DemoRequest] = []
        self._seen: Counter[str] = Counter()

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()

    def received(self, headers: dict[str, str], body: bytes) -> int:
        """Records a request; the status to answer it with."""
        message_id = headers.get("webhook-id", "")
        self._seen[message_id] += 1
        number = self._seen[message_id]
        answer = 500 if number <= self.failures else 200
        try:
            verify(body, headers, [self.secret], now=time.time())
            verified = True
        except SignatureError:
            verified = False
        self.arrivals.append(DemoRequest(time.monotonic(), self.name, message_id, number, answer, verified))
        return answer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DemoReceiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.server.received(headers, body)
        text = b"try again" if status == 500 else b"thank you"
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """The screen shows requests."""


def demo() -> None:
    """Show how messages are accepted, signed, delivered and retried. Everything runs on this machine.

    $ angarium demo
    """
    if not asyncio.run(tell(Console())):
        raise typer.Exit(Exit.FAILED)


async def tell(console: Console) -> bool:
    """Returns whether every delivery arrived and verified."""
    receivers = (DemoReceiver("healthy"), DemoReceiver("flaky", failures=2))
    with tempfile.TemporaryDirectory(prefix="angarium-demo-", ignore_cleanup_errors=True) as directory:
        screen = Screen(console)
        screen.say("starting Angarium on its own PostgreSQL …")
        async with _server(directory) as ready:
            screen.say(f"ready at {ready['url']} (retry schedule: {SCHEDULE})")
            with ExitStack() as stack:
                for receiver in receivers:
                    stack.enter_context(receiver.running())
                async with AsyncAngarium(ready["url"], ready["token"], timeout=15) as api:
                    with screen:
                        story = _Story(api, screen, {one.name: one for one in receivers})
                        await story.prepare()
                        await story.send()
                        await story.watch()
        return _summary(console, story)


@asynccontextmanager
async def _server(directory: str) -> AsyncIterator[dict[str, Any]]:
    """A development server in a separate process; yields the line that it prints when ready."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "angarium.cli.main", "dev", "--json", "--port", "0", "--data", directory),
        env=_environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), START_DEADLINE)
        if not line:
            raise DemoError("the server did not start; see above")
        yield json.loads(line)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_DEADLINE)
        except TimeoutError:
            process.kill()
            await process.wait()


def _environment() -> dict[str, str]:
    """The environment without the user's settings, which would change the demo."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGARIUM_")}
    fixed = {"RETRY_SCHEDULE": SCHEDULE, "RETRY_JITTER": "0", "LOG_LEVEL": "warning"}
    return kept | {f"ANGARIUM_{name}": value for name, value in fixed.items()}


class _Story:
    """Prepares, sends and watches."""

    def __init__(self, api: AsyncAngarium, screen: Screen, receivers: dict[str, DemoReceiver]) -> None:
        self._api = api
        self._screen = screen
        self._receivers = receivers
        self._told: dict[str, int] = dict.fromkeys(receivers, 0)
        self._endpoints: dict[str, str] = {}  # id -> name
        self.rows: dict[tuple[str, str], ScreenRow] = {}  # message id, endpoint's name

    async def prepare(self) -> None:
        await self._api.call("POST", "/app", {"name": "Demo", "uid": "demo"})
        for name in EVENT_TYPES:
            await self._api.call("POST", "/event-type", {"name": name, "description": f"An example: {name}"})
        for name, receiver in self._receivers.items():
            endpoint = await self._api.call("POST", "/app/demo/endpoint", {"url": receiver.url, "uid": name})
            receiver.secret = (await self._api.call("GET", f"/app/demo/endpoint/{name}/secret"))["key"]
            self._endpoints[endpoint["id"]] = name
            behaviour = "answers 500 twice, then 200" if receiver.failures else "answers 200"
            self._screen.say(f"endpoint {name}: {receiver.url}, {behaviour}")

    async def send(self) -> None:
        for event_type, payload in EVENT_TYPES.items():
            message = await self._api.call(
                "POST", "/app/demo/msg", {"eventType": event_type, "payload": payload}
            )
            for name in self._receivers:
                row = ScreenRow(event_type, message["id"], name)
                self.rows[message["id"], name] = row
                self._screen.add(row)
            self._screen.say(f"sent {event_type}: accepted as {message['id']}")

    async def watch(self) -> None:
        """Polls until every delivery has ended."""
        deadline = time.monotonic() + DELIVERY_DEADLINE
        while time.monotonic() < deadline:
            for message_id in {row.message_id for row in self.rows.values()}:
                found = await self._api.call(
                    "GET", f"/app/demo/msg/{message_id}/endpoint?expanded_statuses=true"
                )
                self._take_arrivals()
                for target in found["data"]:
                    self._take_state(self.rows[message_id, self._endpoints[target["id"]]], target)
            if all(row.state != "pending" for row in self.rows.values()):
                return
            await asyncio.sleep(0.1)

    def _take_arrivals(self) -> None:
        for name, receiver in self._receivers.items():
            for arrival in receiver.arrivals[self._told[name] :]:
                self._told[name] += 1
                row = self.rows[arrival.message_id, name]
                row.arrivals.append(arrival)
                self._screen.tell(row, arrival)

    def _take_state(self, row: ScreenRow, target: dict[str, Any]) -> None:
        state, due = STATES[target["status"]], target.get("nextAttempt")
        if due is not None and row.arrivals and target["status"] == RETRYING:
            left = timestamp.parse(due).timestamp() - time.time()
            next_at = time.monotonic() + left
            if row.next_at is None or abs(next_at - row.next_at) > 0.5:
                row.next_at = next_at
                self._screen.tell_retry(row)
        if state != row.state:
            row.state = state
            self._screen.tell_end(row)


def _summary(console: Console, story: _Story) -> bool:
    rows = list(story.rows.values())
    arrivals = [arrival for row in rows for arrival in row.arrivals]
    verified = sum(arrival.verified for arrival in arrivals)
    arrived = [row for row in rows if any(a.answer == 200 and a.verified for a in row.arrivals)]
    delivered = [row for row in arrived if row.state == "delivered"]
    good = len(delivered) == len(rows) and verified == len(arrivals)
    console.print(
        f"\n{len(EVENT_TYPES)} messages, {len(rows)} deliveries: {len(delivered)} delivered after "
        f"{len(arrivals)} attempts; {verified} of {len(arrivals)} signatures verified.",
        highlight=False,
        soft_wrap=True,
    )
    for row in rows:
        if row not in delivered:
            console.print(f"[red]not delivered: {row.event_type} to {row.endpoint} is {row.state}[/red]")
    console.print(
        "[bold green]All messages were delivered.[/bold green]"
        if good
        else "[bold red]The demo failed.[/bold red]"
    )
    return good
