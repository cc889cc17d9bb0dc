"""Serves the API and the portal over HTTP: uvicorn, stopped by our shutdown in place of by signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, cast

import structlog
import uvicorn

from angarium.server.process import BACKLOG
from angarium.server.protocol import Protocol
from angarium.settings import Settings
from angarium.shutdown import Shutdown

log = structlog.get_logger(__name__)

ANSWER_DEADLINE: Final = 20  # seconds for requests in progress at shutdown
FOR_CLOSING: Final = 1.0  # the last seconds of a stop, in which no request is answered


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process before the dispatcher has drained.
    It calls `ready` once it answers requests."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def end(self, shutdown: Shutdown) -> None:
        """Ends `serve` when `shutdown` says so, and at the latest shortly before its end."""
        await shutdown.begun.wait()
        for connection in list(self.server_state.connections):
            cast(Protocol, connection).end_after_last()
        await shutdown.delayed()
        self.should_exit = True
        try:
            async with shutdown.within(2 * ANSWER_DEADLINE, reserve=FOR_CLOSING):
                await asyncio.Event().wait()
        except TimeoutError:
            log.error("stop.unanswered", requests=len(self.server_state.tasks))
            for task in list(self.server_state.tasks):
                task.cancel()
            self.force_exit = True


def config_of(settings: Settings, app: Any, shutdown: Shutdown) -> uvicorn.Config:
    """How an application is served. The listening socket is given to `serve`."""
    return uvicorn.Config(
        app,
        http=cast(Any, partial(Protocol, fast_path=app.fast_path, shutdown=shutdown)),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=ANSWER_DEADLINE,
    )
