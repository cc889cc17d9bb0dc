"""Serves a Receiver with each framework, on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.validate import validator

import uvicorn

from angarium.receiver import Receiver

PATH = "/webhooks"


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Write nothing to standard error."""


class _Threading(ThreadingMixIn, WSGIServer):
    daemon_threads = False


@contextlib.contextmanager
def wsgi(application: Any) -> Iterator[int]:
    with make_server("127.0.0.1", 0, application, _Threading, _Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def asgi(application: Any, lifespan: Any = "on") -> Iterator[int]:
    config = uvicorn.Config(application, port=0, log_level="critical", lifespan=lifespan)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def plain_asgi(receiver: Receiver) -> contextlib.AbstractContextManager[int]:
    from angarium.receiver.adapter import asgi as adapter

    return asgi(adapter(receiver))


def plain_wsgi(receiver: Receiver) -> contextlib.AbstractContextManager[int]:
    from angarium.receiver.adapter import wsgi as adapter

    return wsgi(validator(adapter(receiver)))


def starlette(receiver: Receiver) -> contextlib.AbstractContextManager[int]:
    from starlette.applications import Starlette

    from angarium.receiver.adapter.starlette import route

    return asgi(Starlette(routes=[route(receiver, PATH)]))


def fastapi(receiver: Receiver) -> contextlib.AbstractContextManager[int]:
    from fastapi import FastAPI

    from angarium.receiver.adapter.fastapi import router

    app = FastAPI()
    app.include_router(router(receiver, PATH))
    return asgi(app)


def litestar(receiver: Receiver) -> contextlib.AbstractContextManager[int]:
    from litestar import Litestar

    from angarium.receiver.adapter.litestar import handler

    return asgi(Litestar(route_handlers=[handler(receiver, PATH)]))


def flask(receiver: Receiver) -> contextlib.AbstractContextManager[int]:
    from flask import Flask

    from angarium.receiver.adapter.flask import blueprint

    app = Flask(__name__)
    app.register_blueprint(blueprint(receiver, PATH))
    return wsgi(app)


@contextlib.contextmanager
def aiohttp(receiver: Receiver) -> Iterator[int]:
    from aiohttp import web

    from angarium.receiver.adapter.aiohttp import handler

    loop = asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_post(PATH, handler(receiver))
        runner = web.AppRunner(app, auto_decompress=False)  # see angarium.receiver.adapter.aiohttp
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    runner = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield runner.addresses[0][1]
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@contextlib.contextmanager
def django(receiver: Receiver, *, loop: bool) -> Iterator[int]:
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.urls import clear_url_caches, path

    from angarium.receiver.django.view import async_view, view
    from tests.receiver import django_urls

    pattern = path(PATH.strip("/"), async_view(receiver) if loop else view(receiver))
    django_urls.urlpatterns[:] = [pattern]
    clear_url_caches()
    if not loop:
        with wsgi(get_wsgi_application()) as port:
            yield port
        return
    with asgi(get_asgi_application(), lifespan="off") as port:
        yield port


FRAMEWORKS: dict[str, Callable[[Receiver], contextlib.AbstractContextManager[int]]] = {
    "asgi": plain_asgi,
    "wsgi": plain_wsgi,
    "starlette": starlette,
    "fastapi": fastapi,
    "litestar": litestar,
    "flask": flask,
    "aiohttp": aiohttp,
}
