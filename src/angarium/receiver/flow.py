"""One description of what happens, run with or without an event loop.

A flow is a generator: it yields each Step that may block, gets its result (or its error) back, and returns
the end result. `run` and `arun` are the two ways to drive it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """Something that may block, in both manners."""

    block: Callable[[], Any]
    wait: Callable[[], Awaitable[Any]]
    threaded: bool = False
    """`wait` uses a thread, which goes on with the work when the waiting is canceled."""


Flow = Generator[Step, Any, T]


def step(owner: object, name: str, *args: object, **kwargs: object) -> Step:
    """The step that a method makes whose waiting twin has an `a` before its name."""
    return Step(
        lambda: getattr(owner, name)(*args, **kwargs),
        lambda: getattr(owner, f"a{name}")(*args, **kwargs),
    )


def run(flow: Flow[T]) -> T:
    try:
        current = next(flow)
        while True:
            try:
                result = current.block()
            except BaseException as error:
                current = flow.throw(error)
            else:
                current = flow.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def arun(flow: Flow[T]) -> T:
    try:
        current = next(flow)
        while True:
            try:
                result = await current.wait()
            except BaseException as error:
                current = flow.throw(error)
            else:
                current = flow.send(result)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
