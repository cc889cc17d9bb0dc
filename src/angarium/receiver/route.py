"""Finds the handler of an event type, and the form of the event that its annotation asks for.

A pattern is an event type, a wildcard (`order.*` covers `order.filled` and `order.line.added`, but neither
`order` nor `orders.filled`), or `*`. The most specific pattern is used.
The server has the same rule for patterns; it is copied here because the receiver imports nothing of it.
"""

from __future__ import annotations

import asyncio
import inspect
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from angarium.receiver.event import Event
from angarium.receiver.flow import Step
from angarium.receiver.payload import converted, is_model

Handler = Callable[[Any], Any]
_PATTERN = re.compile(r"\*|[^*\s]+(?<!\.)(\.\*)?")


@dataclass(frozen=True, slots=True)
class Route:
    handler: Handler
    payload: Any  # the type of the data, or None
    bare: bool  # the handler takes the data, not the event

    def step(self, event: Event[Any]) -> Step:
        """The call of the handler. Raises BadPayload if the data does not match the handler's type."""
        argument = self._argument(event)
        threaded = not _is_async(self.handler)
        return Step(lambda: self._call(argument), lambda: self._acall(argument), threaded)

    def _argument(self, event: Event[Any]) -> Any:
        if self.payload is None:
            return event
        data = converted(event.data, self.payload)
        return data if self.bare else replace(event, data=data)

    def _call(self, argument: Any) -> None:
        if not _is_async(self.handler):
            self.handler(argument)
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self.handler(argument))
        else:
            raise RuntimeError(
                "an async handler cannot run here: await `ahandle` instead of calling `handle`"
            )

    async def _acall(self, argument: Any) -> None:
        if _is_async(self.handler):
            await self.handler(argument)
        else:
            await asyncio.to_thread(self.handler, argument)


class Routes:
    """The handlers by their patterns."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self.default: Route | None = None

    def add(self, pattern: str, route: Route) -> None:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError(f"{pattern!r} is neither an event type nor a wildcard such as `order.*` or `*`")
        if pattern in self._routes:
            raise ValueError(f"{pattern} already has a handler")
        self._routes[pattern] = route

    def find(self, event_type: str) -> Route | None:
        parts = event_type.split(".")
        wildcards = (".".join(parts[:count]) + ".*" for count in range(len(parts) - 1, 0, -1))
        for pattern in (event_type, *wildcards, "*"):
            if pattern in self._routes:
                return self._routes[pattern]
        return self.default


def route(handler: Handler, payload: Any = None) -> Route:
    """The route to a handler, by the annotation of its parameter: `Event`, `Event[Order]` or `Order`."""
    parameters = list(inspect.signature(handler).parameters.values())
    if not parameters:
        raise TypeError(f"{handler!r} takes no argument; a handler gets the event as its argument")
    if payload is not None:
        return Route(handler, payload, bare=False)
    if parameters[0].annotation is inspect.Parameter.empty:
        return Route(handler, None, bare=False)
    try:
        function = handler if inspect.isroutine(handler) else type(handler).__call__
        wanted = typing.get_type_hints(function).get(parameters[0].name)
    except NameError as error:
        raise TypeError(
            f"the annotations of {handler!r} cannot be resolved ({error}); define the type at the top of its"
            " module, or name it: @receiver.on(…, payload=…)"
        ) from error
    if typing.get_origin(wanted) is Event:
        inner = typing.get_args(wanted)[0]
        return Route(handler, inner if is_model(inner) else None, bare=False)
    if is_model(wanted) and wanted is not Event:
        return Route(handler, wanted, bare=True)
    return Route(handler, None, bare=False)


def _is_async(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__
    )
