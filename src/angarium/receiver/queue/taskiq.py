"""Taskiq. `Receiver(…, queue=TaskiqQueue(broker))`; the worker imports the module that makes the Receiver.

Event loops only: the request comes in by `ahandle`. A handler that fails is tried again if the broker has
`SimpleRetryMiddleware` or `SmartRetryMiddleware`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from angarium.receiver.inbox import Item
from angarium.receiver.queue.base import RETRIES, Queue

if TYPE_CHECKING:
    from angarium.receiver.receiver import Receiver


class TaskiqQueue(Queue):
    """`labels` are the task's."""

    def __init__(self, broker: Any, **labels: Any) -> None:
        self._broker = broker
        self._labels = {"retry_on_error": True, "max_retries": RETRIES, **labels}
        self._task: Any = None

    def bind(self, receiver: Receiver) -> None:
        async def receive(item: Item) -> None:
            await receiver.aprocess(item)

        self._task = self._broker.register_task(receive, task_name=self.name(receiver), **self._labels)

    def put(self, item: Item) -> None:
        raise RuntimeError("Taskiq is for event loops: await `ahandle` instead of calling `handle`")

    async def aput(self, item: Item) -> None:
        await self._task.kiq(item)
