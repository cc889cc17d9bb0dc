"""Background tasks run to their end, in any process."""

from __future__ import annotations

import asyncio

from angarium.clock import Clock, datetime_at
from angarium.dispatch.background_task import run_due_tasks
from angarium.store.database import Database
from tests.kit.patience import PATIENCE

READY = "select count(*) from background_task where status = 'running' and (due_at is null or due_at <= $1)"


async def finish_tasks(database: Database, clock: Clock) -> None:
    """Until no task can continue now; one with a rate may wait for its time.

    A dispatcher beside us may hold a step that we then do not get: that one is waited for.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            while await run_due_tasks(database, clock):
                pass
            async with database.connection() as connection:
                if not await connection.fetchval(READY, datetime_at(clock.now())):
                    return
            await asyncio.sleep(0.02)
