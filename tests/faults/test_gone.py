"""A database host that disappears silently: no connection to it stays open for long.

The client is on a host of its own, whose cable to the database is cut (see cable.py). Where there is no right
to make one, the long version fails and says so; the short one checks the socket options.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from angarium.store.connection import GONE_AFTER, Connector
from angarium.store.embedded import EmbeddedPostgres
from tests.faults.cable import Cable, lacking
from tests.faults.harness import LONG
from tests.faults.replicated import Replicated
from tests.kit.patience import PATIENCE

CLIENT = """
import asyncio, sys
from angarium.store.connection import Connector
from angarium.store.fault import RAISED

async def main(url, asks):
    connection = await Connector(url, statement_timeout=None)()
    gone = asyncio.Event()
    connection.add_termination_listener(lambda _: gone.set())
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    if asks == "asks":
        try:
            await connection.fetchval("select 1")
        except RAISED:
            print("gone", flush=True)
        return
    await gone.wait()
    print("gone", flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("what", ["asks", "is idle"])
async def test_a_database_host_that_disappears_is_detected(directory: Path, what: str) -> None:
    missing = lacking()
    assert not (LONG and missing), (
        f"a host of its own is a network namespace, and {missing}; run this as root with iproute2"
    )
    if missing is not None:
        await _watched()
        return
    postgres = await EmbeddedPostgres.start(directory / "own", durable=False)
    try:
        async with Cable() as cable:
            postgres = await cable.listened_on(postgres)
            client = await asyncio.create_subprocess_exec(
                *cable.program, sys.executable, "-c", CLIENT, cable.url, what,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert client.stdin is not None
            assert client.stdout is not None
            try:
                async with asyncio.timeout(PATIENCE):
                    assert await client.stdout.readline() == b"connected\n"
                    cable.part()
                    client.stdin.write(b"\n")
                    assert await client.stdout.readline() == b"gone\n"
            finally:
                if client.returncode is None:
                    client.kill()
                await client.wait()
                cable.mend()
    finally:
        await postgres.stop()


async def _watched() -> None:
    async with Replicated(synchronous=False) as pair:
        connection = await Connector(pair.first.url, statement_timeout=None)()
        opened = connection._transport.get_extra_info("socket")
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == GONE_AFTER * 1000
        await connection.close()
