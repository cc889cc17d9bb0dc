"""A port for a server that is started later."""

from __future__ import annotations

import socket
from typing import Final

_KEPT: Final[list[socket.socket]] = []


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens, and that is ours for as long as this process lives.

    It stays bound here, so nobody else is given it; that keeps out nobody who asks for this very port and
    sets SO_REUSEADDR, as servers do.
    """
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", 0))
    _KEPT.append(one)
    return int(one.getsockname()[1])
