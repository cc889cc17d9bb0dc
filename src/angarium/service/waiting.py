"""Limits how many listeners wait for deliveries in this process, because each one polls the database.

A lower limit per application keeps one of them from using up the total.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from angarium.core.errors import Overloaded, TooManyFailures

MAX_WAITING: Final = 200
MAX_OF_APPLICATION: Final = 20
AGAIN: Final = 2.0  # Retry-After in seconds: a listener that gets deliveries stops waiting


class WaitingLimit:
    """Counts the listeners that wait now."""

    def __init__(self) -> None:
        self._waiting: Counter[UUID] = Counter()

    @contextlib.contextmanager
    def joined(self, app_id: UUID) -> Iterator[None]:
        """Count as waiting within the context.

        Raises TooManyFailures at the application's limit, and Overloaded at the limit of the process.
        """
        if self._waiting[app_id] >= MAX_OF_APPLICATION:
            raise TooManyFailures(
                f"Limit of waiting listeners reached for this application ({MAX_OF_APPLICATION}). "
                "Stop a listener you no longer need.",
                code="too_many_listeners",
                retry_after=AGAIN,
            )
        if self._waiting.total() >= MAX_WAITING:
            raise Overloaded("Too many listeners are waiting on this server.", retry_after=AGAIN)
        self._waiting[app_id] += 1
        try:
            yield
        finally:
            self._waiting[app_id] -= 1
            self._waiting += Counter()  # drops applications without waiting listeners
