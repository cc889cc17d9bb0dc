"""Builds the bodies and headers of a product's requests, as its profile defines.

The body is built once, when a message is accepted: those bytes are stored, signed and sent. Headers are built
for each attempt.
"""

from __future__ import annotations

import hmac
import math
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from angarium.core import ids
from angarium.core.envelope import CONTENT_TYPE, request_headers
from angarium.core.nouns import SigningKey
from angarium.core.profile import Profile
from angarium.core.profile_table import SigningTable
from angarium.core.signature import Signer, secret_bytes

_DIGESTS: Final = {"hmac-sha1": "sha1", "hmac-sha256": "sha256", "hmac-sha512": "sha512"}


class FormatKey:
    """A signing key, prepared for every signature scheme of the message format."""

    __slots__ = ("active_at", "expires_at", "own", "signer")

    def __init__(self, key: SigningKey, schemes: Sequence[tuple[str, SigningTable]]) -> None:
        self.signer = Signer(key.secret)
        self.own = tuple((header, own_signer(key.secret, scheme)) for header, scheme in schemes)
        self.expires_at = math.inf if key.expires_at is None else key.expires_at
        self.active_at = 0.0 if key.active_at is None else key.active_at


class MessageFormat:
    """Builds the bodies and headers of one product."""

    def __init__(self, profile: Profile, user_agent: str) -> None:
        self._prefix = profile.ids.message
        self._envelope = tuple(profile.envelope.items())
        self._families = tuple(scheme.family for scheme in profile.signing if scheme.family is not None)
        self._own = tuple((scheme.header, scheme) for scheme in profile.signing if scheme.header is not None)
        self._headers = tuple(profile.delivery.headers.items())
        self._taken = {name.lower() for name in (*profile.delivery.headers, *(own for own, _ in self._own))}
        self._user_agent = profile.delivery.user_agent or user_agent

    def message_id(self, message_id: UUID) -> str:
        """The id that receivers see."""
        return ids.text(self._prefix, message_id)

    def body(self, message_id: UUID, event_type: str, at: float, payload: bytes) -> bytes:
        """The bytes to send: the payload unchanged, inside the envelope if there is one.

        `at` is the time of the event, epoch seconds.
        """
        if not self._envelope:
            return payload
        parts: dict[str, bytes] = {
            "{id}": msgspec.json.encode(self.message_id(message_id)),
            "{type}": msgspec.json.encode(event_type),
            "{time}": msgspec.json.encode(_iso(at)),
            "{data}": payload,
        }
        return b"{%b}" % b",".join(
            b"%b:%b" % (msgspec.json.encode(key), parts[value]) for key, value in self._envelope
        )

    def keys(self, keys: Sequence[SigningKey]) -> tuple[FormatKey, ...]:
        """Prepared keys, current first."""
        return tuple(FormatKey(key, self._own) for key in keys)

    def headers(
        self,
        *,
        message_id: UUID,
        event_type: str,
        body: bytes,
        keys: Sequence[FormatKey],
        custom: Mapping[str, str],
        now: float,
        content_type: str | None = None,
    ) -> list[tuple[str, str]]:
        """All headers of an attempt made now, with a new timestamp and signatures but the same id.

        `content_type`: of the message; None: JSON.
        """
        public = self.message_id(message_id)
        timestamp = int(now)
        living = [key for key in keys if now < key.expires_at]
        headers = request_headers(
            message_id=public,
            timestamp=timestamp,
            body=body,
            signers=[key.signer for key in living],
            custom=custom,
            user_agent=self._user_agent,
            families=self._families,
            content_type=content_type or CONTENT_TYPE,
        )
        if self._own or self._headers:
            # only one signature: that of the active key
            alone = next((key for key in living if key.active_at <= now), living[0])
            headers = [header for header in headers if header[0].lower() not in self._taken]
            headers += [(name, sign(public, timestamp, body)) for name, sign in alone.own]
            headers += [
                (name, value.replace("{id}", public).replace("{type}", event_type))
                for name, value in self._headers
            ]
        return headers


def own_signer(secret: str, scheme: SigningTable) -> Callable[[str, int, bytes], str]:
    """Returns `sign(message_id, timestamp, body)`, which makes the value of the scheme's header."""
    key = secret.encode() if scheme.key == "text" else secret_bytes(secret)
    digest = _DIGESTS[scheme.algorithm]
    before, _, after = scheme.signed.partition("{body}")

    def filled(text: str, message_id: str, timestamp: int) -> bytes:
        return text.replace("{id}", message_id).replace("{timestamp}", str(timestamp)).encode()

    def sign(message_id: str, timestamp: int, body: bytes) -> str:
        content = filled(before, message_id, timestamp) + body + filled(after, message_id, timestamp)
        made = hmac.digest(key, content, digest)
        text = made.hex() if scheme.encoding == "hex" else b64encode(made).decode()
        return scheme.format.replace("{timestamp}", str(timestamp)).replace("{signature}", text)

    return sign


def _iso(at: float) -> str:
    """ISO 8601 in UTC with `Z`, with milliseconds unless they are zero."""
    moment = datetime.fromtimestamp(round(at, 3), UTC)
    spec: Any = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=spec).replace("+00:00", "Z")
