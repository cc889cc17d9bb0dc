"""Ports of loopback for those who must be told a number before they listen, or where nobody listens."""

from __future__ import annotations

import socket

_kept: list[socket.socket] = []


def free_port() -> int:
    """Nobody listens there, and the system gives it to nobody else as long as these tests run: it is bound.

    Servers, which ask for it by its number and reuse addresses, get it all the same.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    _kept.append(kept)
    return int(kept.getsockname()[1])
