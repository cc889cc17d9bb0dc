"""Parses times: RFC 3339 with a zone, for the API, the dialects, the pages and the commands.

Accepts what Svix's server accepts: a space for `T`, lower-case `t` and `z`, `UTC` for `Z`, an offset with or
without a colon, and a leap second (23:59:60 is the next midnight). Refuses a time without a zone, a date
without a time, a week date, and a time without seconds. Digits after the microseconds are dropped.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

EXAMPLE: Final = "2026-01-31T12:00:00Z"
FORM_EXAMPLE: Final = "2026-01-31T12:00"
_LONGEST: Final = 64

_DATE_AND_TIME: Final = r"(\d{4})-(\d\d)-(\d\d)(?:[Tt]| +)(\d\d):(\d\d):(\d\d)(?:\.(\d+))?"
_TIME: Final = re.compile(_DATE_AND_TIME + r" *(?:[Zz]|[Uu][Tt][Cc]|([+\-\u2212])(\d\d):?(\d\d))", re.ASCII)
_FORM: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(?:\.\d+)?)?", re.ASCII)
_LOST_PLUS: Final = re.compile(r" (\d\d:?\d\d)$", re.ASCII)


def parse(text: str) -> datetime:
    """The time in UTC. Raises ValueError with a message for the author of the text."""
    found = _TIME.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise ValueError(f"must be a date and time with a zone, such as {EXAMPLE}")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, hours, minutes = found.groups()[6:]
    micros = int((fraction or "")[:6].ljust(6, "0"))
    leap = second == 60
    try:
        offset = UTC if sign is None else _offset(sign, int(hours), int(minutes))
        at = datetime(year, month, day, hour, minute, 59 if leap else second, micros, offset)
        return at.astimezone(UTC) + timedelta(seconds=leap)
    except (ValueError, OverflowError):
        raise ValueError(f"must be a date and time that exists, such as {EXAMPLE}") from None


def parse_query(text: str) -> datetime:
    """The same from a URL, where an unescaped `+` of an offset arrives as a space."""
    return parse(_LOST_PLUS.sub(r"+\1", text))


def parse_form(text: str) -> datetime:
    """The same from a page. The value of a `datetime-local` input has no zone and may lack seconds. Our pages
    label it as UTC, or convert it before sending."""
    if (found := _FORM.fullmatch(text)) is not None:
        return parse(f"{text}Z" if found[1] else f"{text}:00Z")
    return parse_query(text)


def _offset(sign: str, hours: int, minutes: int) -> timezone:
    if minutes > 59:
        raise ValueError
    span = timedelta(hours=hours, minutes=minutes)  # `timezone` refuses a day and more
    return timezone(span if sign == "+" else -span)
