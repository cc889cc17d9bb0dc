"""One server process: listen, work until told to stop, and stop in order.

The order of a graceful stop: accept nothing new, answer what was accepted, let the dispatcher finish and
complete what is in flight, close the pools, stop the embedded PostgreSQL. Each step has a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import getpass
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final, cast

import uvicorn

from angarium import build
from angarium.core.audit import ActorKind
from angarium.core.errors import SettingsError
from angarium.server.protocol import Protocol
from angarium.service import audit
from angarium.settings import PREFIX, Settings
from angarium.store.embedded import EmbeddedPostgres

ANSWER_DEADLINE: Final = 20  # seconds for requests that were being answered when the stop came
BACKLOG: Final = 2048


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end on the fastest event loop there is."""
    factory = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


def sign() -> None:
    """What this command changes is in the audit log under the name of who runs it on this host."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        name = ""
    audit.acting(ActorKind.COMMAND_LINE, name)


def stop_signal(*signals: signal.Signals) -> asyncio.Event:
    """An event that SIGTERM and SIGINT (or the given signals) set."""
    stop = asyncio.Event()
    for number in signals or (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[str]:
    """The address of the database, around a pooler: the operator's own, or the embedded one, kept running
    meanwhile."""
    if settings.database_url is not None:
        yield settings.direct_url or settings.database_url.get_secret_value()
        return
    postgres = await EmbeddedPostgres.start(settings.data_dir)
    try:
        yield postgres.url()
    finally:
        await postgres.stop()


def served(settings: Settings, url: str) -> str:
    """The address that a server's own connections use, through a pooler if there is one."""
    return url if settings.database_url is None else settings.database_url.get_secret_value()


def listen(settings: Settings) -> socket.socket:
    """Bind the listening socket. Raises SettingsError when that fails."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"cannot listen at {settings.listen}: {error.strerror}; choose another with {PREFIX}LISTEN"
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """How to reach a listening socket from this host."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def work(
    settings: Settings,
    database_url: str,
    role: str,
    listener: socket.socket | None,
    stop: asyncio.Event,
    ready: Callable[[], None],
    *,
    sandbox: bool = False,
) -> None:
    """Do the work of one process until `stop`; `ready` is called once requests are answered."""
    listening = None if listener is None else url_of(listener)
    async with build.running(
        settings, database_url, role=role, sandbox=sandbox, listening=listening, stopping=stop
    ) as app:
        _rest_garbage()
        if listener is None:
            ready()
            await stop.wait()
            return
        server = _QuietServer(
            uvicorn.Config(
                app,
                http=cast(Any, partial(Protocol, fast_path=app.fast_path)),
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
            ),
            ready,
        )
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(sockets=[listener]))
            stopping = group.create_task(_until(stop, server))
            serving.add_done_callback(lambda _: stopping.cancel())


def _rest_garbage() -> None:
    """What was made for the start stays until the end, and most of what comes later goes by reference
    counts: the collector need neither look at the one nor so often at the other."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _until(stop: asyncio.Event, server: uvicorn.Server) -> None:
    await stop.wait()
    server.should_exit = True


class _QuietServer(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process before the dispatcher has drained."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
