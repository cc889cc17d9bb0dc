"""Runs one server process: listens, works until a stop signal, and shuts down gracefully.

Shutdown: the dispatcher stops sending and completes what is in flight. Meanwhile requests are accepted for
the drain delay, and each response ends its connection; idle connections are closed after the delay. Then the
process stops accepting, answers accepted requests, closes the pools and stops the embedded PostgreSQL. Each
step has a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import getpass
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any, Final, TypeVar

from angarium import build
from angarium.core.audit import ActorKind
from angarium.core.errors import SettingsError
from angarium.server import channel
from angarium.server.metrics import metrics_route, own_snapshot
from angarium.server.ops import OpsRoute
from angarium.server.otlp import exporting
from angarium.service import audit
from angarium.settings import PREFIX, Settings, host_and_port
from angarium.shutdown import Shutdown
from angarium.store.embedded import EmbeddedPostgres
from angarium.telemetry.measurement import Measurement
from angarium.telemetry.registry import encoded
from angarium.vitals import Vitals

BACKLOG: Final = 2048  # connections that the kernel holds until they are accepted
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


def stop_signal(settings: Settings, *signals: signal.Signals) -> Shutdown:
    """A shutdown that SIGTERM and SIGINT (or the given signals) begin, and hurry the second time."""
    shutdown = Shutdown(settings.stop_timeout, settings.drain_delay)
    for number in signals or (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, shutdown.signal)
    return shutdown


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
    host, port = host_and_port(address)
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


def on_hangup(work: Callable[[], None]) -> None:
    """Sets what SIGHUP does, which would otherwise end the process."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, work)


async def work(
    settings: Settings,
    database_url: str,
    role: str,
    listener: socket.socket | None,
    shutdown: Shutdown,
    ready: Callable[[], None],
    *,
    sandbox: bool = False,
    vitals: Vitals | None = None,
    routes: dict[str, OpsRoute] | None = None,
    supervisor: socket.socket | None = None,
) -> None:
    """Does the work of one process until `shutdown`; calls `ready` once it answers requests. `vitals` gets
    what its probes need, and `routes` its pages for operators' tools. A supervisor asks for its metrics on
    the channel `supervisor`."""
    vitals = vitals or Vitals()
    listening = None if listener is None else url_of(listener)
    measured = settings.ops_listen or settings.otlp_endpoint
    measurement = Measurement(role, settings.metrics_applications) if measured else None
    answers: channel.Handlers = {}
    registry = snapshot = None
    if measurement is not None:
        registry = measurement.registry
        answers = {"metrics": lambda: encoded(measurement.registry.snapshot())}
        if supervisor is None:  # which sends the metrics of all children
            snapshot = own_snapshot(registry)
            if routes is not None:
                routes["/metrics"] = metrics_route(snapshot)
    async with (
        exporting(settings, role, shutdown, registry, snapshot) as tracer,
        channel.answering(supervisor, answers, answers.get("metrics")),
        build.running(
            settings,
            database_url,
            role=role,
            sandbox=sandbox,
            listening=listening,
            shutdown=shutdown,
            vitals=vitals,
            on_hangup=None if sandbox else on_hangup,  # `angarium dev` ends with its terminal
            measurement=measurement,
            tracer=tracer,
        ) as app,
    ):
        _rest_garbage()
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(_drain(shutdown, vitals))
            if listener is None:
                vitals.serving = True
                ready()
                await shutdown.begun.wait()
                await draining
                return
            # not needed by the role `dispatch` or a supervisor: it loads the whole API
            from angarium.server.http_server import HttpServer, config_of

            server = HttpServer(config_of(settings, app, shutdown), partial(_serving, vitals, ready))
            stopping = group.create_task(server.end(shutdown))
            serving = group.create_task(server.serve(sockets=[listener]))
            serving.add_done_callback(lambda _: (stopping.cancel(), draining.cancel()))


def _serving(vitals: Vitals, ready: Callable[[], None]) -> None:
    vitals.serving = True
    ready()


async def _drain(shutdown: Shutdown, vitals: Vitals) -> None:
    await shutdown.begun.wait()
    vitals.draining = True
    vitals.forget()


def _rest_garbage() -> None:
    """Freezes the objects of the start, which live until the end, and lets the collector run less often:
    reference counts free most later objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
