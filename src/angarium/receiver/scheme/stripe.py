"""Stripe: one header, `t=<seconds>,v1=<hex>`, with several `v1` while a secret is rotated.

The signature is the HMAC-SHA256 of `{t}.{body}`. The key is the whole secret, including `whsec_`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from angarium.receiver.errors import BadFormat, NoMatch
from angarium.receiver.event import Proof, Shape
from angarium.receiver.headers import Headers
from angarium.receiver.scheme.base import TOLERANCE, Scheme, bounded, header_text, mac, same, seconds
from angarium.receiver.secret import key


@dataclass(frozen=True, slots=True)
class Stripe(Scheme):
    name: str = "stripe"
    header: str = "Stripe-Signature"
    tolerance: float = TOLERANCE
    shape: Shape = field(default_factory=lambda: Shape(type=("type",), timestamp=("created",)))
    envelope: str = '{"id":{id},"object":"event","type":{type},"created":{seconds},"data":{"object":{data}}}'

    def accept(self, secrets: Sequence[str | bytes]) -> None:
        for secret in secrets:
            key(secret)

    def check(
        self, body: bytes, headers: Headers, secrets: Sequence[str | bytes], *, now: float, tolerance: float
    ) -> Proof:
        keys = [key(secret) for secret in secrets]
        times: set[str] = set()
        signatures: list[str] = []
        for part in ",".join(headers.need_any(self.header)).split(","):
            name, _, value = part.strip().partition("=")
            if name == "t":
                times.add(value)
            elif name == "v1":
                signatures.append(value)
        if len(times) != 1:
            raise BadFormat(f"the header {self.header} must contain one timestamp, as in t=1700000000,v1=…")
        stamp = times.pop()
        signed = seconds(stamp, now=now, tolerance=tolerance)
        content = b"%b.%b" % (header_text(stamp), body)
        for expected in [mac(one, content).hex() for one in keys]:
            if any(same(expected, given) for given in bounded(signatures)):
                return Proof(sent_at=signed)
        raise NoMatch

    def sign(
        self, body: bytes, secret: str | bytes, *, event_id: str, timestamp: int, event_type: str
    ) -> dict[str, str]:
        signature = mac(key(secret), b"%d.%b" % (timestamp, body)).hex()
        return {self.header: f"t={timestamp},v1={signature}"}
