"""`Angarium`, and `AsyncAngarium` that does the same on threads of the running loop."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from angarium.client.error import ClientError, Unreachable
from angarium.client.transport import Transport
from angarium.message_form import check_payload, encode


@dataclass(frozen=True, slots=True)
class Sent:
    """An accepted message: it and every delivery it owes are stored."""

    id: str
    event_type: str
    event_id: str | None


class Angarium:
    """One server and an organization's token, given or from ANGARIUM_URL and ANGARIUM_TOKEN."""

    def __init__(
        self, url: str | None = None, token: str | None = None, *, timeout: float = 30.0, tries: int = 5
    ) -> None:
        url = url or os.environ.get("ANGARIUM_URL")
        token = token or os.environ.get("ANGARIUM_TOKEN")
        if not url or not token:
            missing = "ANGARIUM_URL" if not url else "ANGARIUM_TOKEN"
            raise ClientError(f"{missing} is not set, and was not given.")
        self._transport = Transport(url, token, timeout, tries)

    def send(
        self,
        application: str,
        event_type: str,
        payload: Any,
        *,
        event_id: str | None = None,
        channels: Sequence[str] = (),
        tags: Sequence[str] = (),
        deliver_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> Sent:
        """Send a message to an application, by its id or uid.

        `payload` is anything that json can write, or the exact JSON bytes to deliver. `event_id`: your own
        id of the event, accepted once in an application. Raises Refused or Unreachable, and ValueError for a
        payload that is not a JSON object: nothing is sent then.
        """
        body = message_body(
            event_type, payload, event_id=event_id, channels=channels, tags=tags, deliver_at=deliver_at
        )
        path = f"/app/{quote(application, safe='')}/msg"
        made = self.call("POST", path, body, query={"with_content": False}, idempotency_key=idempotency_key)
        if not isinstance(made, dict) or not {"id", "eventType"} <= made.keys():
            raise Unreachable(f"{self._transport.url} does not answer as an Angarium server")
        return Sent(made["id"], made["eventType"], made.get("eventId"))

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Any operation of the API, by its path below `/api/v1`; gives the JSON answer.

        A POST gets an idempotency key unless it is given one. Raises Refused or Unreachable.
        """
        return self._transport.call(*self._request(method, path, body, query, idempotency_key), timeout)

    def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """The same, but the JSON as it came: parsing it would change numbers of payloads (1.0, 1E400)."""
        return self._transport.raw(*self._request(method, path, body, query, idempotency_key), timeout)

    @staticmethod
    def _request(
        method: str, path: str, body: Any, query: Mapping[str, Any] | None, idempotency_key: str | None
    ) -> tuple[str, str, bytes | None, dict[str, str]]:
        asked = {name: _query(value) for name, value in (query or {}).items() if value is not None}
        place = f"/api/v1{path}" + (f"?{urlencode(asked, doseq=True)}" if asked else "")
        data = body if body is None or isinstance(body, bytes) else encode(body)
        headers = {}
        if method == "POST":
            headers["idempotency-key"] = idempotency_key or uuid.uuid4().hex
        return method, place, data, headers

    def each(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page after page."""
        iterator = None
        while True:
            page = self.call("GET", path, query={"limit": 100, **query, "iterator": iterator})
            yield from page["data"]
            iterator = page.get("iterator")
            if page.get("done", True) or iterator is None:
                return

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def __enter__(self) -> Angarium:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncAngarium:
    """The same for asyncio: calls run on threads, so the loop is never held up."""

    def __init__(
        self, url: str | None = None, token: str | None = None, *, timeout: float = 30.0, tries: int = 5
    ) -> None:
        self._sync = Angarium(url, token, timeout=timeout, tries=tries)

    async def send(self, application: str, event_type: str, payload: Any, **more: Any) -> Sent:
        """See Angarium.send."""
        return await asyncio.to_thread(self._sync.send, application, event_type, payload, **more)

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """See Angarium.call."""
        return await asyncio.to_thread(self._sync.call, method, path, body, **more)

    async def __aenter__(self) -> AsyncAngarium:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sync.close()


def message_body(
    event_type: str,
    payload: Any,
    *,
    event_id: str | None = None,
    channels: Sequence[str] = (),
    tags: Sequence[str] = (),
    deliver_at: datetime | None = None,
) -> bytes:
    """The body of message create; a payload in bytes stays as it is. Raises ValueError for a bad payload and
    for a `deliver_at` without a time zone."""
    said: dict[str, Any] = {"eventType": event_type}
    if event_id is not None:
        said["eventId"] = event_id
    if channels:
        said["channels"] = list(channels)
    if tags:
        said["tags"] = list(tags)
    if deliver_at is not None:
        if deliver_at.utcoffset() is None:
            raise ValueError("deliver_at must have a time zone, such as datetime.now(UTC)")
        said["deliverAt"] = deliver_at.isoformat()
    data = bytes(payload) if isinstance(payload, bytes | bytearray | memoryview) else encode(payload)
    check_payload(data)  # bytes that are no value of their own could change the fields around them
    return encode(said)[:-1] + b',"payload":' + data + b"}"


def _query(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
