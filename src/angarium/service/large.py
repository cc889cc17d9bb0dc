"""Applications whose messages are large: they get what room the others leave in a batch.

An application is large from a message for whose deliveries its batch had no room, until one of its messages
fits again. It is a matter of fairness alone: whatever is remembered here, every delivery is written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from angarium.store.accept import Item, Stored

MOST: Final = 1000  # applications that are remembered


class Large:
    """Remembers applications by the reference that was used, their id or their uid."""

    def __init__(self) -> None:
        self._refs: dict[str, None] = {}  # the oldest first

    def __bool__(self) -> bool:
        return bool(self._refs)

    def among(self, items: Sequence[Item]) -> Collection[str]:
        """The references of those items whose applications are large."""
        return self._refs.keys() & {item.app for item in items} if self._refs else ()

    def learn(self, items: Sequence[Item], stored: Sequence[Stored]) -> None:
        """These items were stored in one batch."""
        for item, one in zip(items, stored, strict=True):
            if one.large:
                self._refs[item.app] = None
            elif one.stored and not one.late:
                self._refs.pop(item.app, None)
        while len(self._refs) > MOST:
            del self._refs[next(iter(self._refs))]
