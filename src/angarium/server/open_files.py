"""How many files a process may have open (RLIMIT_NOFILE), each socket among them.

The system's usual soft limit is 1,024, far less than a server with the default settings may need. It is
raised at start, before anything is opened, and children inherit it. When the hard limit is lower than what
the settings need, the process does not start: later, requests would fail for lack of sockets.
"""

from __future__ import annotations

import resource
from typing import Final

from angarium.build import ENGINE_CONNECTIONS
from angarium.core.errors import SettingsError
from angarium.settings import PREFIX, Settings

PER_REQUEST: Final = 2
"""Sockets for each request in flight: its own, and one that rests (dispatch/transport/pool.py)."""
CLIENTS: Final = 500  # connections of clients of the API
OWN: Final = 200  # the log, libraries, trials of URLs, name servers, locks, children
PLENTY: Final = 65_536  # as much as is taken where the hard limit allows it: clients are not counted


def needed(settings: Settings, role: str) -> int:
    """How many files one process of this role may need."""
    count = OWN + ENGINE_CONNECTIONS
    if role != "dispatch":
        pools = 1 if settings.replica_url is None else 2
        count += CLIENTS + pools * settings.database_pool
    if role != "api":
        count += PER_REQUEST * settings.concurrency
    return count


def allow(settings: Settings, role: str) -> None:
    """Raise the limit of this process and its children to what they need, or more.

    Raises SettingsError with the numbers and what to change when the hard limit does not allow it.
    """
    wanted = needed(settings, role)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    most = PLENTY if hard == resource.RLIM_INFINITY else hard
    if most >= wanted:
        target = max(soft, wanted, min(most, PLENTY))
        # macOS names no hard limit and has one all the same; what is needed may be below that
        if target == soft or _set(target, hard) or _set(wanted, hard):
            return
        most = soft
    raise SettingsError(_missing(settings, role, wanted, most))


def _set(soft: int, hard: int) -> bool:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    except (ValueError, OSError):
        return False
    return True


def _missing(settings: Settings, role: str, wanted: int, most: int) -> str:
    fitting = settings.concurrency - -(-(wanted - most) // PER_REQUEST)
    less = f", or set {PREFIX}CONCURRENCY={fitting} or less" if role != "api" and fitting >= 1 else ""
    return (
        f"each process may need {wanted} open files with these settings, and the system allows {most}; raise "
        "the hard limit (`ulimit -Hn`, LimitNOFILE= of systemd, --ulimit nofile= of Docker) to "
        f"{wanted}{less}"
    )
