"""Defines schemes: how a sender signs, and the form of its bodies."""

from __future__ import annotations

import hmac
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from angarium.receiver.errors import BadFormat, Expired
from angarium.receiver.event import Proof, Shape
from angarium.receiver.headers import Headers

Algorithm = Literal["sha1", "sha256", "sha384", "sha512"]
ENVELOPE = '{"type":{type},"timestamp":{time},"data":{data}}'
TOLERANCE = 300.0
"""Default for how much a timestamp may differ from our time, in seconds."""
MOST_SIGNATURES = 50
"""Maximum number of signatures in a request."""


class Scheme(ABC):
    """How one sender signs, for `verify` and `angarium.testing.sign`."""

    name: str
    shape: Shape
    tolerance: float
    envelope: str
    """A body of this sender, for test events: JSON with `{id}`, `{type}`, `{time}`, `{seconds}`, `{data}`."""

    def accept(self, secrets: Sequence[str | bytes]) -> None:  # noqa: B027 (optional)
        """Raise BadSecret unless each secret can be used. Called when a Receiver is made."""

    @abstractmethod
    def check(
        self, body: bytes, headers: Headers, secrets: Sequence[str | bytes], *, now: float, tolerance: float
    ) -> Proof:
        """What the headers prove. Raises VerificationError unless a signature matches one of the secrets."""

    @abstractmethod
    def sign(
        self, body: bytes, secret: str | bytes, *, event_id: str, timestamp: int, event_type: str
    ) -> dict[str, str]:
        """The headers that the sender would send with this body."""


def seconds(text: str, *, now: float, tolerance: float) -> int:
    """The timestamp, if it is within the tolerance. Raises BadFormat or Expired."""
    # decimal digits only: int() would also accept signs, underscores and digits of other scripts
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise BadFormat("the timestamp is not a whole number of seconds")
    signed = int(text)
    if signed < now - tolerance:
        raise Expired(f"the timestamp is {_apart(now - signed)} in the past; check the clocks of both sides")
    if signed > now + tolerance:
        raise Expired(
            f"the timestamp is {_apart(signed - now)} in the future; check the clocks of both sides"
        )
    return signed


def _apart(difference: float) -> str:
    return f"{math.ceil(difference)} s"


def mac(key: bytes, content: bytes, algorithm: Algorithm = "sha256") -> bytes:
    return hmac.digest(key, content, algorithm)


def same(expected: str, given: str) -> bool:
    """Compare in constant time. `given` is any text that a header can contain."""
    return hmac.compare_digest(expected.encode("ascii"), given.encode("utf-8", "surrogatepass"))


def bounded(signatures: list[str]) -> list[str]:
    if len(signatures) > MOST_SIGNATURES:
        raise BadFormat(f"there are more than {MOST_SIGNATURES} signatures")
    return signatures


def header_text(text: str) -> bytes:
    """The value of a header as the bytes that were signed."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadFormat("a header is not text") from error
