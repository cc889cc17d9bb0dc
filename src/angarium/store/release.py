"""Names the release of a process in its database sessions, and compares releases."""

from __future__ import annotations

import re
from typing import Final

import angarium

_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)(.*)")
_SESSION: Final = re.compile(r"angarium/(\S+)")


def current() -> str:
    """The release of this process."""
    return angarium.__version__


def session_name(part: str = "") -> str:
    """The `application_name` of a session. `part`: what it is for, if not ordinary statements."""
    return f"angarium/{current()} {part}".rstrip()


def of_session(name: str) -> str | None:
    """The release in an `application_name`, or None if the session is not Angarium's."""
    found = _SESSION.match(name)
    return None if found is None else found[1]


def is_older(release: str, than: str) -> bool:
    """Whether a release was made before another. `0.2.0rc1` is older than `0.2.0`."""
    return _order(release) < _order(than)


def _order(release: str) -> tuple[int, int, int, bool, str]:
    found = _VERSION.fullmatch(release)
    if found is None:
        return (0, 0, 0, False, release)
    return (int(found[1]), int(found[2]), int(found[3]), not found[4], found[4])
