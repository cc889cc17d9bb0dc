"""Event type names, uids, channels and tags: what they may look like, and which pattern covers which name.

A pattern is an event type name, or a prefix of whole segments followed by `.*`, or `*`. A wildcard
covers any number of further segments: `transfer.*` covers `transfer.deposit.completed`, but neither
`transfer` nor `transfers.x`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

MAX_NAME: Final = 256
MAX_UID: Final = 256
MAX_CHANNEL: Final = 128
EVERYTHING: Final = "*"

_NAME: Final = re.compile(r"[a-zA-Z0-9\-_.]{1,256}")
_CHANNEL: Final = re.compile(r"[a-zA-Z0-9\-_.:+]{1,128}")
_TAG: Final = re.compile(r"[a-zA-Z0-9\-_./\\#]{1,128}")


def is_event_type(value: str) -> bool:
    """Whether `value` can name an event type."""
    return _NAME.fullmatch(value) is not None


def is_uid(value: str, prefix: str) -> bool:
    """Whether `value` can be an operator's own id; it must not look like one of ours (`prefix`)."""
    return _NAME.fullmatch(value) is not None and not value.startswith(prefix)


def is_channel(value: str) -> bool:
    """Whether `value` can name a channel."""
    return _CHANNEL.fullmatch(value) is not None


def is_tag(value: str) -> bool:
    """Whether `value` can be a message tag."""
    return _TAG.fullmatch(value) is not None


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
