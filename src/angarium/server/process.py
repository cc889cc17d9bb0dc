"""Runs one server process: listens, works until a stop signal, and shuts down gracefully.

Shutdown: stop accepting, answer accepted requests, let the dispatcher complete what is in flight, close the
pools, stop the embedded PostgreSQL. Each step has a deadline.
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
from typing import Any, Final, TypeVar, cast

import uvicorn

from angarium import __version__, build
from angarium.core.audit import ActorKind
from angarium.core.errors import SettingsError
from angarium.server import ops
from angarium.server.metrics import metrics_route
from angarium.server.ops import OpsRoute
from angarium.server.protocol import Protocol
from angarium.service import audit
from angarium.settings import PREFIX, Settings, place_of
from angarium.store.embedded import EmbeddedPostgres
from angarium.telemetry.catalogue import CATALOGUE
from angarium.telemetry.registry import Registry, Snapshot

ANSWER_DEADLINE: Final = 20  # seconds for requests in progress at shutdown
BACKLOG: Final = 2048
T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end, on uvloop where available; returns its result."""
    factory = None
    if sys.platform != "win32":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def sign() -> None:
    """Sets the actor of the audit log to the user who runs this command on this host."""
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
    """The direct URL of the database, without a pooler: the operator's, or the embedded one, which runs
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
    """The database URL for a server's connections, through a pooler if there is one."""
    return url if settings.database_url is None else settings.database_url.get_secret_value()


def listen(settings: Settings) -> socket.socket:
    """Binds the listening socket. Raises SettingsError if that fails."""
    return _bound(settings.listen, f"choose another with {PREFIX}LISTEN")


def listen_ops(settings: Settings) -> socket.socket | None:
    """Binds the socket for operators' tools; None if it is off. Raises SettingsError if that fails."""
    if not settings.ops_listen:
        return None
    return _bound(
        settings.ops_listen, f"choose another with {PREFIX}OPS_LISTEN, or turn it off by an empty one"
    )


def _bound(address: str, advice: str) -> socket.socket:
    host, port = place_of(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SettingsError(f"cannot listen at {address}: {error.strerror}; {advice}") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL of a listening socket on this host."""
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
    ops_listener: socket.socket | None = None,
) -> None:
    """Does the work of one process until `stop`; calls `ready` once it answers requests."""
    listening = None if listener is None else url_of(listener)
    registry = Registry(CATALOGUE)
    registry.value("build_info", __version__, role).set(1)

    async def snapshot() -> Snapshot:
        return registry.snapshot()

    routes: dict[str, OpsRoute] = {"/metrics": metrics_route(snapshot)}
    async with (
        ops.serving(ops_listener, routes),
        build.running(
            settings, database_url, role=role, sandbox=sandbox, listening=listening, stopping=stop
        ) as app,
    ):
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
    """Freezes the objects of the start, which live until the end, and lets the collector run less often:
    reference counts free most later objects."""
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
