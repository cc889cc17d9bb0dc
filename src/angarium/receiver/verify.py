"""Verifies a request, and returns the event in it."""

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
"""Default limit of a body, in bytes."""


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
    """The event of a request whose signature matches one of the secrets.

    `tolerance` is the allowed difference of the timestamp in seconds (default: that of the scheme, five
    minutes; infinity accepts any). `clock` returns epoch seconds. Raises VerificationError, and nothing else.
    """
    try:
        chosen = find(scheme)
        now, allowed = _limits(clock, chosen.tolerance if tolerance is None else tolerance)
        raw = _bytes(body)
        if len(raw) > _number("max_body", max_body):
            raise TooLarge(f"the body has {len(raw)} bytes; at most {max_body} are allowed")
        proof = chosen.check(raw, Headers(headers), secret.each(secrets), now=now, tolerance=allowed)
        return event.read(raw, chosen.shape, proof)
    except VerificationError:
        raise
    except Exception as error:  # arguments may be objects that raise any exception
        raise Misuse("an argument of verify cannot be used") from error


def _bytes(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    try:
        if isinstance(body, str):
            return body.encode("utf-8")
        if isinstance(body, bytearray | memoryview):
            return bytes(body)
    except ValueError as error:
        raise BadFormat("the body cannot be encoded as bytes") from error
    raise BodyNotBytes


def _limits(clock: Callable[[], float], tolerance: object) -> tuple[float, float]:
    try:
        now = float(clock())
    except Exception as error:  # the given function may raise any exception
        raise Misuse("the clock must return a finite number of seconds") from error
    if not math.isfinite(now):
        raise Misuse("the clock must return a finite number of seconds")
    return now, _number("tolerance", tolerance)


def _number(what: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        number = math.inf
    # NaN would accept everything: no comparison with it is true
    if not number >= 0:
        raise Misuse(f"{what} must be a number, 0 or more")
    return number
