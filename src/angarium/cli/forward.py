"""Forwards a delivery to a receiver on this machine and reads the response."""

from __future__ import annotations

import base64
import http.client
import re
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from angarium.client.target import read_target

MAX_ANSWER: Final = 16 * 1024
MAX_HEADERS: Final = 32
MAX_VALUE: Final = 256
_AUTOMATIC: Final = frozenset({"content-length", "connection", "transfer-encoding"})
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class ForwardResult:
    """The result of a forwarded delivery. `status` 0: no HTTP response, for the reason in `error`."""

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
        """The result in the form of the API."""
        return {
            "receipt": self.receipt,
            "statusCode": self.status,
            "durationMs": self.duration_ms,
            "headers": [list(pair) for pair in self.headers],
            "body": base64.b64encode(self.body).decode(),
            "error": self.error,
        }

    def line(self) -> dict[str, Any]:
        """The result as the command prints it."""
        return {
            "message": self.message,
            "eventType": self.event_type,
            "attempt": self.attempt,
            "status": self.status,
            "durationMs": self.duration_ms,
            "error": self.error,
        }


def read_header(given: str) -> tuple[str, str]:
    """Parses a header `Name: value`. Raises ValueError, also for a header that cannot be set."""
    name, colon, value = (part.strip() for part in given.partition(":"))
    if not colon or _NAME.fullmatch(name) is None:
        raise ValueError(f"write 'Name: value', not {given!r}")
    if any((ord(c) < 0x20 and c != "\t") or ord(c) == 0x7F for c in value):
        raise ValueError(f"the value of {name} contains a control character")
    if name.lower() in _AUTOMATIC:
        raise ValueError(f"the header {name} is set automatically and cannot be changed")
    return name, value


class DeliveryForwarder:
    """Posts deliveries to one URL; `timeout` in seconds per request.

    `extra` headers replace headers of the delivery with the same name, including `Host`. `insecure`: accept
    any certificate. Raises ValueError if `url` is not a URL.
    """

    def __init__(
        self, url: str, timeout: float, extra: Sequence[tuple[str, str]] = (), *, insecure: bool = False
    ) -> None:
        self._target = read_target(url, "http://localhost:3000/webhooks", scheme="http")
        self._timeout = timeout
        self._extra = list(extra)
        named = any(name.lower() == "authorization" for name, _ in self._extra)
        if self._target.authorization is not None and not named:
            self._extra.append(("authorization", self._target.authorization))
        self._replaced = {name.lower() for name, _ in self._extra} | _AUTOMATIC
        self._context = _any_certificate() if insecure and self._target.secure else None

    def forward(self, fetched: Mapping[str, Any]) -> ForwardResult:
        """Posts the same bytes and headers as a delivery over the network. Returns failures as results."""
        started = time.monotonic()
        status, body, error = 0, b"", None
        headers: tuple[tuple[str, str], ...] = ()
        try:
            status, headers, body = self._post(fetched)
        except TimeoutError:
            error = f"The receiver on the listener's machine did not respond within {self._timeout:g} s."
        except ConnectionRefusedError:
            error = f"Nothing listens at {self._target.origin} on the listener's machine. Start the receiver."
        except ssl.SSLCertVerificationError as problem:
            words = problem.verify_message or str(problem)
            error = f"The certificate of the receiver is not valid ({words}). To accept it, add --insecure."
        except (OSError, http.client.HTTPException, ValueError) as problem:
            error = f"The receiver on the listener's machine failed: {problem or type(problem).__name__}"
        return ForwardResult(
            receipt=fetched["receipt"],
            message=fetched["messageId"],
            event_type=fetched["eventType"],
            attempt=int(fetched["attempt"]),
            status=status,
            duration_ms=round((time.monotonic() - started) * 1000),
            error=error,
            headers=headers,
            body=body,
        )

    def _post(self, fetched: Mapping[str, Any]) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        connection = self._target.connection(self._timeout, self._context)
        try:
            data = base64.b64decode(fetched["body"])
            connection.putrequest(
                "POST", self._target.path, skip_host="host" in self._replaced, skip_accept_encoding=True
            )
            for name, value in fetched["headers"]:
                if name.lower() not in self._replaced and name.lower() != "host":
                    connection.putheader(name, value.encode())
            for name, value in self._extra:
                connection.putheader(name, value.encode("utf-8", "surrogateescape"))
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


def _any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
