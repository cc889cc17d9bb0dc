"""Procrastinate. `Receiver(…, queue=ProcrastinateQueue(app))`; the worker imports the module that makes the
Receiver.

A handler that fails is tried again after 5, 25, 125 … seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from angarium.receiver.inbox import Item
from angarium.receiver.queue.base import RETRIES, Queue

if TYPE_CHECKING:
    from angarium.receiver.receiver import Receiver


class ProcrastinateQueue(Queue):
    """`options` go to `app.task`, over the retries above. `put` needs a connector that works without an
    event loop; `aput`, one that works with it."""

    def __init__(self, app: Any, **options: Any) -> None:
        self._app = app
        self._options = options
        self._task: Any = None

    def bind(self, receiver: Receiver) -> None:
        from procrastinate import RetryStrategy

        async def receive(item: Item) -> None:
            await receiver.aprocess(item)

        retry = RetryStrategy(max_attempts=RETRIES, exponential_wait=5)
        options: dict[str, Any] = {"retry": retry, **self._options}
        self._task = self._app.task(receive, name=self.name(receiver), **options)

    def put(self, item: Item) -> None:
        self._task.defer(item=item)

    async def aput(self, item: Item) -> None:
        await self._task.defer_async(item=item)
