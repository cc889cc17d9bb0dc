"""Limits of what an application uses, and the months for which they count.

Messages are limited for each month (UTC), endpoints at any time. A soft limit is reported, a hard limit is
also enforced. A limit is that of the application, or else of its product, or else of the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

import msgspec

from angarium.core.alert import OPERATIONS
from angarium.core.profile_table import QuotaTable

UNLIMITED: Final = "unlimited"
MOST: Final = 10**15  # the highest limit of messages
MOST_ENDPOINTS: Final = 1_000_000
Written = int | Literal["unlimited"]
"""A limit as people write it."""


class QuotaLimits(msgspec.Struct, frozen=True, gc=False):
    """The limits of an application. None: there is none."""

    messages_soft: int | None = None
    messages_hard: int | None = None
    endpoints_soft: int | None = None
    endpoints_hard: int | None = None


NAMES: Final = QuotaLimits.__struct_fields__
NO_LIMITS: Final = QuotaLimits()
Own = Mapping[str, int | None]
"""Limits of an application itself, by name; None: there is none. A name that is missing has the default."""


class Reached(StrEnum):
    """A limit that was reached."""

    MESSAGES_SOFT = "messages_soft"
    MESSAGES_HARD = "messages_hard"
    ENDPOINTS_SOFT = "endpoints_soft"
    ENDPOINTS_HARD = "endpoints_hard"

    @property
    def hard(self) -> bool:
        return self.value.endswith("_hard")

    @property
    def noun(self) -> str:
        """What is limited: messages or endpoints."""
        return self.value.partition("_")[0]


def limits(org_id: str, own: Own, product: QuotaTable, defaults: QuotaLimits) -> QuotaLimits:
    """The limits of an application: its own, those of the product, or the defaults.

    The organization of operational webhooks has none, since an alert must not be refused.
    """
    if org_id == OPERATIONS:
        return NO_LIMITS
    return QuotaLimits(*(_limit(name, own, product, defaults) for name in NAMES))


def _limit(name: str, own: Own, product: QuotaTable, defaults: QuotaLimits) -> int | None:
    if name in own:
        return own[name]
    written: Written | None = getattr(product, name)
    found: int | None = getattr(defaults, name) if written is None else read(written)
    return found


def read(written: Written) -> int | None:
    """A limit as people write it; None: unlimited."""
    return None if written == UNLIMITED else int(written)


def write(limit: int | None) -> Written:
    """The opposite of `read`."""
    return UNLIMITED if limit is None else limit


def reached(limits: QuotaLimits, messages: int | None, endpoints: int | None) -> list[Reached]:
    """The limits that are reached. None: it is not known how many there are."""
    used = {"messages": messages, "endpoints": endpoints}
    found = []
    for one in Reached:
        limit, now = getattr(limits, one.value), used[one.noun]
        if limit is not None and now is not None and now >= limit:
            found.append(one)
    return found


def month_of(at: datetime) -> datetime:
    """The first moment of the month of an aware UTC datetime."""
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    """The first moment of the next month."""
    year, following = divmod(month.year * 12 + month.month, 12)
    return month.replace(year=year, month=following + 1)


def previous_month(month: datetime) -> datetime:
    """The first moment of the month before."""
    year, before = divmod(month.year * 12 + month.month - 2, 12)
    return month.replace(year=year, month=before + 1)
