"""Checks the depth and size of JSON from outside, on the text, before it is parsed.

A short text can be expensive to parse: a million nested lists, or a hundred thousand numbers. Text within the
bounds is parsed in milliseconds and takes a few megabytes. This module imports the standard library only, so
every package may import it.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

MAX_DEPTH: Final = 128
"""Levels of nested objects and lists. Svix's server accepts as many."""
MAX_VALUES: Final = 100_000
"""Values and member names, counted together."""

_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
# up to the first escape that is half of a surrogate pair
_WHOLE: Final = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+", re.DOTALL
)


def check(text: bytes, *, values: int = MAX_VALUES) -> None:
    """Raise ValueError if JSON is nested too deeply or has too many values. The message names the bound."""
    if len(text) <= values and text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return  # each level and each value takes a byte
    depth, count = measure(text, values)
    if count > values:
        raise ValueError(f"The JSON has more than {values:,} values.")
    if depth > MAX_DEPTH:
        raise ValueError(f"The JSON is nested more than {MAX_DEPTH} levels deep.")


def measure(text: bytes, values: int = MAX_VALUES) -> tuple[int, int]:
    """The nesting depth of JSON, and an upper bound of its values and member names.

    If there are more than `values`, the depth is not computed. The time is linear in the length of the text.
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
    """Whether JSON contains an escape that is an unpaired surrogate."""
    if b"\\u" not in text or b"\\ud" not in text.lower():
        return False
    found = _WHOLE.match(text)
    return found is not None and text[found.end() : found.end() + 2] == b"\\u"
