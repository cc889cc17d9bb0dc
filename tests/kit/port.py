"""Ports of loopback, for servers that need a number before they listen, or where no server listens."""

from __future__ import annotations

import socket

_kept: list[socket.socket] = []


def free_port() -> int:
    """No server listens there, and the system gives it to no other process while these tests run: it is
    bound.

    Servers, which request it by its number and reuse addresses, still get it.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    _kept.append(kept)
    return int(kept.getsockname()[1])
