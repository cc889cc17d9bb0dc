"""kill -9 of a server while it writes the deliveries of a message to thousands of endpoints."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from angarium.core.keyring import Keyring
from angarium.store import application
from angarium.store.connection import Connector
from tests.faults.account import account, report
from tests.faults.harness import LONG, ORG, client, recorded, seen, servers, until_delivered
from tests.kit import many
from tests.kit.patience import until
from tests.kit.receiver import Receiver

ENDPOINTS: Final = 10_000 if LONG else 4000
UNDER_WAY: Final = "select message_id from fan_out where after_id is not null for update"
TIMES: Final = 4  # as patient as elsewhere: these are many


async def test_a_large_message_arrives_completely_although_its_server_is_killed(
    directory: Path, database_url: str
) -> None:
    paths = [f"/{n + 1}" for n in range(ENDPOINTS)]
    async with contextlib.AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver(path="/"))
        started = await stack.enter_async_context(servers(directory))
        database = await Connector(database_url, statement_timeout=None)()
        stack.push_async_callback(database.close)
        server = await started.serve(database_url)
        api = await stack.enter_async_context(client(server))
        await api.app("large")
        app = await application.find(database, ORG, "large")
        assert app is not None
        made = await many.endpoints(database, app, ENDPOINTS, receiver.url, keyring=Keyring([b"k" * 32]))
        assert await api.send("large", {"n": 1}) is not None

        async def partly_written() -> bool:
            return bool(await database.fetch(UNDER_WAY))

        async with database.transaction():  # the next slice waits for its end
            await until(partly_written, "a slice is written")
            await server.kill()
        in_flight = await seen(receiver) - await recorded(database_url)
        server = api.server = await started.serve(database_url)
        for _ in range(TIMES):
            seconds = await until_delivered(api.accepted, receiver, paths=paths)
        result = account(api.accepted, receiver, paths=paths)
        rows = await database.fetch("select endpoint_id, count(*) as deliveries from delivery group by 1")
    report(
        f"kill -9 while {ENDPOINTS:,} deliveries of one message are written",
        1,
        result,
        in_flight=in_flight,
        seconds_afterwards=f"{seconds:.1f}",
    )
    assert result.accepted == 1
    assert result.lost == 0
    assert result.duplicates <= in_flight
    assert {row["endpoint_id"]: row["deliveries"] for row in rows} == dict.fromkeys(made, 1)
