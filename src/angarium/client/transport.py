"""Makes the client's HTTP requests: reuses connections, and retries."""

from __future__ import annotations

import http.client
import json
import logging
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from angarium import __version__, json_text
from angarium.client.error import ClientError, Refused, Unreachable
from angarium.client.target import read_target

MAX_ANSWER: Final = 64 * 1024 * 1024
LONGEST_PAUSE: Final = 30.0  # seconds between two attempts, even if the server asks for more
log = logging.getLogger("angarium.client")
_RETRIED: Final = frozenset({429, 500, 502, 503, 504})


@dataclass
class Transport:
    """Requests to one server. Threads may share it: each uses an idle connection, or opens one."""

    url: str
    token: str = field(repr=False)
    timeout: float = 30.0  # seconds for one attempt
    tries: int = 5
    pause: Callable[[float], None] = time.sleep
    _idle: list[http.client.HTTPConnection] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        try:
            self._target = read_target(self.url, "https://hooks.example.com")
        except ValueError as error:
            raise ClientError(str(error)) from error
        if self._target.authorization is not None:
            raise ClientError("The URL must not contain a login. The client authenticates with its token.")
        weakref.finalize(self, _close, self._idle)  # if the client is not closed
        self._base = self._target.path.partition("?")[0].rstrip("/")

    def raw(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """The body of a successful response. Raises Refused or Unreachable.

        Lost connections, 429 and 5xx are retried, so callers give requests that change something an
        idempotency key.
        """
        for number in range(1, self.tries + 1):
            try:
                status, answered, raw = self._once(method, path, body, headers or {}, timeout)
            except (OSError, http.client.HTTPException) as error:
                words = getattr(error, "strerror", None) or str(error) or type(error).__name__
                if number == self.tries:
                    raise Unreachable(f"{self.url} does not answer: {words}") from error
                self._wait(f"does not answer: {words}", _backoff(number))
                continue
            if status in _RETRIED and number < self.tries:
                wait = _asked(answered.get("retry-after")) or _backoff(number)
                self._wait(f"answered {status} {http.client.responses.get(status, '')}".rstrip(), wait)
                continue
            if not 200 <= status <= 299:
                raise Refused(status, _json(raw))
            if raw and raw[:1] not in (b"{", b"["):  # as of a web server at a wrong URL
                raise Unreachable(f"The answer of {self.url} is not JSON. Check the URL.")
            return raw
        raise AssertionError("unreachable")

    def _wait(self, what: str, seconds: float) -> None:
        log.info("%s %s; trying again in %.1f s", self.url, what, seconds)
        self.pause(seconds)

    def parsed(self, raw: bytes) -> Any:
        """The JSON of a response, or None if it is empty. Raises Unreachable."""
        try:
            return json.loads(raw, parse_int=json_text.integer) if raw else None
        except (ValueError, RecursionError) as error:
            raise Unreachable(f"The answer of {self.url} is not JSON: {error}. Check the URL.") from error

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            _close(self._idle)

    def _once(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout: float | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        with self._lock:
            connection = self._idle.pop() if self._idle else self._open()
        connection.timeout = timeout or self.timeout
        if connection.sock is not None:
            connection.sock.settimeout(connection.timeout)
        sent = {
            "authorization": f"Bearer {self.token}",
            "user-agent": f"angarium-client/{__version__}",
            **({} if body is None else {"content-type": "application/json"}),
            **headers,
        }
        try:
            connection.request(method, self._base + path, body, sent)
            with connection.getresponse() as response:
                raw = response.read(MAX_ANSWER + 1)
                if len(raw) > MAX_ANSWER:
                    raise http.client.HTTPException("the response is too large")
                lowered = {name.lower(): value for name, value in response.getheaders()}
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return response.status, lowered, raw

    def _open(self) -> http.client.HTTPConnection:
        return self._target.connection()


def _close(idle: list[http.client.HTTPConnection]) -> None:
    while idle:
        idle.pop().close()


def _backoff(number: int) -> float:
    """Doubles with each attempt. Jitter keeps many clients from retrying at the same time."""
    return min(LONGEST_PAUSE, 0.2 * 2.0**number) * random.uniform(0.5, 1.0)  # noqa: S311


def _asked(retry_after: str | None) -> float | None:
    if retry_after is None or not retry_after.isdecimal() or len(retry_after) > 6:
        return None
    return min(LONGEST_PAUSE, float(retry_after))


def _json(raw: bytes) -> Any:
    """The JSON of an error, or None if it is not JSON."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
