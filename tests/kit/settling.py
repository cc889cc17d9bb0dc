"""A settler that runs until it has written what it was given."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from angarium.dispatch.settler import Settler
from tests.kit.patience import PATIENCE


async def written_by(settler: Settler) -> None:
    """Run the settler until nothing waits in it."""
    running = asyncio.create_task(settler.run())
    async with asyncio.timeout(PATIENCE):
        await settler.drained()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
