"""Passes each event on to all listeners. This is the one `Events` that the parts of a process get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from angarium.core.event import Events
from angarium.telemetry.logs import logger

log = logger("telemetry")


class Sink(Events):
    """Calls the listeners that override a method. An event without listeners costs an empty call. A listener
    may be another sink."""

    def __init__(self, listeners: Sequence[Events]) -> None:
        for name, nothing in vars(Events).items():
            if name.startswith("_"):
                continue
            methods = [getattr(one, name) for one in listeners]
            wanted = [method for method in methods if getattr(method, "__func__", None) is not nothing]
            if wanted:
                setattr(self, name, _told(wanted))


def _told(listeners: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def tell(*facts: Any) -> None:
        for listener in listeners:
            try:
                listener(*facts)
            except Exception:
                # telemetry must not fail what it observes
                log.exception("telemetry.failed")

    return tell
