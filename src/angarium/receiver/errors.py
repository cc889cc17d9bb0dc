"""What can be wrong with a request that claims to be a webhook.

`verify` raises VerificationError or one of its kinds, and nothing else, whatever it is given. `status` is
what the sender is told: 401 for what cannot be trusted, 400 and 413 for what cannot be read, and 500 for
mistakes on our side, so that the sender tries again once they are mended.
"""

from __future__ import annotations

import math
from typing import ClassVar


class VerificationError(Exception):
    """The request is not a webhook that can be trusted."""

    code: ClassVar[str] = "unverified"
    status: ClassVar[int] = 401

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or type(self).__doc__ or self.code)


class MissingHeader(VerificationError):
    """A header that the scheme needs is missing."""

    code = "missing_header"


class NoMatch(VerificationError):
    """No signature fits: another secret, or a body that is not the one that was signed."""

    code = "no_match"


class Expired(VerificationError):
    """The signed time is too long ago, or too far in the future."""

    code = "expired"


class BadFormat(VerificationError):
    """A header or the body does not have the form that the scheme prescribes."""

    code = "bad_format"
    status = 400


class TooLarge(VerificationError):
    """The body is larger than this receiver takes."""

    code = "too_large"
    status = 413


class Misuse(VerificationError):
    """The receiver itself is set up wrongly; the sender is not to blame."""

    code = "misuse"
    status = 500


class BodyNotBytes(Misuse):
    """Verify the raw body. What was given has been parsed already, and writing it out as JSON again yields
    other bytes than the ones that were signed. Take the bytes before any parser does: `request.get_data()`
    in Flask, `request.body` in Django, `await request.body()` in FastAPI and Starlette,
    `await request.read()` in aiohttp."""

    code = "body_not_bytes"


class BadSecret(Misuse):
    """A secret cannot be used with this scheme."""

    code = "bad_secret"


class UnknownScheme(Misuse):
    """There is no scheme of that name."""

    code = "unknown_scheme"


class MissingLibrary(Misuse):
    """Something optional is not installed."""

    code = "missing_library"


class BadPayload(ValueError):
    """The data does not fit the type that the handler asks for."""


class RetryLater(Exception):
    """Raised by a handler: not now. The sender is asked to come back after so many seconds."""

    def __init__(self, seconds: float = 60) -> None:
        if not 0 <= seconds < math.inf:
            raise ValueError(f"{seconds} is not a time to wait")
        super().__init__(f"again in {seconds:g} s")
        self.seconds = seconds


class LeaseHeld(Exception):
    """Another worker is running the handler for this event; try again later."""
