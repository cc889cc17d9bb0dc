"""What a task queue does for a receiver: it takes an item, and a worker of its own runs the handler.

The worker calls `receiver.process(item)` (or `aprocess`), which raises what the handler raises; retrying is
the queue's business, and each module says how it is set up.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from angarium.receiver.inbox import Item

if TYPE_CHECKING:
    from angarium.receiver.receiver import Receiver

RETRIES = 6
"""How often a worker tries again unless told otherwise."""


class Queue(ABC):
    @abstractmethod
    def bind(self, receiver: Receiver) -> None:
        """Called by the Receiver that is given this queue: register the task that calls it."""

    @abstractmethod
    def put(self, item: Item) -> None:
        """Hand it over; when this returns, the queue has it."""

    async def aput(self, item: Item) -> None:
        await asyncio.to_thread(self.put, item)

    @staticmethod
    def name(receiver: Receiver) -> str:
        """The task's name, by which the workers know it."""
        return f"angarium.receive.{receiver.source}"
