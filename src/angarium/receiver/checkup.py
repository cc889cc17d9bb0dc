"""A receiver's check-up from outside: what a sender would do to it, and what it has to answer.

Pure: the requests go out through a function, so that anything can stand behind it. For receivers of one's
own only: every request that is meant to be accepted is signed rightly, and is handled.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from angarium.receiver import finding
from angarium.receiver.finding import Finding, Reply
from angarium.receiver.scheme import Scheme

LARGE: Final = 150 * 1024
"""Bytes; many frameworks stop at 100 KiB unless they are told otherwise."""
OLD: Final = 3600
SMALL: Final = 16 * 1024
"""Bytes of an answer; senders keep no more."""
Headers = Mapping[str, str]


class Checkup:
    """One receiver. `timeout`: seconds after which its sender gives up; `clock` gives epoch seconds."""

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
        """All checks, one after another. Raises VerificationError for a secret that cannot be used."""
        event_id = self._id()
        body = self._body(event_id)
        first = self._deliver(event_id, body)
        yield finding.signature(first)
        yield finding.redirect(first)
        yield from self._forgeries(body)
        if not first.accepted:
            for check in ("duplicate", "same_data", "exact_bytes", "large_body", "latency", "answer"):
                yield Finding(check, "skip", "Not tried, because the rightly signed event was not accepted.")
            return
        repeat = self._deliver(event_id, body)
        yield finding.duplicate(repeat)
        other = self._id()
        yield finding.same_data(first, repeat, self._deliver(other, self._body(other)))
        yield self._exact_bytes()
        yield self._large_body()
        yield self._latency()
        yield self._answer()

    # ------------------------------------------------------------------------ what has to be refused

    def _forgeries(self, body: bytes) -> Iterator[Finding]:
        mend = "Answer 401 to what does not verify, and do nothing else with it."
        made = "whsec_" + base64.b64encode(self._entropy(24)).decode("ascii")
        headers = self._signed(self._id(), body, secret=made)
        yield finding.must_refuse(
            "wrong_signature", [self._send(headers, body)], "one signed by somebody else", mend
        )
        headers = self._signed(self._id(), body)
        changed = body[:-1] + b" }"
        yield finding.must_refuse(
            "changed_body", [self._send(headers, changed)], "a body changed on its way", mend
        )
        signature = _signature_header(headers)
        garbled = [
            self._send({**headers, signature: text}, body) for text in ("nonsense", "v1,abc", "t=x,v1=")
        ]
        mend = "Treat a signature that cannot be read like one that does not fit: 401, not an exception."
        yield finding.must_refuse("garbled_signature", garbled, "a signature that makes no sense", mend)
        yield self._missing_header(headers, body)
        if self._signs_time:
            old = self._signed(self._id(), body, at=self._clock() - OLD)
            mend = (
                "Refuse what was signed more than five minutes ago, or whoever saw it once can send it again."
            )
            yield finding.must_refuse(
                "old_timestamp", [self._send(old, body)], "one signed an hour ago", mend
            )
        else:
            yield Finding("old_timestamp", "skip", f"The scheme {self._scheme.name} signs no time.")

    def _missing_header(self, headers: Headers, body: bytes) -> Finding:
        signature = _signature_header(headers)
        without = [
            {name: value for name, value in headers.items() if name not in dropped}
            for dropped in (set(headers) - {"content-type"}, {signature})
        ]
        mend = "A missing header is a request like any other that does not verify: answer 401."
        found = finding.must_refuse(
            "missing_header", [self._send(one, body) for one in without], "one without a signature", mend
        )
        for name in headers:
            if found.level == "ok" and name not in ("content-type", signature):
                rest = {other: value for other, value in headers.items() if other != name}
                reply = self._send(rest, body)
                if not reply.status or reply.status >= 500:
                    words = f"Without the header {name} {reply.said}. {mend}"
                    found = Finding("missing_header", "fail", words)
        return found

    # ----------------------------------------------------------------------- what has to be accepted

    def _exact_bytes(self) -> Finding:
        event_id = self._id()
        text = '"text":"Zürich, 東京, 🚀, \\u00e9, \\/","amount":100.00,"small":1E-7'
        body = self._body(event_id).decode()
        at = body.index(self._inner()) + 1
        odd = f"{body[:at]} {text}{', ' if self._data else ''}{body[at:]}\n".encode()
        reply = self._deliver(event_id, odd)
        if reply.accepted:
            return Finding(
                "exact_bytes", "ok", "A body with blanks, non-ASCII text and odd numbers verifies."
            )
        words = f"To a body with blanks, non-ASCII text and odd numbers {reply.said}. "
        if reply.status in (400, 401, 403):
            words += "Verify the raw bytes of the request, before anything parses them or writes them anew."
        else:
            words += "Its log will say why."
        return Finding("exact_bytes", "fail", words)

    def _large_body(self) -> Finding:
        event_id = self._id()
        reply = self._deliver(event_id, self._body(event_id, filling="x" * LARGE))
        if reply.accepted:
            return Finding("large_body", "ok", f"It takes a body of {LARGE // 1024} KiB.")
        words = (
            f"To a body of {LARGE // 1024} KiB {reply.said}. Raise the limit of the framework or the proxy."
        )
        return Finding("large_body", "fail", words)

    def _latency(self) -> Finding:
        slowest = max(reply.seconds for reply in self._accepted)
        said = f"The slowest answer took {slowest:.2f} s of {self._timeout:g} s"
        if slowest < self._timeout / 2:
            return Finding("latency", "ok", f"{said}.")
        words = f"{said}. Keep the event durably, answer, and do the work afterwards."
        return Finding("latency", "warn", words)

    def _answer(self) -> Finding:
        largest = max(len(reply.body) for reply in self._accepted)
        if largest <= SMALL:
            return Finding("answer", "ok", "Its answers are small.")
        words = (
            f"An answer is larger than {SMALL // 1024} KiB. Answer with nothing, or a few words for the log."
        )
        return Finding("answer", "warn", words)

    # ---------------------------------------------------------------------------------- the requests

    def _deliver(self, event_id: str, body: bytes) -> Reply:
        """As the sender would."""
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

    def _inner(self) -> str:
        return _compact(self._data)

    def _body(self, event_id: str, filling: str = "") -> bytes:
        """An event in the sender's own form. Written so that most languages would write it alike."""
        data = {**self._data, "filling": filling} if filling else self._data
        now = datetime.fromtimestamp(int(self._clock()), UTC)
        moment = now.isoformat().replace("+00:00", "Z")
        shapes: dict[str, dict[str, Any]] = {
            "bluum": {"event": self._type, "timestamp": moment, "data": data, "id": event_id},
            "bluma": {"id": event_id, "type": self._type, "created_at": moment, "data": data},
            "github": {"zen": "Keep it logically awesome.", "hook_id": 1, "payload": data},
            "stripe": {
                "id": event_id,
                "object": "event",
                "type": self._type,
                "created": int(now.timestamp()),
                "data": {"object": data},
            },
        }
        plain = {"type": self._type, "timestamp": moment, "data": data}
        return _compact(shapes.get(self._scheme.name, plain)).encode()

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
