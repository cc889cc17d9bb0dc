"""The end of a request's time where a test wants it, however slow or quick the machine is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from angarium.core.outcome import AttemptResult
from angarium.dispatch.transport.exchange import HttpExchange
from angarium.dispatch.transport.sender import OutgoingRequest, Sender
from tests.kit.patience import until


async def overdue(
    sender: Sender, request: OutgoingRequest, far: Callable[[HttpExchange], object]
) -> AttemptResult:
    """The answer when the time is over as soon as the request got so far: the loop's time jumps then."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[AttemptResult] = loop.create_future()
    exchange = sender.start(request, answered.set_result)
    assert exchange is not None
    await until(lambda: far(exchange))
    now = loop.time
    loop.time = lambda: now() + request.timeout  # type: ignore[method-assign]
    return await answered
