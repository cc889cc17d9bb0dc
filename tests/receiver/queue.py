"""A queue for receivers that only process what others hand over."""

from __future__ import annotations

from angarium.receiver import Item, Queue, Receiver


class Nowhere(Queue):
    def bind(self, receiver: Receiver) -> None: ...

    def put(self, item: Item) -> None:
        raise AssertionError
