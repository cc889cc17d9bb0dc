"""Creates and parses ids: UUIDv7 internally, prefixed sortable text in public.

The text form is the prefix and 27 base62 digits (`msg_0ujsswThIGTUYm2K8FjOOfXtY1K`), the format
of Svix's clients. The digits encode the UUID shifted left by 32 bits, so that they sort exactly like the
UUIDs and fill all 27 places. Sorting by id is sorting by time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from uuid import UUID

from angarium.message_form import MESSAGE_PREFIX

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGITS: Final = 27
_PAIRS: Final = [a + b for a in ALPHABET for b in ALPHABET]
_VALUE: Final = {c: i for i, c in enumerate(ALPHABET)}
_TEXT: Final = re.compile(r"[0-9A-Za-z]{27}")
_FIRST: Final = 0x7 << 12  # the version, and the first fraction of a millisecond
_2, _4, _6, _12 = 62**2, 62**4, 62**6, 62**12

APPLICATION: Final = "app_"
ENDPOINT: Final = "ep_"
MESSAGE: Final = MESSAGE_PREFIX
ATTEMPT: Final = "atmpt_"
TASK: Final = "qtask_"
INBOX: Final = "play_"
CONTACT: Final = "contact_"
ORGANIZATION: Final = "org_"


def new(now: float, entropy: bytes) -> UUID:
    """A UUIDv7 (RFC 9562, 5.7) for `now` (epoch seconds); `entropy` is 8 random bytes or more."""
    return at(int(now * 1_000_000), entropy)


def at(micros: int, entropy: bytes) -> UUID:
    """The same for a time in epoch microseconds. Ids of different times sort by time.

    The 12 bits after the milliseconds hold the fraction of the millisecond (RFC 9562, 6.2, method 3).
    """
    millis, rest = divmod(micros, 1000)
    tail = int.from_bytes(entropy[:8], "big") & ((1 << 62) - 1)
    return UUID(int=(millis << 80) | (0x7 << 76) | ((rest * 4096 // 1000) << 64) | (0b10 << 62) | tail)


def created_at(uuid: UUID) -> float:
    """Epoch seconds at which the id was created, to the microsecond."""
    millis, fraction = uuid.int >> 80, (uuid.int >> 64) & 0xFFF
    return (millis * 1000 + -(-fraction * 1000 // 4096)) / 1_000_000


def lowest(at: float) -> UUID:
    """The smallest id that can be created in the microsecond `at` (epoch seconds)."""
    millis, rest = divmod(_micros(at), 1000)
    return UUID(int=((millis << 16) + _FIRST + rest * 4096 // 1000) << 64)


def highest(at: float) -> UUID:
    """The greatest id that can be created in the microsecond `at` (epoch seconds)."""
    millis, rest = divmod(_micros(at), 1000)
    return UUID(int=(((millis << 16) + _FIRST + (rest + 1) * 4096 // 1000) << 64) - 1)


def made_by(now: float) -> UUID:
    """The greatest id that can have been created by `now`.

    It covers the whole millisecond: the ids of a batch are a microsecond apart and run ahead of the clock.
    """
    return UUID(int=(_micros(now) // 1000 << 80) | ((1 << 80) - 1))


def _micros(at: float) -> int:
    return max(0, min(round(at * 1_000_000), ((1 << 48) - 1) * 1000 + 999))


@lru_cache(maxsize=16_384)
def text(prefix: str, uuid: UUID) -> str:
    """The public form, e.g. `text(MESSAGE, uuid)`. Cached, because a message is named in the response and
    again for each attempt."""
    # 3 + 4 * 6 digits, split so that the numbers soon fit into a machine word
    number, low = divmod(uuid.int << 32, _12)
    first, high = divmod(number, _12)
    a, b = divmod(high, _6)
    c, d = divmod(low, _6)
    two = _PAIRS
    return (
        f"{prefix}{ALPHABET[first // _2]}{two[first % _2]}"
        f"{two[a // _4]}{two[a // _2 % _2]}{two[a % _2]}{two[b // _4]}{two[b // _2 % _2]}{two[b % _2]}"
        f"{two[c // _4]}{two[c // _2 % _2]}{two[c % _2]}{two[d // _4]}{two[d // _2 % _2]}{two[d % _2]}"
    )


@lru_cache(maxsize=4096)
def parse(prefix: str, value: str) -> UUID | None:
    """The UUID of a public id, or None if `value` is not an id with this prefix."""
    if not value.startswith(prefix):
        return None
    digits = value[len(prefix) :]
    if _TEXT.fullmatch(digits) is None:
        return None
    number = 0
    for digit in digits:
        number = number * 62 + _VALUE[digit]
    if number & 0xFFFFFFFF or number >> 160:
        return None
    return UUID(int=number >> 32)
