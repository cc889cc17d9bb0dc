"""Texts for people: how long they may be. Lists and pages show many of them."""

from __future__ import annotations

from typing import Final

from angarium.core.errors import Invalid

MAX_NAME: Final = 256  # characters
MAX_TEXT: Final = 10_000


def check_text(field: str, text: str, most: int, before: str | None = None) -> None:
    """Raises Invalid for a text of more than `most` characters; one that was there `before` may stay."""
    if len(text) > most and text != before:
        raise Invalid.field(field, f"At most {most:,} characters.")
