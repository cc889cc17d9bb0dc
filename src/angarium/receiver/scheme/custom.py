"""Describes the scheme of a sender that puts an HMAC into a header.

    Custom(
        name="slack", header="X-Slack-Signature", prefix="v0=", signed="v0:{timestamp}:{body}",
        timestamp_header="X-Slack-Request-Timestamp",
    )

The description is checked when it is made; mistakes raise ValueError. GitHub's scheme is written with it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from angarium.receiver.errors import NoMatch
from angarium.receiver.event import Proof, Shape, parse
from angarium.receiver.headers import Headers
from angarium.receiver.scheme.base import (
    ENVELOPE,
    TOLERANCE,
    Algorithm,
    Scheme,
    bounded,
    header_text,
    mac,
    same,
    seconds,
)
from angarium.receiver.secret import Decoding, key

_PLACE = re.compile(r"(\{[^{}]*\})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom(Scheme):
    name: str
    header: str
    """The header with the signature."""
    algorithm: Algorithm = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    """Text before the signature, such as `sha256=`."""
    separator: str | None = None
    """Text between signatures, if a header may contain several."""
    signed: str = "{body}"
    """The signed content: `{body}`, and optionally `{timestamp}`, `{id}` and text."""
    key: Decoding = "text"
    """The encoding of the secret after `key_prefix`."""
    key_prefix: str = ""
    timestamp_header: str | None = None
    tolerance: float = TOLERANCE
    """Seconds. Used only if the timestamp is signed."""
    id_header: str | None = None
    """The header with the id. By default the id is in the body, at `shape`. An unsigned header can be
    changed by anyone who has seen a request."""
    type_header: str | None = None
    action: str | None = None
    """A field of the body that is appended to the type, after a period."""
    shape: Shape = field(default_factory=Shape)
    envelope: str = ENVELOPE

    def __post_init__(self) -> None:
        places = set(_PLACE.findall(self.signed))
        if unknown := places - {"{body}", "{timestamp}", "{id}"}:
            raise ValueError(f"signed: {min(unknown)} must be one of {{body}}, {{timestamp}}, {{id}}")
        if "{body}" not in places:
            raise ValueError("signed: must contain {body}")
        for place, header in (("{timestamp}", self.timestamp_header), ("{id}", self.id_header)):
            if place in places and header is None:
                raise ValueError(f"signed: {place} requires {place.strip('{}')}_header")
        if self.timestamp_header is not None and "{timestamp}" not in places:
            raise ValueError("timestamp_header: has no effect unless {timestamp} is signed")
        for what, value, known in (
            ("algorithm", self.algorithm, get_args(Algorithm)),
            ("encoding", self.encoding, ("hex", "base64")),
            ("key", self.key, get_args(Decoding)),
        ):
            if value not in known:
                raise ValueError(f"{what}: must be one of {', '.join(known)}, not {value!r}")

    def accept(self, secrets: Sequence[str | bytes]) -> None:
        for secret in secrets:
            key(secret, self.key, self.key_prefix)

    def check(
        self, body: bytes, headers: Headers, secrets: Sequence[str | bytes], *, now: float, tolerance: float
    ) -> Proof:
        keys = [key(secret, self.key, self.key_prefix) for secret in secrets]
        listed = headers.need_any(self.header)
        stamp = headers.need(self.timestamp_header) if self.timestamp_header else ""
        signed = seconds(stamp, now=now, tolerance=tolerance) if self.timestamp_header else None
        in_content = "{id}" in self.signed
        event_id = self.id_header and (headers.need if in_content else headers.one)(self.id_header)
        content = self._content(body, event_id or "", stamp)
        given = [
            one for value in listed for one in (value.split(self.separator) if self.separator else [value])
        ]
        for expected in [self._encoded(one, content) for one in keys]:
            for signature in bounded(given):
                if same(expected, self._bare(signature.strip())):
                    return Proof(id=event_id, type=self._type(body, headers), sent_at=signed)
        raise NoMatch

    def sign(
        self, body: bytes, secret: str | bytes, *, event_id: str, timestamp: int, event_type: str
    ) -> dict[str, str]:
        content = self._content(body, event_id, str(timestamp))
        signature = self._encoded(key(secret, self.key, self.key_prefix), content)
        headers = {self.header: self.prefix + signature}
        if self.timestamp_header:
            headers[self.timestamp_header] = str(timestamp)
        if self.id_header:
            headers[self.id_header] = event_id
        if self.type_header:
            headers[self.type_header] = event_type
        return headers

    def _content(self, body: bytes, event_id: str, stamp: str) -> bytes:
        values = {"{body}": body, "{timestamp}": header_text(stamp), "{id}": header_text(event_id)}
        return b"".join(values.get(part, part.encode("utf-8")) for part in _PLACE.split(self.signed))

    def _encoded(self, key: bytes, content: bytes) -> str:
        digest = mac(key, content, self.algorithm)
        return digest.hex() if self.encoding == "hex" else b64encode(digest).decode("ascii")

    def _bare(self, signature: str) -> str:
        """The signature without its prefix. Empty if the prefix is missing, which matches nothing."""
        bare = signature.removeprefix(self.prefix) if signature.startswith(self.prefix) else ""
        return bare.lower() if self.encoding == "hex" else bare

    def _type(self, body: bytes, headers: Headers) -> str | None:
        named = self.type_header and headers.one(self.type_header)
        if not (named and self.action):
            return named or None
        parsed = parse(body)
        action = parsed.get(self.action) if isinstance(parsed, dict) else None
        return f"{named}.{action}" if isinstance(action, str) and action else named
