"""An application behind a real socket, for clients that bring their own HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from socket import socket
from typing import Any

import uvicorn

from angarium.server.protocol import Protocol
from tests.kit.patience import PATIENCE


@asynccontextmanager
async def serving(
    app: Any, listener: socket | None = None, *, keep_alive: int = int(PATIENCE)
) -> AsyncIterator[str]:
    """Serve on a free loopback port, or on a socket that is bound already, as a server process does. Returns
    the URL."""
    protocol: Any = partial(Protocol, fast_path=getattr(app, "fast_path", None))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=protocol,
            port=0,
            log_level="warning",
            lifespan="off",
            timeout_keep_alive=keep_alive,
            timeout_graceful_shutdown=5,
        )
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server.serve(None if listener is None else [listener]))
    try:
        async with asyncio.timeout(PATIENCE):
            while not server.started:
                if running.done():
                    running.result()
                await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running
