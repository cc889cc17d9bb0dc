"""Task queues to hand events to: one module for each library."""

from __future__ import annotations

from angarium.receiver.queue.base import Queue

__all__ = ["Queue"]
