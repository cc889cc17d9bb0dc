"""Clients of the API: `Angarium`, and `AsyncAngarium`, which runs the same calls in threads."""

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
from angarium.message_form import check_payload, encode, is_traceparent


@dataclass(frozen=True, slots=True)
class Sent:
    """An accepted message. It is stored with all its deliveries."""

    id: str
    event_type: str
    event_id: str | None


class Angarium:
    """A client of one server. The default URL and token are in ANGARIUM_URL and ANGARIUM_TOKEN."""

    def __init__(
        self, url: str | None = None, token: str | None = None, *, timeout: float = 30.0, tries: int = 5
    ) -> None:
        url = url or os.environ.get("ANGARIUM_URL")
        token = token or os.environ.get("ANGARIUM_TOKEN")
        if not url or not token:
            missing = "ANGARIUM_URL" if not url else "ANGARIUM_TOKEN"
            raise ClientError(f"{missing} is not set. Set it, or pass url and token to the client.")
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
        traceparent: str | None = None,
    ) -> Sent:
        """Send a message to an application, by its id or uid. Returns when it is stored.

        `payload` is any value that `json` can serialize, or the exact JSON bytes to deliver. `event_id` is
        your own id of the event; an application accepts it once. `traceparent` is the W3C context of your
        span; one that is not valid counts as none. Raises Refused or Unreachable, and ValueError, before
        anything is sent, if the payload is not a JSON object.
        """
        body = message_body(
            event_type, payload, event_id=event_id, channels=channels, tags=tags, deliver_at=deliver_at
        )
        path = f"/app/{quote(application, safe='')}/msg"
        made = self.call(
            "POST",
            path,
            body,
            query={"with_content": False},
            idempotency_key=idempotency_key,
            traceparent=traceparent,
        )
        if not isinstance(made, dict) or not {"id", "eventType"} <= made.keys():
            raise Unreachable(
                f"{self._transport.url} does not answer like an Angarium server. Check the URL."
            )
        return Sent(made["id"], made["eventType"], made.get("eventId"))

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Any operation of the API, by its path below `/api/v1`. Returns the JSON of the response.

        A POST gets an idempotency key unless one is given. Raises Refused or Unreachable.
        """
        raw = self.raw(
            method,
            path,
            body,
            query=query,
            idempotency_key=idempotency_key,
            traceparent=traceparent,
            timeout=timeout,
        )
        return self._transport.parsed(raw)

    def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
        timeout: float | None = None,
    ) -> bytes:
        """As `call`, but returns the JSON unparsed: parsing would change numbers in payloads (1.0, 1E400)."""
        values = {name: _query(value) for name, value in (query or {}).items() if value is not None}
        url = f"/api/v1{path}" + (f"?{urlencode(values, doseq=True)}" if values else "")
        data = body if body is None or isinstance(body, bytes) else encode(body)
        headers = {"idempotency-key": idempotency_key or uuid.uuid4().hex} if method == "POST" else {}
        if traceparent is not None and is_traceparent(traceparent):
            headers["traceparent"] = traceparent
        return self._transport.raw(method, url, data, headers, timeout)

    def each(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """All items of a list. Pages are requested as needed."""
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
    """The client for asyncio. Calls run in threads, so they do not block the event loop."""

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
    """The body of the request that sends a message. A payload in bytes is not changed. Raises ValueError for
    an invalid payload and for a `deliver_at` without a time zone."""
    fields: dict[str, Any] = {"eventType": event_type}
    if event_id is not None:
        fields["eventId"] = event_id
    if channels:
        fields["channels"] = list(channels)
    if tags:
        fields["tags"] = list(tags)
    if deliver_at is not None:
        if deliver_at.utcoffset() is None:
            raise ValueError("deliver_at must have a time zone, such as datetime.now(UTC)")
        fields["deliverAt"] = deliver_at.isoformat()
    data = payload_bytes(payload)
    check_payload(data)  # bytes that are not one JSON value could change the fields around them
    return encode(fields)[:-1] + b',"payload":' + data + b"}"


def payload_bytes(payload: Any) -> bytes:
    """A payload as JSON text; bytes are not changed. Raises ValueError if it cannot be serialized."""
    return bytes(payload) if isinstance(payload, bytes | bytearray | memoryview) else encode(payload)


def _query(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
