"""Measures the delay of a healthy endpoint's messages beside ten thousand dead endpoints.

    python -m bench.dead --seconds 30

The healthy endpoint gets messages at a fixed rate, first alone and then beside the dead ones, on one server.
The dead ones have been failing for long and have retries that become due at an even rate. Most refuse the
connection, and some hang for the whole timeout. CPU time is measured too: unlike delays, it hardly depends on
other load of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core.keyring import Keyring
from angarium.store import partition
from angarium.store.database import Database
from bench.delay import delays, kept, quantile, stopwatch
from bench.fixed_rate import FixedRate
from bench.load import Target
from bench.service import Installation, Service, installation, serving
from bench.table import Table, number, ratio
from bench.usage import cpu_seconds, family
from tests.kit import many
from tests.kit.port import free_port
from tests.kit.world import World

PACE: Final = 100.0  # messages a second of the healthy one
WARM_UP: Final = 3.0
ENDPOINTS: Final = 10_000
ATTEMPTS: Final = 300.0  # a second, of all that are dead
HANGING: Final = 0.1  # share of these
LEAD: Final = 20.0  # seconds before the measure, in which lanes are opened
_FAILING: Final = """
insert into endpoint_health (app_id, endpoint_id, failing_since, failures)
select $1, id, $3, 50 from unnest($2::uuid[]) id
"""
_MESSAGES: Final = """
with made as (
    insert into message (app_id, id, event_type, expires_at)
    select $1, id, 'order.placed', $3 from unnest($2::uuid[]) id
    returning id, expires_at
)
insert into payload (message_id, expires_at, body)
select id, expires_at, convert_to('{"t":"0"}', 'UTF8') from made
"""
_RETRIES: Final = """
insert into retry (
    endpoint_id, message_id, app_id, shard, state, failures, attempts, due_at, status_code, error_code
)
select e.id, m.id, $1, e.shard, 1, 1, 1, $3::timestamptz + random() * $4::interval, 0, 'connect_refused'
from endpoint e cross join unnest($2::uuid[]) as m (id)
where e.app_id = $1
limit $5
"""
_MADE: Final = "select count(*) from attempt where error_code is not null"


@dataclass(frozen=True, slots=True)
class Healthy:
    """What it noticed. Milliseconds; `attempts`: that the dead ones had meanwhile, each second; `cpu`: of the
    server and of PostgreSQL, milliseconds each second."""

    beside: int
    accept: tuple[float, float]  # p50 and p99
    p50: float
    p99: float
    attempts: float
    cpu: tuple[float, float]


async def measure(
    seconds: float, endpoints: int = ENDPOINTS, attempts: float = ATTEMPTS, hanging: float = HANGING
) -> list[Healthy]:
    """Alone, and beside so many dead ones with so many attempts a second, of which a share hangs."""
    with tempfile.TemporaryDirectory(prefix="angarium-bench-") as name:
        async with (
            stopwatch(Path(name)) as watch,
            silence() as silent,
            installation(Path(name)) as place,
            serving(place, ANGARIUM_ENDPOINT_LIMIT="100000") as service,
        ):
            (target,) = await service.targets(watch)
            await _noticed(service, target, watch, 0, WARM_UP)
            alone = await _noticed(service, target, watch, 0, seconds)
            await _die(place, silent, endpoints, hanging, attempts, seconds + LEAD)
            await _noticed(service, target, watch, endpoints, LEAD)
            return [alone, await _noticed(service, target, watch, endpoints, seconds)]


async def _noticed(service: Service, target: Target, watch: str, beside: int, seconds: float) -> Healthy:
    before = await service.installation.ask(_MADE)
    used, begun = _cpu(service), time.monotonic()
    sent = await kept(FixedRate(service.url, target.path, service.token, PACE, seconds))
    found = await delays(service.session, watch, sent.accepted)
    made = await service.installation.ask(_MADE) - before
    took = time.monotonic() - begun
    server, postgres = ((now - then) * 1000 / took for now, then in zip(_cpu(service), used, strict=True))
    answers = sorted(sent.answer_ms)
    accept = quantile(answers, 0.5), quantile(answers, 0.99)
    return Healthy(
        beside, accept, quantile(found, 0.5), quantile(found, 0.99), made / took, (server, postgres)
    )


def _cpu(service: Service) -> tuple[float, float]:
    return cpu_seconds(family(*service.pids)), cpu_seconds(family(service.installation.postgres.pid))


async def _die(
    place: Installation, silent: str, endpoints: int, hanging: float, attempts: float, seconds: float
) -> None:
    """Make the dead ones, with retries that are due from now on."""
    keyring = Keyring([base64.b64decode(place.environment["ANGARIUM_SECRET_KEY"])])
    database = await Database.connect(place.postgres.url(), size=2)
    world = World(database, keyring=keyring)
    hang = round(endpoints * hanging)
    async with place.connection() as connection:
        for count, url in ((hang, f"{silent}/"), (endpoints - hang, f"http://127.0.0.1:{free_port()}/")):
            if not count:
                continue
            app = await world.application(org_id=place.organization)
            made = await many.endpoints(connection, app, count, url, keyring=keyring)
            now = datetime_at(world.clock.now())
            await connection.execute(_FAILING, app.id, made, now - timedelta(hours=1))
            retries = round(attempts * seconds * count / endpoints)
            messages: list[UUID] = [world.new_id() for _ in range(-(-retries // count))]
            expires_at = now + timedelta(days=1)
            await partition.cover(connection, messages, [expires_at])
            await connection.execute(_MESSAGES, app.id, messages, expires_at)
            due = datetime_at(world.clock.now())  # creating the endpoints takes some time
            await connection.execute(_RETRIES, app.id, messages, due, timedelta(seconds=seconds), retries)
        await connection.execute("analyze retry, endpoint, endpoint_health")
    await database.close()


@asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """A server that takes connections and never answers."""
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, backlog=2048)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def table(found: Sequence[Healthy]) -> Table:
    made = Table(
        f"A healthy endpoint at {PACE:.0f} messages a second beside dead ones",
        (
            "dead endpoints",
            "attempts/s at these",
            "accepted p50 ms",
            "p99 ms",
            "arrived p50 ms",
            "of alone",
            "p99 ms",
            "of alone",
            "server CPU ms/s",
            "PostgreSQL CPU ms/s",
        ),
        note="From the moment a message was due to be sent.",
    )
    alone = found[0]
    for one in found:
        made.add(
            number(one.beside), number(one.attempts), *(f"{ms:.1f}" for ms in one.accept),
            f"{one.p50:.1f}", ratio(one.p50, alone.p50), f"{one.p99:.1f}", ratio(one.p99, alone.p99),
            *(number(ms) for ms in one.cpu),
        )  # fmt: skip
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each of the two")
    parser.add_argument("--endpoints", type=int, default=ENDPOINTS, help="that are dead")
    parser.add_argument("--attempts", type=float, default=ATTEMPTS, help="a second, at all of these")
    parser.add_argument("--hanging", type=float, default=HANGING, help="share of these that hang")
    options = parser.parse_args()
    found = asyncio.run(measure(options.seconds, options.endpoints, options.attempts, options.hanging))
    table(found).show()


if __name__ == "__main__":
    main()
