"""Virtual time for code that waits by the event loop: hours pass at once, and always in the same order."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time stands still while something is to be done, and then jumps to what is next.

    Nothing outside can be waited for: where nothing is left to be done, the test would hang, and fails.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(_Selector(self._jump))

    def time(self) -> float:
        return self.now

    def _jump(self, seconds: float | None) -> None:
        assert seconds is not None, "everything waits, and nothing will ever happen"
        self.now += seconds


class _Selector(selectors.DefaultSelector):
    def __init__(self, jump: Callable[[float | None], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout > 0:
            self._jump(timeout)
        return super().select(0)


def run(work: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    """Run a test in virtual time."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work(loop))
