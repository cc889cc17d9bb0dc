"""Celery. `Receiver(…, queue=CeleryQueue(app))`; the worker imports the module that makes the Receiver.

The task acknowledges late, so a worker that dies gives it back, and a handler that fails is tried again
after 1, 2, 4 … up to 600 seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from angarium.receiver.inbox import Item
from angarium.receiver.queue.base import RETRIES, Queue

if TYPE_CHECKING:
    from angarium.receiver.receiver import Receiver


class CeleryQueue(Queue):
    """`options` go to `app.task`, over the ones above."""

    def __init__(self, app: Any, **options: Any) -> None:
        self._app = app
        self._options = options
        self._task: Any = None

    def bind(self, receiver: Receiver) -> None:
        options = {
            "autoretry_for": (Exception,),
            "retry_backoff": True,
            "retry_kwargs": {"max_retries": RETRIES},
            "acks_late": True,
            "reject_on_worker_lost": True,
            "ignore_result": True,
            **self._options,
        }

        def receive(item: Item) -> None:
            receiver.process(item)

        self._task = self._app.task(receive, name=self.name(receiver), **options)

    def put(self, item: Item) -> None:
        self._task.delay(item)
