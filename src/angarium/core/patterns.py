"""Rules for event type names, uids, channels and tags, and for event type patterns.

Their syntax is defined in `angarium.message_form`, which clients share.

A pattern is an event type name, or a prefix of whole segments followed by `.*`, or `*`. A wildcard
covers any number of further segments: `transfer.*` covers `transfer.deposit.completed`, but neither
`transfer` nor `transfers.x`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from angarium.message_form import (
    MAX_CHANNEL,
    MAX_NAME,
    MAX_UID,
    is_channel,
    is_event_type,
    is_tag,
    is_uid,
)

__all__ = [
    "EVERYTHING",
    "MAX_CHANNEL",
    "MAX_NAME",
    "MAX_UID",
    "covering",
    "covers",
    "is_channel",
    "is_event_type",
    "is_tag",
    "is_uid",
    "is_wildcard",
]

EVERYTHING: Final = "*"


def is_wildcard(value: str) -> bool:
    """Whether `value` is `*` or a well-formed `prefix.*`."""
    if value == EVERYTHING:
        return True
    prefix, dot, star = value.rpartition(".")
    return bool(dot) and star == EVERYTHING and is_event_type(prefix) and "" not in prefix.split(".")


def covering(event_type: str) -> list[str]:
    """Every pattern that covers the name, the name itself first.

    >>> covering("transfer.deposit.completed")
    ['transfer.deposit.completed', 'transfer.deposit.*', 'transfer.*', '*']
    """
    patterns = [event_type]
    head = event_type
    while (cut := head.rfind(".")) > 0:
        head = head[:cut]
        patterns.append(f"{head}.*")
    patterns.append(EVERYTHING)
    return patterns


def covers(patterns: Iterable[str] | None, event_type: str) -> bool:
    """Whether an endpoint with these patterns (None: every type) wants this event type."""
    return patterns is None or not set(patterns).isdisjoint(covering(event_type))
