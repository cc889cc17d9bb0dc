"""Exceptions that Angarium raises on purpose, as one tree.

`code` is stable and public; `core/error_text.py` has the texts by code. One table per API decides how an
error looks on the wire (`api/errors.py`, and in each dialect).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal

from angarium.core.error_text import TEXTS


class AngariumError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "error"

    def __init__(self, detail: str | None = None, *, code: str | None = None, **values: object) -> None:
        """Without `detail`, the text of the code with `values` filled in; the docstring if it has none."""
        self.wire_code = code or type(self).code
        text = TEXTS.get(self.wire_code) or TEXTS.get(type(self).code)
        self.detail = detail or (text.detail.format(**values) if text else (type(self).__doc__ or "").strip())
        super().__init__(self.detail)


class BadRequest(AngariumError):
    """The request is not valid."""

    code = "bad_request"


class TooManyEndpoints(BadRequest):
    """The application has reached its endpoint limit."""

    code = "too_many_endpoints"

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(self.said_of("endpoint"))

    def said_of(self, noun: str) -> str:
        """The message for a product that calls an endpoint `noun`."""
        text = TEXTS[self.code].detail
        return text.format(noun=noun.capitalize(), nouns=f"{noun}s", most=self.most)


class NotAuthenticated(AngariumError):
    """The token, key or session is not valid."""

    code = "authentication_failed"


class NotAllowed(AngariumError):
    """The caller may not do this."""

    code = "insufficient access"


class NotFound(AngariumError):
    """It does not exist, or the caller may not know that it does."""

    code = "not_found"


class Conflict(AngariumError):
    """The request conflicts with what is there."""

    code = "conflict"


class UidTaken(Conflict):
    """Another object has this id or uid."""

    def __init__(self, noun: str) -> None:
        """`noun` with its article."""
        super().__init__(f"{noun.capitalize()} with that id or uid already exists")


class EventTypeExists(Conflict):
    """The name of an event type is in use."""

    code = "event_type_exists"


class Unsupported(AngariumError):
    """An operation that only Svix has. `page`: the URL of the page that lists these."""

    code = "not_implemented"

    def __init__(self, page: str) -> None:
        super().__init__(page=page)


class CredentialExpired(NotAuthenticated):
    """Looks like any other invalid token, but does not count as a guess."""


class TooManyFailures(AngariumError):
    """Too many failures, or too many requests that wait. `retry_after` in seconds."""

    code = "rate_limit"

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        retry_after: float = 1.0,
        **values: object,
    ) -> None:
        super().__init__(detail, code=code, **values)
        self.retry_after = retry_after


class MessageLimitReached(TooManyFailures):
    """The application has reached its limit of messages for the month."""

    code = "message_limit_reached"

    def __init__(self, limit: int, used: int, ends_at: datetime, now: datetime) -> None:
        """`ends_at`: when the month ends."""
        self.limit = limit
        self.used = used
        self.ends_at = ends_at
        self.said_end = f"{ends_at:%Y-%m-%dT%H:%M:%SZ}"
        super().__init__(
            limit=limit, used=used, end=self.said_end, retry_after=(ends_at - now).total_seconds()
        )

    @property
    def facts(self) -> dict[str, int | str]:
        """What is known of the limit, for bodies of errors."""
        return {"limit": self.limit, "used": self.used, "endsAt": self.said_end}


class BodyTooLarge(AngariumError):
    """The request body is too large."""

    code = "payload_too_large"


class TooSlow(AngariumError):
    """The request body arrives too slowly."""

    code = "body_too_slow"


class Compressed(AngariumError):
    """The request body is compressed."""

    code = "unsupported_content_encoding"


class Overloaded(AngariumError):
    """The server has more work than it can do. `retry_after` in seconds."""

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
"""Fault types of Svix's API, its own and FastAPI's."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: its location, such as `("body", "url")`, a message and a type."""

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
        """An error for one field. `name` may be dotted for nested fields."""
        return cls(FieldError((where, *name.split(".")), msg))

    def placed(self, *place: str, names: Mapping[str, str] | None = None) -> Invalid:
        """The same faults with `loc` starting at `place`, and fields renamed by `names`."""
        known = names or {}
        return Invalid(
            *(
                replace(fault, loc=(*place, *(known.get(str(part), part) for part in fault.loc[1:])))
                for fault in self.faults
            )
        )


class SettingsError(AngariumError):
    """The settings are not valid."""

    code = "settings"


class ProcessRefused(SettingsError):
    """The database may not be used by this process, and starting it again does not help."""


class StoreReason(StrEnum):
    """Why the database is not available."""

    UNREACHABLE = "unreachable"  # down, starting, stopping, or the connection was lost
    READ_ONLY = "read-only"  # a standby, a demoted primary, or a provider that is out of storage
    DISK_FULL = "disk-full"
    TOO_MANY_CONNECTIONS = "too-many-connections"
    OUT_OF_RESOURCES = "out-of-resources"
    LOCKED = "locked"  # another session held a lock for too long
    TOO_SLOW = "too-slow"  # statement timeout
    CONFLICT = "conflict"  # a deadlock, or two transactions that cannot both commit
    HELD = "held"  # it was restored, and nothing may be accepted yet
    SCHEMA = "schema"  # a table or a privilege is missing


class StoreUnavailable(AngariumError):
    """The database is not available. `detail` may name hosts, and is not for callers."""

    code = "store_unavailable"

    def __init__(self, detail: str | None = None, *, reason: StoreReason = StoreReason.UNREACHABLE) -> None:
        super().__init__(detail)
        self.reason = reason
