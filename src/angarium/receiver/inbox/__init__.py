"""Durable inboxes: acknowledge first, work later, lose nothing."""

from __future__ import annotations

from angarium.receiver.inbox.base import Inbox, Item, Taken
from angarium.receiver.inbox.sqlite import SqliteInbox

__all__ = ["Inbox", "Item", "SqliteInbox", "Taken"]
