"""Raises the limit of open files and sockets of a process (RLIMIT_NOFILE).

The system's usual soft limit is 1,024, less than a server with the default settings may need. The limit is
raised at start, and children inherit it. If the hard limit is lower than the settings need, the process does
not start, because requests would later fail for lack of sockets.
"""

from __future__ import annotations

import resource
from typing import Final

from angarium.build import ENGINE_CONNECTIONS
from angarium.core.errors import SettingsError
from angarium.settings import PREFIX, Settings

PER_REQUEST: Final = 2
"""Sockets per request in flight: its own, and an idle one (dispatch/pool.py)."""
CLIENTS: Final = 500  # API client connections
OWN: Final = 200  # the log, libraries, trials of URLs, name servers, locks, children
PLENTY: Final = 65_536  # used if the hard limit allows it, because the number of clients is unknown


def needed(settings: Settings, role: str) -> int:
    """The number of files that a process of this role may need."""
    count = OWN + ENGINE_CONNECTIONS
    if role != "dispatch":
        pools = 1 if settings.replica_url is None else 2
        count += CLIENTS + pools * settings.database_pool
    if role != "api":
        count += PER_REQUEST * settings.concurrency
    return count


def allow(settings: Settings, role: str) -> None:
    """Raises the limit of this process and its children to what they need, or more.

    Raises SettingsError with the numbers and a remedy if the hard limit is too low.
    """
    wanted = needed(settings, role)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    most = PLENTY if hard == resource.RLIM_INFINITY else hard
    if most >= wanted:
        target = max(soft, wanted, min(most, PLENTY))
        # macOS reports no hard limit but has one; what is needed may be below it
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
