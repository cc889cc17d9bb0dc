"""What failed, in the few words that a list has room for. Each attempt explains it at length.

The codes are those of core/failure.py; a kind is a code, or the family that several begin with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from angarium.core.failure import FAMILIES, title_of
from angarium.portal.words import status_words

"""The kinds that a filter offers."""


def short(code: str | None) -> str:
    """`Connection timed out`, `401 Unauthorized`; nothing for None."""
    return "" if code is None else title_of(code)


def answered(status_code: int | None, code: str | None) -> str:
    """What came of the last attempt: its status, or why there was no answer. Nothing before the first."""
    if status_code is None:
        return ""
    return status_words(status_code) if status_code else short(code) or "No answer"


def kind_words(kind: str) -> str:
    """A kind as a filter names it; one that it does not offer by its short words."""
    return FAMILIES.get(kind) or short(kind)


FILTERS: Final[dict[str, Callable[..., str]]] = {
    "failure": short,
    "answered": answered,
    "kind_words": kind_words,
}
