"""One delivery taken to a receiver on this machine, and what it answered."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

MAX_ANSWER: Final = 16 * 1024
MAX_HEADERS: Final = 32
MAX_VALUE: Final = 256
_OURS: Final = frozenset({"content-length", "connection", "host", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the receiver did. `status` 0: it gave no HTTP answer, for the reason in `error`."""

    receipt: str
    message: str
    event_type: str
    attempt: int
    status: int
    duration_ms: int
    error: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def delivered(self) -> bool:
        return 200 <= self.status <= 299

    def answer(self) -> dict[str, Any]:
        """As the server wants to hear it."""
        return {
            "receipt": self.receipt,
            "statusCode": self.status,
            "durationMs": self.duration_ms,
            "headers": [list(pair) for pair in self.headers],
            "body": base64.b64encode(self.body).decode(),
            "error": self.error,
        }

    def line(self) -> dict[str, Any]:
        """As the command prints it."""
        return {
            "message": self.message,
            "eventType": self.event_type,
            "attempt": self.attempt,
            "status": self.status,
            "durationMs": self.duration_ms,
            "error": self.error,
        }


class Forwarder:
    """Posts to one URL; `timeout` in seconds for each."""

    def __init__(self, url: str, timeout: float, extra: Mapping[str, str]) -> None:
        self._parts = urlsplit(url)
        if self._parts.scheme not in ("http", "https") or not self._parts.hostname:
            raise ValueError(f"{url!r} is no URL; write http://localhost:3000/webhooks")
        self._path = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        self._timeout = timeout
        self._extra = dict(extra)

    def forward(self, parcel: Mapping[str, Any]) -> Outcome:
        """The same bytes and headers as over the network. Raises nothing: every failure is an outcome."""
        started = time.monotonic()
        status, body, error = 0, b"", None
        headers: tuple[tuple[str, str], ...] = ()
        try:
            status, headers, body = self._post(parcel)
        except TimeoutError:
            error = f"The receiver on the listener's machine did not answer within {self._timeout:g} s."
        except ConnectionRefusedError:
            error = f"Nothing listens at {self._parts.netloc} on the listener's machine. Start the receiver."
        except (OSError, http.client.HTTPException) as problem:
            error = f"The receiver on the listener's machine failed: {problem or type(problem).__name__}"
        return Outcome(
            receipt=parcel["receipt"],
            message=parcel["messageId"],
            event_type=parcel["eventType"],
            attempt=parcel["attempt"],
            status=status,
            duration_ms=round((time.monotonic() - started) * 1000),
            error=error,
            headers=headers,
            body=body,
        )

    def _post(self, parcel: Mapping[str, Any]) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.netloc, timeout=self._timeout)
        try:
            data = base64.b64decode(parcel["body"])
            connection.putrequest("POST", self._path, skip_accept_encoding=True)
            for name, value in [*parcel["headers"], *self._extra.items()]:
                if name.lower() not in _OURS:
                    connection.putheader(name, value.encode())
            connection.putheader("content-length", str(len(data)))
            connection.endheaders(data)
            with connection.getresponse() as response:
                body = response.read(MAX_ANSWER)
                headers = tuple(
                    (name[:100], "(hidden)" if name.lower() == "set-cookie" else value[:MAX_VALUE])
                    for name, value in response.getheaders()[:MAX_HEADERS]
                )
                return response.status, headers, body
        finally:
            connection.close()
