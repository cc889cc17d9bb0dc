"""Tracks applications with large messages: they get the room that others leave in a batch.

An application becomes large when the deliveries of one of its messages do not fit into the batch, and stops
being large when a message fits again. This affects only fairness: every delivery is written in any case.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from angarium.store.accept import Item, Stored

MOST: Final = 1000  # remembered applications


class Large:
    """Remembers applications by the reference that callers used, an id or a uid."""

    def __init__(self) -> None:
        self._refs: dict[str, None] = {}  # the oldest first

    def __bool__(self) -> bool:
        return bool(self._refs)

    def among(self, items: Sequence[Item]) -> Collection[str]:
        """The references of items whose applications are large."""
        return self._refs.keys() & {item.app for item in items} if self._refs else ()

    def learn(self, items: Sequence[Item], stored: Sequence[Stored]) -> None:
        """Update from the results of one batch."""
        for item, one in zip(items, stored, strict=True):
            if one.large:
                self._refs[item.app] = None
            elif one.stored and not one.late:
                self._refs.pop(item.app, None)
        while len(self._refs) > MOST:
            del self._refs[next(iter(self._refs))]
