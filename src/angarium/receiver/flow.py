"""Runs the same code with or without an event loop.

A flow is a generator: it yields each step that may block, gets the result or error of the step, and returns
the final result. `run` runs it by blocking, `arun` by awaiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Step:
    """An operation that may block, in both forms."""

    block: Callable[[], Any]
    wait: Callable[[], Awaitable[Any]]
    threaded: bool = False
    """`wait` uses a thread, which continues its work if the wait is canceled."""


Flow = Generator[Step, Any, T]


def step(owner: object, name: str, *args: object, **kwargs: object) -> Step:
    """The step that calls a method; its form for event loops has the same name with an `a` before it."""
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
