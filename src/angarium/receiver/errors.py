"""Errors of the receiver.

`verify` raises VerificationError or a subclass, and nothing else, for any input. `status` is the response to
the sender: 401 if the request cannot be trusted, 400 or 413 if it cannot be read, and 500 if the receiver is
misconfigured, so that the sender retries until that is fixed.
"""

from __future__ import annotations

import math
from typing import ClassVar


class VerificationError(Exception):
    """The request is not verified."""

    code: ClassVar[str] = "unverified"
    status: ClassVar[int] = 401

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or " ".join((type(self).__doc__ or self.code).split()))


class MissingHeader(VerificationError):
    """A header that the scheme requires is missing."""

    code = "missing_header"


class NoMatch(VerificationError):
    """No signature matches. Check that the secret is that of the endpoint, and the body the raw one."""

    code = "no_match"


class Expired(VerificationError):
    """The timestamp is too old, or too far in the future."""

    code = "expired"


class BadFormat(VerificationError):
    """A header or the body is malformed."""

    code = "bad_format"
    status = 400


class TooLarge(VerificationError):
    """The body is larger than this receiver accepts."""

    code = "too_large"
    status = 413


class Misuse(VerificationError):
    """The receiver is misconfigured. This is not the fault of the sender."""

    code = "misuse"
    status = 500


class BodyNotBytes(Misuse):
    """The body was parsed already. Verify the raw body: serializing the body again gives other bytes than
    the signed ones. Read it before anything parses it: `request.get_data()` in Flask, `request.body` in
    Django, `await request.body()` in FastAPI and Starlette, `await request.read()` in aiohttp."""

    code = "body_not_bytes"


class BadSecret(Misuse):
    """A secret cannot be used with this scheme."""

    code = "bad_secret"


class UnknownScheme(Misuse):
    """There is no scheme with this name."""

    code = "unknown_scheme"


class MissingLibrary(Misuse):
    """An optional library is not installed."""

    code = "missing_library"


class BadPayload(ValueError):
    """The data does not match the type in the handler's annotation."""


class RetryLater(Exception):
    """Raised by a handler to ask the sender to retry after this number of seconds."""

    def __init__(self, seconds: float = 60) -> None:
        if not 0 <= seconds < math.inf:
            raise ValueError(f"seconds must be a finite number, 0 or more, not {seconds}")
        super().__init__(f"retry in {seconds:g} s")
        self.seconds = seconds


class LeaseHeld(Exception):
    """Another process or thread is handling this event. Try again later."""
