"""Retry schedules: a list of delays, each from the previous failure. Also parses durations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+", re.ASCII)
_MAX_TEXT: Final = 100  # characters
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", re.ASCII)
MAX_DURATION: Final = 36_525 * 86400.0  # 100 years
MAX_DELAY: Final = 30 * 86400.0
MAX_ATTEMPTS: Final = 100


class TooLong(ValueError):
    """A duration longer than MAX_DURATION."""


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `200ms`, `5s`, `1h30m` or `5d`. Raises ValueError with a message."""
    text = text.strip()
    if len(text) > _MAX_TEXT:
        raise ValueError(f"a duration has at most {_MAX_TEXT} characters")
    if _DURATION.fullmatch(text) is None:
        raise ValueError(
            f"{text!r} is not a duration; write a number and ms, s, m, h or d, such as 30s or 1h30m"
        )
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > MAX_DURATION:
        raise TooLong(f"{text} is too long; a duration is at most 36525d (100 years)")
    return seconds


def spoken(seconds: float) -> str:
    """A duration (seconds) in words: `1 hour 30 minutes`."""
    parts = []
    rest = seconds
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count:g} {name}{'' if count == 1 else 's'}")
    if rest or not parts:
        parts.append(f"{rest:g} second{'' if rest == 1 else 's'}")
    return " ".join(parts)


def parse_schedule(text: str) -> tuple[float, ...]:
    """The delays of `5s,5m,30m` in seconds. An empty text means a single attempt. Raises ValueError."""
    delays = tuple(parse_duration(part) for part in text.split(",")) if text.strip() else ()
    if len(delays) >= MAX_ATTEMPTS:
        raise ValueError(f"a schedule has at most {MAX_ATTEMPTS - 1} delays")
    if any(delay > MAX_DELAY for delay in delays):
        raise ValueError("a delay is at most 30 days")
    return delays


@dataclass(frozen=True, slots=True)
class Schedule:
    """The delays (seconds) after the first, second, … failed attempt. There is one more attempt than delays.

    A delay grows by a random fraction between `least` and `jitter`, so that deliveries that failed together
    are not retried together. With a `least` of 0, no attempt is earlier than documented.
    """

    delays: tuple[float, ...]
    jitter: float = 0.0
    least: float = 0.0

    @property
    def longest(self) -> float:
        """Maximum seconds from the first attempt to the last."""
        return sum(self.delays) * (1 + self.jitter)

    def delay(self, failures: int, chance: float) -> float | None:
        """Seconds from the `failures`-th failed attempt to the next; None if it was the last.

        `chance` is a random number in [0, 1).
        """
        if not 1 <= failures <= len(self.delays):
            return None
        return self.delays[failures - 1] * (1 + self.least + (self.jitter - self.least) * chance)
