"""RQ. Its jobs are importable functions, so the queue is told where the Receiver is:
`Receiver(…, queue=RqQueue(rq_queue, "shop.webhooks:receiver"))`.

A handler that fails is tried again after 5, 60, 300 … seconds, which needs `rq worker --with-scheduler`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from angarium.receiver.inbox import Item
from angarium.receiver.place import located
from angarium.receiver.queue.base import Queue
from angarium.receiver.worker import SCHEDULE

if TYPE_CHECKING:
    from angarium.receiver.receiver import Receiver


class RqQueue(Queue):
    """`options` go to `Queue.enqueue`, over the retries above."""

    def __init__(self, queue: Any, place: str, **options: Any) -> None:
        from rq import Retry

        self._queue = queue
        self._place = place
        self._options = {
            "retry": Retry(max=len(SCHEDULE), interval=[int(one) for one in SCHEDULE]),
            **options,
        }

    def bind(self, receiver: Receiver) -> None:
        """Nothing to do: the worker finds the Receiver by its place."""

    def put(self, item: Item) -> None:
        self._queue.enqueue(receive, self._place, item, **self._options)


def receive(place: str, item: Item) -> None:
    """The job."""
    located(place).process(item)
