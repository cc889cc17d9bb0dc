"""An HTTP receiver for tests: it accepts requests to `url`, and waits for them with a timeout.

    def test_an_order_is_announced(webhook_inbox):
        webhook_inbox.expect("standard", SECRET)
        place_order(notify=webhook_inbox.url)
        message = webhook_inbox.wait("order.placed")
        assert message.data["id"] == "ord_1"

Every failure is an AssertionError that says what was received.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from angarium.receiver import Event, Scheme, VerificationError, verify
from angarium.receiver.event import Proof, Shape, read
from angarium.receiver.route import Routes, route
from angarium.receiver.secret import Secrets

TIMEOUT = 10.0
"""Default timeout of `wait`, in seconds."""
_ANY = Shape()


@dataclass(frozen=True, slots=True)
class Message:
    """A request that was received."""

    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes = field(repr=False)
    event: Event[Any]  # verified, if `expect` was called
    error: VerificationError | None  # why it is not verified
    status: int  # of the response

    @property
    def type(self) -> str:
        return self.event.type

    @property
    def id(self) -> str:
        return self.event.id

    @property
    def data(self) -> Any:
        return self.event.data

    def verify(self, scheme: str | Scheme, secrets: Secrets) -> Event[Any]:
        """The verified event. AssertionError unless the signature is valid."""
        try:
            return verify(self.body, self.headers, secrets, scheme)
        except VerificationError as error:
            raise AssertionError(f"{self.method} {self.path} is not correctly signed: {error}") from error


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    delay: float
    headers: Mapping[str, str]


class WebhookInbox:
    """Listens on a free port of the loopback interface, as a context manager."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._came = threading.Condition()
        self._returned = 0
        self._expected: tuple[str | Scheme, Secrets] | None = None
        self._replies: deque[_Reply] = deque()
        self._default = _Reply(204, 0, {})
        self._closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.inbox = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def expect(self, scheme: str | Scheme, secrets: Secrets) -> None:
        """Verify all messages from now on. An invalid one gets 401, and makes `wait` fail."""
        self._expected = (scheme, secrets)

    def answer(
        self,
        status: int,
        *,
        times: int | None = None,
        delay: float = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Set the response of the next `times` messages, or of all others, sent after `delay` seconds."""
        reply = _Reply(status, delay, headers or {})
        if times is None:
            self._default = reply
        else:
            self._replies.extend([reply] * times)

    def wait(self, pattern: str = "*", *, timeout: float = TIMEOUT) -> Message:
        """The next message whose type matches the pattern. Messages before it are skipped."""
        wanted = Routes()
        wanted.add(pattern, route(lambda event: event))
        deadline = time.monotonic() + timeout
        with self._came:
            while True:
                while self._returned < len(self.messages):
                    message = self.messages[self._returned]
                    self._returned += 1
                    if message.error is not None:
                        raise AssertionError(f"a message is not correctly signed: {message.error}")
                    if wanted.find(message.type) is not None:
                        return message
                if not self._came.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no message {pattern} within {timeout:g} s; {self._listed()}")

    def wait_for(self, count: int, pattern: str = "*", *, timeout: float = TIMEOUT) -> list[Message]:
        """The next `count` messages, all within the timeout."""
        deadline = time.monotonic() + timeout
        return [self.wait(pattern, timeout=max(0, deadline - time.monotonic())) for _ in range(count)]

    def assert_quiet(self, seconds: float = 0.5) -> None:
        """AssertionError if a message is received within these seconds, or one was not waited for."""
        with self._came:
            if self._came.wait_for(lambda: self._returned < len(self.messages), seconds):
                raise AssertionError(f"unexpected message; {self._listed()}")

    def _listed(self) -> str:
        types = [message.type or "a message without a type" for message in self.messages]
        return f"received: {', '.join(types) or 'nothing'}"

    def take(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> _Reply:
        """Called for each request."""
        with self._came:
            reply = self._replies.popleft() if self._replies else self._default
            event, error = self._verified(headers, body)
            if error is not None:
                reply = _Reply(error.status, 0, {})
            lowered = {name.lower(): value for name, value in headers}
            self.messages.append(Message(method, path, lowered, body, event, error, reply.status))
            self._came.notify_all()
        if reply.delay:
            self._closing.wait(reply.delay)
        return reply

    def _verified(
        self, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[Event[Any], VerificationError | None]:
        error = None
        if self._expected is not None:
            scheme, secrets = self._expected
            try:
                return verify(body, headers, secrets, scheme), None
            except VerificationError as unfit:
                error = unfit
        lowered = {name.lower(): value for name, value in headers}
        return read(body, _ANY, Proof(id=lowered.get("webhook-id") or lowered.get("svix-id"))), error


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    inbox: WebhookInbox


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        reply = self.server.inbox.take("POST", self.path, self.headers.items(), body)
        self.send_response(reply.status)
        for name, value in {"content-length": "0", **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write nothing to standard error."""
