"""How many things happened how close together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable


def most_in(seconds: float, times: Iterable[float]) -> int:
    """The most of them in any such time."""
    ordered = sorted(times)
    return max(bisect_left(ordered, at + seconds) - index for index, at in enumerate(ordered))
