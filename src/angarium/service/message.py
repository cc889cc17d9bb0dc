"""Reads and expunges messages. `intake` sends them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.audit import AuditEvent
from angarium.core.errors import NotFound
from angarium.core.nouns import Message
from angarium.service import audit
from angarium.store import fan_out
from angarium.store import message as store
from angarium.store.cancel import cancel_message
from angarium.store.database import Database
from angarium.store.message import Filter, IdRange
from angarium.store.stretch import AHEAD

RECENT: Final = 90 * 86400.0  # how far back a list goes by default


@dataclass(frozen=True, slots=True)
class Window:
    """The requested part of a list: by time (epoch seconds) and relative to a known item."""

    rows: int
    cursor: UUID | None = None
    backwards: bool = False  # from the cursor towards newer items
    before: float | None = None
    after: float | None = None

    def page(self, now: float) -> IdRange:
        """The range of ids: it includes `after`, but not `before` or the cursor."""
        low = UUID(int=0)
        high = ids.highest(now + AHEAD)
        if self.after is not None:
            low = UUID(int=max(0, ids.lowest(self.after).int - 1))
        if self.before is not None:
            high = min(high, ids.lowest(self.before))
        if self.cursor is None:
            if self.before is None and self.after is None:
                low = ids.lowest(now - RECENT)
        elif self.backwards:
            low = max(low, self.cursor)
        else:
            high = min(high, self.cursor)
        return IdRange(low, high, self.rows, upwards=self.backwards)


class Messages:
    """Reads messages and expunges their payloads."""

    def __init__(
        self, database: Database, clock: Clock, entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    async def get(self, app_id: UUID, ref: str, *, with_payload: bool = True) -> Message:
        """The message with this id or event id. Raises NotFound."""
        async with self._database.connection() as conn:
            message_id = await store.find(conn, app_id, ref)
            found = message_id and await store.get(
                conn, app_id, message_id, datetime_at(self._clock.now()), with_payload=with_payload
            )
        if not found:
            raise NotFound()
        return found

    async def waits(self, app_id: UUID, message_id: UUID) -> bool:
        """Whether deliveries of the message are still to be written (store/fan_out.py)."""
        async with self._database.connection() as conn:
            return await fan_out.waits(conn, app_id, message_id)

    async def page(
        self, app_id: UUID, window: Window, wanted: Filter, *, with_payload: bool
    ) -> Sequence[Message]:
        """Newest first, or oldest first when the window is backwards."""
        now = self._clock.now()
        page = window.page(now)
        return await self._database.read(
            lambda conn: store.page(conn, app_id, page, wanted, datetime_at(now), with_payload=with_payload)
        )

    async def expunge(self, app_id: UUID, ref: str) -> None:
        """Delete the payload at once, and cancel the pending deliveries. Raises NotFound."""
        async with self._database.transaction() as conn:
            message_id = await store.find(conn, app_id, ref)
            if message_id is None or not await store.expunge(conn, app_id, message_id):
                raise NotFound()
            await cancel_message(conn, app_id, message_id, datetime_at(self._clock.now()))
            audit_event = AuditEvent(None, app_id, "message.expunged", ids.text(ids.MESSAGE, message_id))
            await audit.record(conn, self._clock.now(), self._entropy, audit_event)
