"""Values of contacts: the people who get alerts about the endpoints of an application.

A contact gets nothing but a confirmation until it has confirmed its address.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from angarium.core.alert import AlertKind

MAX_CONTACTS: Final = 10
DAY: Final = 86400.0
LINK_LIFETIME: Final = 3 * DAY  # of a confirmation
CONFIRMATIONS_OF_ADDRESS: Final = 3  # mails a day, over all applications
CONFIRMATIONS_OF_APPLICATION: Final = 20


class ContactStatus(StrEnum):
    """Whether a contact gets mail."""

    PENDING = "pending"  # asked to confirm
    ACTIVE = "active"
    UNSUBSCRIBED = "unsubscribed"
    BOUNCING = "bouncing"  # its mail server refused a mail


@dataclass(frozen=True, slots=True)
class Contact:
    """An address to which alerts of an application are mailed."""

    id: UUID
    app_id: UUID
    org_id: str
    email: str
    kinds: tuple[AlertKind, ...]
    status: ContactStatus
    created_at: datetime
    updated_at: datetime
    nonce: UUID | None = None  # of the confirmation link that is valid
    bounce: str | None = None  # what the mail server said


@dataclass(frozen=True, slots=True)
class ContactDraft:
    """What a customer sets."""

    email: str
    kinds: tuple[AlertKind, ...]


def one_line(text: str, most: int = 100) -> str:
    """A name as part of one line: no line breaks, control or formatting characters, not too long."""
    plain = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    line = " ".join(plain.split())
    return line if len(line) <= most else line[: most - 1] + "…"
