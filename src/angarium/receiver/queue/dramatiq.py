"""Dramatiq. `Receiver(…, queue=DramatiqQueue(broker))`; the worker imports the module with it.

Retrying is the broker's Retries middleware, which every broker has unless it is taken out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from angarium.receiver.inbox import Item
from angarium.receiver.queue.base import RETRIES, Queue

if TYPE_CHECKING:
    from angarium.receiver.receiver import Receiver


class DramatiqQueue(Queue):
    """`options` go to `dramatiq.actor`."""

    def __init__(self, broker: Any, **options: Any) -> None:
        self._broker = broker
        self._options = options
        self._actor: Any = None

    def bind(self, receiver: Receiver) -> None:
        import dramatiq

        def receive(item: Item) -> None:
            receiver.process(item)

        options: dict[str, Any] = {"max_retries": RETRIES, **self._options}
        make: Any = dramatiq.actor(actor_name=self.name(receiver), broker=self._broker, **options)
        self._actor = make(receive)

    def put(self, item: Item) -> None:
        self._actor.send(item)
