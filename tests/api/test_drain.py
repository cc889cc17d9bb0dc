"""What happens to connections during the drain delay and after it, on both paths of a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import uvicorn

from angarium.server.http_server import HttpServer
from angarium.server.protocol import Protocol
from angarium.shutdown import Shutdown
from tests.api.conftest import Api, Backend
from tests.api.test_fast_path import PLAIN, request, watched, wire
from tests.kit.patience import PATIENCE


@pytest.fixture
def shutdown() -> Shutdown:
    return Shutdown(10 * PATIENCE, 5 * PATIENCE)


@pytest.fixture
async def url(backend: Backend, shutdown: Shutdown) -> AsyncIterator[str]:
    """The application, as a process serves it until it is stopped."""
    started = asyncio.Event()

    def protocol(*args: Any, **options: Any) -> Protocol:
        # the fast path as it is when the connection is made: a test may watch it
        fast_path = getattr(backend.app, "fast_path", None)
        return Protocol(*args, fast_path=fast_path, shutdown=shutdown, **options)

    http = cast(Any, protocol)
    config = uvicorn.Config(backend.app, http=http, port=0, log_config=None, lifespan="off")
    server = HttpServer(config, started.set)
    async with asyncio.TaskGroup() as group:
        ending = group.create_task(server.end(shutdown))
        serving = group.create_task(server.serve())
        serving.add_done_callback(lambda _: ending.cancel())
        await started.wait()
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        shutdown.hurry()


@pytest.mark.parametrize("slash", ["", "/"], ids=["the fast path", "the ordinary path"])
async def test_each_response_during_the_delay_ends_its_connection_and_idle_ones_stay_until_its_end(
    api: Api, backend: Backend, shutdown: Shutdown, url: str, slash: str
) -> None:
    path = f"/app/{await api.application()}/msg{slash}"
    with watched(backend) as taken:
        async with wire(url) as old, wire(url) as idle:
            for connection in (old, idle):
                await connection.send(request(api, path, PLAIN))
                status, headers, _ = await connection.answer()
                assert status == 202
                assert "connection" not in headers
            shutdown.signal()
            await old.send(request(api, path, PLAIN))
            status, headers, _ = await old.answer()
            assert (status, headers["connection"]) == (202, "close")
            assert await old.ended()
            async with wire(url) as new:
                await new.send(request(api, path, PLAIN))
                status, headers, _ = await new.answer()
                assert (status, headers["connection"]) == (202, "close")
                assert await new.ended()
            assert not idle.reader.at_eof()
            shutdown.hurry()
            assert await idle.ended()
        with pytest.raises(OSError):  # noqa: PT011 (refused or reset)
            async with wire(url):
                pass
    assert taken[1:] == [slash == ""] * 3  # the token is looked up for the first


async def test_a_request_that_is_under_way_when_the_delay_begins_ends_its_connection_too(
    api: Api, shutdown: Shutdown, url: str
) -> None:
    path = f"/app/{await api.application()}/msg"
    data = request(api, path, PLAIN)
    async with wire(url) as connection:
        await connection.send(data, data)
        first, headers, _ = await connection.answer()
        assert first == 202
        assert "connection" not in headers
        assert (await connection.answer())[0] == 202
        await connection.send(data[:-3])
        shutdown.signal()
        await connection.send(data[-3:])
        status, headers, _ = await connection.answer()
        assert (status, headers["connection"]) == (202, "close")
        assert await connection.ended()
