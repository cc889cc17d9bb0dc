"""A completer that runs until it has written what it was given."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from angarium.dispatch.completer import Completer
from tests.kit.patience import PATIENCE


async def written_by(completer: Completer) -> None:
    """Run the completer until nothing waits in it."""
    running = asyncio.create_task(completer.run())
    async with asyncio.timeout(PATIENCE):
        await completer.drained()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
