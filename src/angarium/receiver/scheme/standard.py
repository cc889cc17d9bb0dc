"""Standard Webhooks, and Svix, which differs only in the names of its headers.

There are three headers: `<family>-id`, `<family>-timestamp` and `<family>-signature`. The last is a list of
`v1,<base64>` (HMAC-SHA256) and `v1a,<base64>` (Ed25519), separated by spaces. The signed content is
`{id}.{timestamp}.{body}`. Other versions are ignored.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from angarium.receiver.errors import BadFormat, MissingHeader, NoMatch
from angarium.receiver.event import Proof, Shape
from angarium.receiver.headers import Headers
from angarium.receiver.scheme.base import (
    ENVELOPE,
    TOLERANCE,
    Scheme,
    bounded,
    header_text,
    mac,
    same,
    seconds,
)
from angarium.receiver.secret import (
    PRIVATE,
    PUBLIC,
    SYMMETRIC,
    ed25519_check,
    ed25519_sign,
    from_base64,
    key,
)

PARTS = ("id", "timestamp", "signature")


@dataclass(frozen=True, slots=True)
class Standard(Scheme):
    """`families` are tried in order. The first one whose headers are complete is used."""

    name: str = "standard"
    families: tuple[str, ...] = ("webhook", "svix")
    tolerance: float = TOLERANCE
    shape: Shape = field(default_factory=Shape)
    envelope: str = ENVELOPE

    def accept(self, secrets: Sequence[str | bytes]) -> None:
        for secret in secrets:
            _check(secret)

    def check(
        self, body: bytes, headers: Headers, secrets: Sequence[str | bytes], *, now: float, tolerance: float
    ) -> Proof:
        # before the request is read, so that every request reports a bad secret
        checks = [_check(secret) for secret in secrets]
        family = self._family(headers)
        event_id = headers.need(f"{family}-id")
        stamp = headers.need(f"{family}-timestamp")
        listed = headers.need_any(f"{family}-signature")
        signed = seconds(stamp, now=now, tolerance=tolerance)
        content = b"%b.%b.%b" % (header_text(event_id), header_text(stamp), body)
        for entry in bounded(" ".join(listed).split()):
            version, _, encoded = entry.partition(",")
            for wanted, fits in checks:
                if version == wanted and fits(content, encoded):
                    return Proof(id=event_id, sent_at=signed)
        raise NoMatch

    def _family(self, headers: Headers) -> str:
        for family in self.families:
            if all(headers.every(f"{family}-{part}") for part in PARTS):
                return family
        for family in self.families:
            missing = [part for part in PARTS if not headers.every(f"{family}-{part}")]
            if len(missing) < len(PARTS):
                raise MissingHeader(f"the header {family}-{missing[0]} is missing")
        first = self.families[0]
        raise MissingHeader(f"the headers {first}-id, {first}-timestamp and {first}-signature are missing")

    def sign(
        self, body: bytes, secret: str | bytes, *, event_id: str, timestamp: int, event_type: str
    ) -> dict[str, str]:
        if not event_id or "." in event_id:
            raise BadFormat("an id must not be empty or contain a period")
        content = b"%b.%d.%b" % (header_text(event_id), timestamp, body)
        if isinstance(secret, str) and secret.startswith(PRIVATE):
            signature = "v1a," + b64encode(ed25519_sign(secret, content)).decode("ascii")
        else:
            signature = "v1," + b64encode(mac(key(secret, "base64", SYMMETRIC), content)).decode("ascii")
        values = (event_id, str(timestamp), signature)
        family = self.families[0]
        return {f"{family}-{part}": value for part, value in zip(PARTS, values, strict=True)}


def _check(secret: str | bytes) -> tuple[str, Callable[[bytes, str], bool]]:
    """The signature version of this secret, and the function that compares a signature."""
    if isinstance(secret, str) and secret.startswith((PRIVATE, PUBLIC)):
        fits = ed25519_check(secret)

        def asymmetric(content: bytes, given: str) -> bool:
            try:
                return fits(from_base64(given, padded=True), content)
            except ValueError:
                return False

        return "v1a", asymmetric

    decoded = key(secret, "base64", SYMMETRIC)

    def symmetric(content: bytes, given: str) -> bool:
        return same(b64encode(mac(decoded, content)).decode("ascii"), given)

    return "v1", symmetric
