"""A scheme: how one sender signs, and where its bodies hold things."""

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
TOLERANCE = 300.0
"""Seconds that the signed time may differ from ours."""
MOST_SIGNATURES = 50
"""Signatures of one request that are looked at."""


class Scheme(ABC):
    """What `verify` and `angarium.testing.sign` work with."""

    name: str
    shape: Shape
    tolerance: float

    def accept(self, secrets: Sequence[str | bytes]) -> None:  # noqa: B027 (a scheme need not check)
        """Raise BadSecret unless each of them can be used. Called when a receiver is made."""

    @abstractmethod
    def check(
        self, body: bytes, headers: Headers, secrets: Sequence[str | bytes], *, now: float, tolerance: float
    ) -> Proof:
        """What the headers prove; VerificationError unless one signature fits one secret."""

    @abstractmethod
    def sign(
        self, body: bytes, secret: str | bytes, *, event_id: str, timestamp: int, event_type: str
    ) -> dict[str, str]:
        """The headers that a sender would send with this body."""


def seconds(text: str, *, now: float, tolerance: float) -> int:
    """The signed time, if it is within the tolerance."""
    # Decimal digits only: int() alone would also take signs, underscores and other scripts' digits.
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
    """Compared in constant time; the given one is anything that a header can hold."""
    return hmac.compare_digest(expected.encode("ascii"), given.encode("utf-8", "surrogatepass"))


def bounded(signatures: list[str]) -> list[str]:
    if len(signatures) > MOST_SIGNATURES:
        raise BadFormat(f"there are more than {MOST_SIGNATURES} signatures")
    return signatures


def header_text(text: str) -> bytes:
    """A header's value as the bytes that were signed."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadFormat("a header is not text") from error
