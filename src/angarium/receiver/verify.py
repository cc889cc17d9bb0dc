"""`verify`: from a request to the event in it, or a VerificationError."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from angarium.receiver import event, secret
from angarium.receiver.errors import BadFormat, BodyNotBytes, Misuse, TooLarge, VerificationError
from angarium.receiver.event import Event
from angarium.receiver.headers import Given, Headers
from angarium.receiver.scheme import Scheme, find

MAX_BODY = 1024 * 1024
"""Bytes of a body that are taken unless told otherwise."""


def verify(
    body: bytes | bytearray | memoryview | str,
    headers: Given,
    secrets: secret.Secrets,
    scheme: str | Scheme = "standard",
    *,
    tolerance: float | None = None,
    clock: Callable[[], float] = time.time,
    max_body: int = MAX_BODY,
) -> Event[Any]:
    """The event of a request whose signature fits one of the secrets.

    `tolerance` is in seconds (infinity to accept any time; default: the scheme's, which is five minutes)
    and `clock` gives epoch seconds. Raises VerificationError, and nothing else.
    """
    try:
        chosen = find(scheme)
        now, allowed = _limits(clock, chosen.tolerance if tolerance is None else tolerance)
        raw = _bytes(body)
        if len(raw) > _number("max_body", max_body):
            raise TooLarge(f"the body has {len(raw)} bytes; this receiver takes {max_body}")
        proof = chosen.check(raw, Headers(headers), secret.each(secrets), now=now, tolerance=allowed)
        return event.read(raw, chosen.shape, proof)
    except VerificationError:
        raise
    except Exception as error:  # arguments may be objects that raise whatever is asked of them
        raise Misuse("an argument is not what verify takes") from error


def _bytes(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    try:
        if isinstance(body, str):
            return body.encode("utf-8")
        if isinstance(body, bytearray | memoryview):
            return bytes(body)
    except ValueError as error:
        raise BadFormat("the body cannot be read as bytes") from error
    raise BodyNotBytes


def _limits(clock: Callable[[], float], tolerance: object) -> tuple[float, float]:
    try:
        now = float(clock())
    except Exception as error:  # somebody else's function: it may raise anything
        raise Misuse("the clock does not tell the time") from error
    if not math.isfinite(now):
        raise Misuse("the clock does not tell the time")
    return now, _number("tolerance", tolerance)


def _number(what: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        number = math.inf
    # NaN would let everything through: no comparison with it is true
    if not number >= 0:
        raise Misuse(f"{what} is not a number from 0 on")
    return number
