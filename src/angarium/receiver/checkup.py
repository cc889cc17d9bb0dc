"""Checks a receiver: sends what a sender and what an attacker would send, and judges the responses.

Requests are sent by a function that is passed in. Check only receivers of your own: they handle the correctly
signed events.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from angarium.receiver import finding
from angarium.receiver.finding import Finding, Reply
from angarium.receiver.scheme import Scheme

LARGE: Final = 150 * 1024
"""Bytes of a body; the default limit of many frameworks is 100 KiB."""
OLD: Final = 3600
"""Age of an old timestamp, in seconds."""
SMALL: Final = 16 * 1024
"""Bytes of a response; senders store no more."""
Headers = Mapping[str, str]
_FORGERIES: Final = (
    "wrong_signature",
    "changed_body",
    "garbled_signature",
    "missing_header",
    "old_timestamp",
)
_PART: Final = re.compile(r"\{(id|type|time|seconds|data)\}")


class Checkup:
    """The check of one receiver.

    `send` sends a request. `timeout` is that of its sender, in seconds; `clock` returns epoch seconds.
    """

    def __init__(
        self,
        send: Callable[[Headers, bytes], Reply],
        scheme: Scheme,
        secret: str,
        *,
        timeout: float,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
        event_type: str = "angarium.doctor",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self._send = send
        self._scheme = scheme
        self._secret = secret
        self._timeout = timeout
        self._clock = clock
        self._entropy = entropy
        self._type = event_type
        self._data = dict(data) if data is not None else {"id": f"doctor_{entropy(6).hex()}"}
        self._accepted: list[Reply] = []

    def findings(self) -> Iterator[Finding]:
        """Runs all checks. Raises VerificationError if the secret cannot be used with the scheme."""
        event_id = self._id()
        body = self._body(event_id)
        first = self._deliver(event_id, body)
        yield finding.signature(first)
        yield finding.redirect(first)
        if first.status:
            yield from self._forgeries(body)
        else:  # the same failure for each of them would say nothing more
            for check in _FORGERIES:
                yield Finding(check, "skip", "Not checked: the correctly signed event got no response.")
        if not first.accepted:
            for check in ("duplicate", "same_data", "exact_bytes", "large_body", "latency", "answer"):
                yield Finding(check, "skip", "Not checked: the correctly signed event was not accepted.")
            return
        repeat = self._deliver(event_id, body)
        yield finding.duplicate(repeat)
        other = self._id()
        yield finding.same_data(first, repeat, self._deliver(other, self._body(other)))
        yield self._exact_bytes()
        yield self._large_body()
        yield self._latency()
        yield self._answer()

    # ---------------------------------------------------------------------------- what must be refused

    def _forgeries(self, body: bytes) -> Iterator[Finding]:
        fix = "Respond with 401 to what does not verify, and ignore it."
        made = "whsec_" + base64.b64encode(self._entropy(24)).decode("ascii")
        replies = [self._send(self._signed(self._id(), body, secret=made), body)]
        yield finding.must_refuse("wrong_signature", replies, "an event signed with another secret", fix)
        headers = self._signed(self._id(), body)
        replies = [self._send(headers, body[:-1] + b" }")]
        yield finding.must_refuse("changed_body", replies, "an event whose body was changed", fix)
        signature = _signature_header(headers)
        fix = "Treat a malformed signature like a wrong one: respond with 401, without an exception."
        replies = [
            self._send({**headers, signature: text}, body) for text in ("nonsense", "v1,abc", "t=x,v1=")
        ]
        yield finding.must_refuse("garbled_signature", replies, "a malformed signature", fix)
        yield self._missing_header(headers, body)
        if self._signs_time:
            fix = "Refuse timestamps older than five minutes, or anyone who saw a request can send it again."
            replies = [self._send(self._signed(self._id(), body, at=self._clock() - OLD), body)]
            yield finding.must_refuse("old_timestamp", replies, "an event signed an hour ago", fix)
        else:
            yield Finding("old_timestamp", "skip", f"The scheme {self._scheme.name} signs no timestamp.")

    def _missing_header(self, headers: Headers, body: bytes) -> Finding:
        signature = _signature_header(headers)
        without = [
            {name: value for name, value in headers.items() if name not in dropped}
            for dropped in (set(headers) - {"content-type"}, {signature})
        ]
        fix = "Respond with 401 if a header is missing."
        replies = [self._send(one, body) for one in without]
        found = finding.must_refuse("missing_header", replies, "an event without a signature", fix)
        for name in headers:
            if found.level == "ok" and name not in ("content-type", signature):
                rest = {other: value for other, value in headers.items() if other != name}
                reply = self._send(rest, body)
                if not reply.status or reply.status >= 500:
                    words = f"It fails if the header {name} is missing: {reply.said}. {fix}"
                    found = Finding("missing_header", "fail", words)
        return found

    # --------------------------------------------------------------------------- what must be accepted

    def _exact_bytes(self) -> Finding:
        event_id = self._id()
        text = '"text":"Zürich, 東京, 🚀, \\u00e9, \\/","amount":100.00,"small":1E-7'
        body = self._body(event_id).decode()
        at = body.index(_compact(self._data)) + 1
        odd = f"{body[:at]} {text}{', ' if self._data else ''}{body[at:]}\n".encode()
        reply = self._deliver(event_id, odd)
        what = "A body with spaces, non-ASCII text and unusual numbers"
        if reply.accepted:
            return Finding("exact_bytes", "ok", f"{what} is accepted.")
        fix = "The receiver's log has the reason."
        if reply.status in (400, 401, 403):
            fix = "Verify the raw bytes of the request, before they are parsed."
        return Finding("exact_bytes", "fail", f"{what} is not accepted: {reply.said}. {fix}")

    def _large_body(self) -> Finding:
        event_id = self._id()
        reply = self._deliver(event_id, self._body(event_id, filling="x" * LARGE))
        what = f"A body of {LARGE // 1024} KiB"
        if reply.accepted:
            return Finding("large_body", "ok", f"{what} is accepted.")
        fix = "Raise the limit of the framework or proxy."
        return Finding("large_body", "fail", f"{what} is not accepted: {reply.said}. {fix}")

    def _latency(self) -> Finding:
        slowest = max(reply.seconds for reply in self._accepted)
        said = f"The slowest response took {slowest:.2f} s of {self._timeout:g} s."
        if slowest < self._timeout / 2:
            return Finding("latency", "ok", said)
        return Finding("latency", "warn", f"{said} Store the event, respond, and do the work afterwards.")

    def _answer(self) -> Finding:
        largest = max(len(reply.body) for reply in self._accepted)
        if largest <= SMALL:
            return Finding("answer", "ok", "Its responses are small.")
        words = f"A response has more than {SMALL // 1024} KiB. Respond with nothing, or a short text."
        return Finding("answer", "warn", words)

    # ---------------------------------------------------------------------------------- the requests

    def _deliver(self, event_id: str, body: bytes) -> Reply:
        """Send an event as the sender would."""
        reply = self._send(self._signed(event_id, body), body)
        if reply.accepted:
            self._accepted.append(reply)
        return reply

    def _signed(
        self, event_id: str, body: bytes, *, secret: str | None = None, at: float | None = None
    ) -> dict[str, str]:
        made = self._scheme.sign(
            body,
            secret or self._secret,
            event_id=event_id,
            timestamp=int(self._clock() if at is None else at),
            event_type=self._type,
        )
        return {"content-type": "application/json", **made}

    def _id(self) -> str:
        return f"evt_doctor{self._entropy(12).hex()}"

    def _body(self, event_id: str, filling: str = "") -> bytes:
        """An event in the sender's form, serialized as most languages do."""
        now = int(self._clock())
        values = {
            "id": event_id,
            "type": self._type,
            "time": datetime.fromtimestamp(now, UTC).isoformat().replace("+00:00", "Z"),
            "seconds": now,
            "data": {**self._data, "filling": filling} if filling else self._data,
        }
        return _PART.sub(lambda part: _compact(values[part[1]]), self._scheme.envelope).encode()

    @property
    def _signs_time(self) -> bool:
        early, late = (
            self._scheme.sign(b"", self._secret, event_id="a", timestamp=at, event_type="") for at in (1, 2)
        )
        return early != late


def _signature_header(headers: Headers) -> str:
    return next(name for name in headers if "signature" in name.lower())


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
