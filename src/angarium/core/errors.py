"""Every error that Angarium raises on purpose, as one tree.

The class docstring is the default message, `code` is stable and public. How an error looks on the
wire is decided by one table per API (`api/errors.py`), never here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Literal


class AngariumError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str | None = None, *, code: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.wire_code = code or type(self).code
        super().__init__(self.detail)


class BadRequest(AngariumError):
    """The request cannot be carried out as it stands."""

    code = "bad_request"


class TooManyEndpoints(BadRequest):
    """The application has as many endpoints as it may have."""

    code = "too_many_endpoints"

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(self.said_of("endpoint"))

    def said_of(self, noun: str) -> str:
        """What is wrong and what to do, where an endpoint is called `noun`."""
        room = f"{self.most:,} {noun}" + ("" if self.most == 1 else "s")
        return (
            f"There is room for {room} here, and none is left. Delete one that is not needed, or ask whoever "
            "runs this service for more room."
        )


class NotAuthenticated(AngariumError):
    """Invalid token"""

    code = "authentication_failed"


class NotAllowed(AngariumError):
    """You do not have permission to perform this action."""

    code = "insufficient access"


class NotFound(AngariumError):
    """Entity not found"""

    code = "not_found"


class Conflict(AngariumError):
    """A conflict has occurred"""

    code = "conflict"


class Unsupported(AngariumError):
    """There is no such operation here."""

    code = "not_implemented"


class CredentialExpired(NotAuthenticated):
    """Invalid token"""

    # what was valid once: answered as any other, but it is no guess


class TooManyFailures(AngariumError):
    """Too many failed attempts; wait a little."""

    code = "rate_limit"

    def __init__(
        self, detail: str | None = None, *, code: str | None = None, retry_after: float = 1.0
    ) -> None:
        super().__init__(detail, code=code)
        self.retry_after = retry_after


class BodyTooLarge(AngariumError):
    """The request body is too large."""

    code = "payload_too_large"


class TooSlow(AngariumError):
    """The request body did not arrive in time."""

    code = "body_too_slow"


class Compressed(AngariumError):
    """The request body has a Content-Encoding. Send it without one."""

    code = "unsupported_content_encoding"


class Overloaded(AngariumError):
    """The server has more work than it can take right now; try again shortly."""

    code = "overloaded"

    def __init__(self, detail: str | None = None, *, retry_after: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


FaultType = Literal[
    "value_error",
    "value_error.missing",
    "value_error.jsondecode",
    "value_error.enum",
    "type_error",
    "application_uid_missing",
    "application_uid_mismatch",
]
"""Svix's own kinds of fault, and those that it has from FastAPI."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field: where (`("body", "url")`), in words, and the kind of fault."""

    loc: tuple[str | int, ...]
    msg: str
    type: FaultType = "value_error"


class Invalid(AngariumError):
    """Some fields are not valid."""

    code = "validation"

    def __init__(self, *faults: FieldError) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, f.loc))}: {f.msg}" for f in faults))
        self.faults = faults

    @classmethod
    def field(cls, name: str, msg: str, *, where: str = "body") -> Invalid:
        """One field is wrong; `name` may be dotted for nested fields."""
        return cls(FieldError((where, *name.split(".")), msg))

    def placed(self, *place: str, names: Mapping[str, str] | None = None) -> Invalid:
        """The same faults with another beginning of their `loc`, and other `names` for their fields."""
        known = names or {}
        return Invalid(
            *(
                replace(fault, loc=(*place, *(known.get(str(part), part) for part in fault.loc[1:])))
                for fault in self.faults
            )
        )


class SettingsError(AngariumError):
    """The settings are not usable."""

    code = "settings"


class StoreReason(StrEnum):
    """Why the database cannot be used now."""

    UNREACHABLE = "unreachable"  # away, starting, stopping, or the connection broke
    READ_ONLY = "read-only"  # a standby, a demoted primary, or a provider that is out of storage
    DISK_FULL = "disk-full"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    OUT_OF_RESOURCES = "out-of-resources"
    LOCKED = "locked"  # another session holds a lock for too long
    TOO_SLOW = "too-slow"  # a statement took longer than it may
    CONFLICT = "conflict"  # a deadlock, or two transactions that cannot both commit
    SCHEMA = "schema"  # a table or a right is missing


class StoreUnavailable(AngariumError):
    """The database does not answer. Try again, with the same idempotency key if there was one."""

    code = "store_unavailable"

    def __init__(self, detail: str | None = None, *, reason: StoreReason = StoreReason.UNREACHABLE) -> None:
        super().__init__(detail)
        self.reason = reason
