"""Who waits for deliveries in this process: each looks at the database now and then, so they are counted.

An application has a small part of the room, so that none can take what all share.
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
AGAIN: Final = 2.0  # seconds after which to try again: whoever is handed something makes room


class WaitingLimit:
    """Who waits now."""

    def __init__(self) -> None:
        self._waiting: Counter[UUID] = Counter()

    @contextlib.contextmanager
    def joined(self, app_id: UUID) -> Iterator[None]:
        """Be one of them meanwhile.

        Raises TooManyFailures when the application has used up its own room, Overloaded when all is used up.
        """
        if self._waiting[app_id] >= MAX_OF_APPLICATION:
            raise TooManyFailures(
                f"{MAX_OF_APPLICATION} listeners of this application are waiting on this server already. "
                "Stop one that is not needed.",
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
            self._waiting += Counter()  # forgets whoever has none left
