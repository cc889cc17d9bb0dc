"""The times that options take: `2h`, `1h30m` or `7d` ago, or a time with a zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from angarium.core import timestamp
from angarium.core.schedule import parse_duration


def moment(text: str) -> datetime:
    """The time in UTC. Raises ValueError in words."""
    try:
        ago = timedelta(seconds=parse_duration(text))
    except ValueError:
        ago = None
    except OverflowError:
        raise ValueError(f"{text!r} is too long ago") from None
    if ago is None:
        try:
            return timestamp.parse(text)
        except ValueError as error:
            raise ValueError(f"write a duration such as 2h or 7d; a time {error}, not {text!r}") from None
    try:
        return datetime.fromtimestamp(time.time(), UTC) - ago
    except OverflowError:
        raise ValueError(f"{text!r} is too long ago") from None
