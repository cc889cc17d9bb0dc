"""What went wrong at the database, in three kinds that callers tell apart.

- `StoreUnavailable` (core/errors.py): the database cannot do it now. Trying again later is right; its
  `reason` says why. The outcome of a statement is unknown when the connection broke during it.
- `StatementFailed`: the statement itself is refused, whatever its rows: the schema or the rights do not fit.
- `RowRefused`: anything else. A value, a constraint or a bug stands against these rows, and will again; other
  rows may do. `ValueRefused`: PostgreSQL cannot hold a value, so the sender has to change it.

The SQLSTATE decides (PostgreSQL's documentation, appendix A). The driver's errors do not leave `store/`.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from angarium.core.errors import StoreReason, StoreUnavailable

RAISED: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server ended a connection that was idle
    asyncpg.PostgresError,
)
"""Everything that asyncpg raises."""

_STATES: Final = {
    "25006": StoreReason.READ_ONLY,
    "25P03": StoreReason.UNREACHABLE,  # the session was idle in a transaction for too long, and is gone
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
_STATEMENT: Final = ("0A", "28", "3D", "3F", "42")  # not supported, no right, no such database, schema, table
_SOUND: Final = (StoreReason.LOCKED, StoreReason.TOO_SLOW, StoreReason.CONFLICT)


class DatabaseFault(Exception):
    """The database refused a statement, and would refuse it again."""


class RowRefused(DatabaseFault):
    """Something stands against these rows: a value, a constraint, or a bug."""


class ValueRefused(RowRefused):
    """PostgreSQL cannot hold a value: a character, a number or a size."""


class StatementFailed(DatabaseFault):
    """The statement is refused whatever its rows are: the schema or the rights do not fit this program."""


def reason_of(error: BaseException) -> StoreReason | None:
    """Why the database cannot be used now; None when the error is no matter of time."""
    if isinstance(error, asyncpg.DataError):
        return None
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return StoreReason.CONFLICT  # a migration changed a table under a prepared statement
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return _STATES.get(state) or _CLASSES.get(state[:2])
    return StoreReason.UNREACHABLE


def breaks(error: BaseException) -> bool:
    """Whether the connection is not to be used again: it is broken, or another host may be better."""
    reason = reason_of(error)
    return reason is not None and reason not in _SOUND


def translated(error: BaseException) -> StoreUnavailable | DatabaseFault:
    """The store's error for one of `RAISED`, to be raised `from caused_by`."""
    reason = reason_of(error)
    if reason is StoreReason.UNREACHABLE:
        return StoreUnavailable()
    if reason is StoreReason.CONFLICT:
        return StoreUnavailable("Two changes got in each other's way; try again.", reason=reason)
    if reason is not None:
        return StoreUnavailable(str(error), reason=reason)
    state = getattr(error, "sqlstate", None) or ""
    if state[:2] in _STATEMENT:
        return StatementFailed(f"{state} {error}")
    named = (getattr(error, name, None) for name in ("table_name", "column_name", "constraint_name"))
    kind = ValueRefused if isinstance(error, asyncpg.DataError) else RowRefused
    return kind(" ".join([type(error).__name__, state, *filter(None, named)]))


def caused_by(fault: Exception, error: BaseException) -> BaseException | None:
    """What is logged with the error as its cause. What refuses a row quotes its values, which may be payloads
    or secrets."""
    return None if isinstance(fault, RowRefused) else error
