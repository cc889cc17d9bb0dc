"""Translates errors of the driver into three kinds of errors, by SQLSTATE.

- `StoreUnavailable` (core/errors.py): the database is unavailable now; try again later. Its `reason` says
  why. If the connection broke during a statement, the outcome of the statement is unknown.
- `StatementFailed`: the statement fails for any rows: the schema or the privileges do not fit.
- `RowRefused`: everything else. These rows fail because of a value, a constraint or a bug, and would fail
  again; other rows may succeed. `ValueRefused`: PostgreSQL cannot store a value, so the sender must change
  it.

SQLSTATEs are in appendix A of PostgreSQL's documentation. No error of the driver leaves `store/`.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from angarium.core.errors import StoreReason, StoreUnavailable

RAISED: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server closed an idle connection
    asyncpg.PostgresError,
)
"""Everything that asyncpg raises."""

_STATES: Final = {
    "25006": StoreReason.READ_ONLY,
    "25P03": StoreReason.UNREACHABLE,  # idle_in_transaction_session_timeout ended the session
    "25P04": StoreReason.TOO_SLOW,  # transaction_timeout
    "53100": StoreReason.DISK_FULL,
    "53300": StoreReason.TOO_MANY_CONNECTIONS,
    "55P03": StoreReason.LOCKED,  # lock_timeout
    "57014": StoreReason.TOO_SLOW,  # statement_timeout, or canceled by an administrator
}
_CLASSES: Final = {
    "08": StoreReason.UNREACHABLE,
    "40": StoreReason.CONFLICT,
    "53": StoreReason.OUT_OF_RESOURCES,
    "57": StoreReason.UNREACHABLE,
    "58": StoreReason.OUT_OF_RESOURCES,  # errors of the server's files
}
_STATEMENT: Final = ("0A", "28", "3D", "3F", "42")  # unsupported, no privilege, no database, schema or table
_SOUND: Final = (StoreReason.LOCKED, StoreReason.TOO_SLOW, StoreReason.CONFLICT)


class DatabaseFault(Exception):
    """The database refused a statement, and would refuse it again."""


class RowRefused(DatabaseFault):
    """The rows were rejected because of a value, a constraint, or a bug."""


class ValueRefused(RowRefused):
    """PostgreSQL cannot store a value: a character, a number or a size."""


class StatementFailed(DatabaseFault):
    """The statement fails for any rows: the schema or the privileges do not fit this release."""


def reason_of(error: BaseException) -> StoreReason | None:
    """Why the database is unavailable now; None if trying again later would not help."""
    if isinstance(error, asyncpg.DataError):
        return None
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return StoreReason.CONFLICT  # a migration changed a table under a prepared statement
    if isinstance(error, asyncpg.ConnectionDoesNotExistError) and isinstance(error.__cause__, RAISED):
        return reason_of(error.__cause__) or StoreReason.UNREACHABLE  # what the server said as it closed it
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return _STATES.get(state) or _CLASSES.get(state[:2])
    return StoreReason.UNREACHABLE


def breaks(error: BaseException) -> bool:
    """Whether the connection must not be used again: it is broken, or another host may be better."""
    reason = reason_of(error)
    lost = isinstance(error, asyncpg.ConnectionDoesNotExistError)
    return lost or (reason is not None and reason not in _SOUND)


def translated(error: BaseException) -> StoreUnavailable | DatabaseFault:
    """The store's error for one of `RAISED`, to be raised `from caused_by`."""
    reason = reason_of(error)
    if reason is StoreReason.UNREACHABLE:
        return StoreUnavailable()
    if reason is StoreReason.CONFLICT:
        return StoreUnavailable("Two changes conflicted; try again.", reason=reason)
    if reason is not None:
        return StoreUnavailable(str(error), reason=reason)
    state = getattr(error, "sqlstate", None) or ""
    if state[:2] in _STATEMENT:
        return StatementFailed(f"{state} {error}")
    named = (getattr(error, name, None) for name in ("table_name", "column_name", "constraint_name"))
    kind = ValueRefused if isinstance(error, asyncpg.DataError) else RowRefused
    return kind(" ".join([type(error).__name__, state, *filter(None, named)]))


def caused_by(fault: Exception, error: BaseException) -> BaseException | None:
    """The cause to log with the error. None for RowRefused: PostgreSQL quotes values, which may be payloads
    or secrets."""
    return None if isinstance(fault, RowRefused) else error
