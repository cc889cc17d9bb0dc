"""Where a receiver remembers what it has handled: one module for each kind of store."""

from __future__ import annotations

from angarium.receiver.store.base import Claim, Key, Store
from angarium.receiver.store.memory import MemoryStore
from angarium.receiver.store.sqlite import SqliteStore

__all__ = ["Claim", "Key", "MemoryStore", "SqliteStore", "Store"]
