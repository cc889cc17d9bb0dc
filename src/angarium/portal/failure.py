"""Short titles of failures, for lists.

The codes are those of core/failure.py; a kind is a code, or the prefix of a family of codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from angarium.core.failure import FAMILIES, title_of
from angarium.portal.words import status_words


def short(code: str | None) -> str:
    """`Connection timed out`, `401 Unauthorized`; nothing for None."""
    return "" if code is None else title_of(code)


def answered(status_code: int | None, code: str | None) -> str:
    """The result of the last attempt: its status, or the failure. Empty before the first attempt."""
    if status_code is None:
        return ""
    return status_words(status_code) if status_code else short(code) or "No response"


def kind_words(kind: str) -> str:
    """The name of a kind in the filter; the short title for other codes."""
    return FAMILIES.get(kind) or short(kind)


FILTERS: Final[dict[str, Callable[..., str]]] = {
    "failure": short,
    "answered": answered,
    "kind_words": kind_words,
}
