"""Bounds on JSON from outside, checked on the text before anything is made of it.

A small text can cost much: a list in a list a million times, or a hundred thousand numbers. What is within
the bounds is parsed in milliseconds and into a few megabytes. Standard library only, and nothing else of
Angarium, so that it can be imported from everywhere.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

MAX_DEPTH: Final = 128
"""Objects and lists inside each other; Svix's server takes as many."""
MAX_VALUES: Final = 100_000
"""Values and names of members, all counted."""

_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
# up to the first escape that is half of a surrogate pair
_WHOLE: Final = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+", re.DOTALL
)


def check(text: bytes, *, values: int = MAX_VALUES) -> None:
    """Raise ValueError, in words that name the bound, for JSON that is too deep or has too many values."""
    if len(text) <= values and text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return  # each level and each value takes a byte
    depth, count = measure(text, values)
    if count > values:
        raise ValueError(f"The JSON has more than {values:,} values.")
    if depth > MAX_DEPTH:
        raise ValueError(f"The JSON is nested more than {MAX_DEPTH} levels deep.")


def measure(text: bytes, values: int = MAX_VALUES) -> tuple[int, int]:
    """How deep JSON is nested, and how many values and names of members it has at the most.

    Where there are more than `values`, the depth is not looked for. The time goes with the length of the
    text, whatever it is.
    """
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    strings = plain.count(b'"') // 2
    if strings > values:
        return 0, strings
    bare = b"".join(plain.split(b'"')[::2])  # what is outside strings
    brackets = bare.translate(None, _NO_BRACKETS)
    opened = brackets.count(b"[") + brackets.count(b"{")
    count = opened + bare.count(b",") + bare.count(b":") + 1
    if count > values:
        return 0, count
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0), count


def has_half_pair(text: bytes) -> bool:
    """Whether an escape in JSON is half of a surrogate pair, which is no character."""
    if b"\\u" not in text or b"\\ud" not in text.lower():
        return False
    found = _WHOLE.match(text)
    return found is not None and text[found.end() : found.end() + 2] == b"\\u"
