"""Parses times of options: `2h`, `1h30m` or `7d` ago, or a time with a zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from angarium.core import timestamp
from angarium.core.schedule import TooLong, parse_duration


def moment(text: str) -> datetime:
    """The time in UTC. Raises ValueError with a message for the user."""
    try:
        ago = parse_duration(text)
    except TooLong:
        raise ValueError(f"{text!r} is too long ago") from None
    except ValueError:
        try:
            return timestamp.parse(text)
        except ValueError as error:
            raise ValueError(f"write a duration such as 2h or 7d; a time {error}, not {text!r}") from None
    return datetime.fromtimestamp(time.time() - ago, UTC)
