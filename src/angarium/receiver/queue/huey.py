"""Huey. `Receiver(…, queue=HueyQueue(huey))`; the consumer imports the module that makes the Receiver.

A handler that fails is tried again every minute, six times. Huey takes a task out of its storage before it
runs it, so what a consumer was doing when it was killed is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from angarium.receiver.inbox import Item
from angarium.receiver.queue.base import RETRIES, Queue

if TYPE_CHECKING:
    from angarium.receiver.receiver import Receiver


class HueyQueue(Queue):
    """`options` go to `huey.task`."""

    def __init__(self, huey: Any, **options: Any) -> None:
        self._huey = huey
        self._options = {"retries": RETRIES, "retry_delay": 60, **options}
        self._task: Any = None

    def bind(self, receiver: Receiver) -> None:
        def receive(item: Item) -> None:
            receiver.process(item)

        self._task = self._huey.task(name=self.name(receiver), **self._options)(receive)

    def put(self, item: Item) -> None:
        self._task(item)
