"""Runs Angarium as in production: `angarium serve` on its own PostgreSQL with durable commits.

All settings have their defaults, except the two that allow requests to this machine: http and loopback. Logs
go to a file, at the default level. PostgreSQL is the embedded one with its usual options. It is started here,
so that SQL can insert data before a server starts on it.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import aiohttp
import asyncpg

from angarium.cli.installation import new_organization
from angarium.clock import SystemClock
from angarium.core import ids
from angarium.core.token_key import TokenKey
from angarium.service.token import ORGANIZATION_LIFETIME, Tokens
from angarium.store.connection import Connector
from angarium.store.database import Database
from angarium.store.embedded import EmbeddedPostgres
from angarium.store.migrate import migrate
from bench.child import child, until
from bench.load import Target
from tests.kit.port import free_port
from tests.kit.schemas import find_tables

AT_ONCE: Final = 16  # API requests, when many things are made
_OWNERS: Final = """
select count(distinct pid) as owners, count(*) as owned from pg_locks
where locktype = 'advisory' and classid = 1097755489 and objid < 64 and granted
  and database = (select oid from pg_database where datname = current_database())
"""
_ANY_OWED: Final = "select exists (select from delivery where due_at is not null and due_at < now())"


@dataclass(frozen=True)
class Installation:
    """A database with its secrets, kept while servers come and go."""

    directory: Path
    postgres: EmbeddedPostgres
    organization: str
    environment: dict[str, str]

    def token(self) -> str:
        key = TokenKey.of(self.environment["ANGARIUM_JWT_SECRET"], "HS256")
        tokens = Tokens(cast(Database, None), SystemClock(), os.urandom, key)
        return tokens.for_organization(self.organization, lifetime=ORGANIZATION_LIFETIME)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        connection = await Connector(self.postgres.url(), statement_timeout=None)()
        try:
            yield connection
        finally:
            await connection.close()

    async def ask(self, query: str, *values: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(query, *values)

    async def recorded(self, count: int | None = None) -> None:
        """Until all deliveries are recorded as delivered (and there are so many). Raises TimeoutError."""
        async with self.connection() as connection:

            async def all_delivered() -> bool:
                if await connection.fetchval(_ANY_OWED):
                    return False
                made = count is not None and await connection.fetchval("select count(*) from delivery")
                return count is None or bool(made == count)

            await until(all_delivered, f"{count or 'all'} deliveries are recorded as delivered")


@asynccontextmanager
async def installation(directory: Path, *, durable: bool = True) -> AsyncIterator[Installation]:
    """A PostgreSQL in `directory/data`, at the schema of this release. `durable=False` is for filling it."""
    postgres = await EmbeddedPostgres.start(directory / "data", durable=durable)
    try:
        await migrate(postgres.url())
        owner = await asyncpg.connect(postgres.url())
        await find_tables(owner)
        await owner.close()
        environment = {
            "ANGARIUM_DATABASE_URL": postgres.url(),
            "ANGARIUM_JWT_SECRET": secrets.token_urlsafe(48),
            "ANGARIUM_SECRET_KEY": base64.b64encode(os.urandom(32)).decode(),
            "ANGARIUM_HTTPS_ONLY": "false",
            "ANGARIUM_ALLOWED_SUBNETS": "127.0.0.0/8",
        }
        yield Installation(directory, postgres, new_organization(), environment)
    finally:
        await postgres.stop()


@dataclass(frozen=True)
class Service:
    """A server that answers. `pids` are of what was started here; workers are their children."""

    installation: Installation
    url: str
    token: str
    pids: tuple[int, ...]
    session: aiohttp.ClientSession

    async def call(self, path: str, body: Any = None) -> Any:
        """Ask the API: POST with a body, else GET. Raises when it refuses."""
        headers = {"authorization": f"Bearer {self.token}"}
        method = "GET" if body is None else "POST"
        url = f"{self.url}/api/v1{path}"
        async with self.session.request(method, url, json=body, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]}")
            return await answer.json()

    async def targets(
        self, receiver_url: str, *, applications: int = 1, endpoints: int = 1, apart: bool = False
    ) -> list[Target]:
        """Create applications with this number of endpoints each. `apart`: every endpoint has an event type
        of its own, so that a message goes to one of them; otherwise each message goes to all of its
        application."""
        room = asyncio.Semaphore(AT_ONCE)

        async def application(number: int) -> list[Target]:
            async with room:
                app = (await self.call("/app", {"name": f"Customer {number}"}))["id"]
            kinds = [f"order.type{n}" for n in range(endpoints)] if apart else ["order.placed"]

            async def endpoint(n: int) -> None:
                body: dict[str, Any] = {"url": f"{receiver_url}/{number}/{n}"}
                if apart:
                    body["filterTypes"] = [kinds[n]]
                async with room:
                    await self.call(f"/app/{app}/endpoint", body)

            await asyncio.gather(*(endpoint(n) for n in range(endpoints)))
            return [Target(f"/api/v1/app/{app}/msg", kind) for kind in kinds]

        if apart:
            for n in range(endpoints):
                await self.call("/event-type", {"name": f"order.type{n}", "description": "of the benchmark"})
        made = await asyncio.gather(*(application(number) for number in range(applications)))
        return [target for targets in made for target in targets]


@asynccontextmanager
async def serving(
    place: Installation, *, processes: int = 1, dispatchers: int = 0, **settings: str
) -> AsyncIterator[Service]:
    """A server with so many processes that do all; or, with dispatchers, that many and API processes."""
    port = free_port()
    environment = {
        **place.environment,
        "ANGARIUM_LISTEN": f"127.0.0.1:{port}",
        "ANGARIUM_OPS_LISTEN": "",
        **settings,
    }
    angarium = (sys.executable, "-m", "angarium", "serve")
    log = place.directory / "server.log"
    async with AsyncExitStack() as stack:
        role = "api" if dispatchers else "all"
        commands: list[Sequence[str]] = [(*angarium, "--role", role, "--processes", str(processes))]
        if dispatchers:
            commands.append((*angarium, "--role", "dispatch", "--processes", str(dispatchers)))
        pids = []
        for number, command in enumerate(commands):
            wanted = port if number == 0 else None
            process = await stack.enter_async_context(
                child(*command, log=log, environment=environment, port=wanted)
            )
            pids.append(process.pid)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        service = Service(place, f"http://127.0.0.1:{port}", place.token(), tuple(pids), session)
        await _ready(service, dispatchers or processes)
        yield service


async def _ready(service: Service, owners: int) -> None:
    """Until it answers, and all shards are shared by all who deliver."""

    async def answers() -> bool:
        try:
            await service.call("/health")
        except (aiohttp.ClientError, RuntimeError):
            return False
        return True

    await until(answers, "the server answers")
    async with service.installation.connection() as connection:

        async def shared() -> bool:
            row = await connection.fetchrow(_OWNERS)
            return bool(row["owners"] == owners and row["owned"] == 64)

        await until(shared, f"{owners} dispatchers share the shards")


def application_id(target: Target) -> Any:
    """The id that the tables have of a target's application."""
    found = ids.parse(ids.APPLICATION, target.path.split("/")[4])
    assert found is not None
    return found
