"""Limits the length of names and descriptions: lists and pages show many of them."""

from __future__ import annotations

from typing import Final

from angarium.core.errors import Invalid

MAX_NAME: Final = 256  # characters
MAX_TEXT: Final = 10_000


def check_text(field: str, text: str, most: int, before: str | None = None) -> None:
    """Raises Invalid for a text of more than `most` characters, unless it is unchanged from `before`."""
    if len(text) > most and text != before:
        raise Invalid.field(field, f"Must be at most {most:,} characters long.")
