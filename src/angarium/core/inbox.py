"""Values of Play inboxes: temporary receivers on our own server, their URLs and responses.

The server may have a private address, or no https during development. Inboxes still receive deliveries: the
URL of an inbox, exactly as issued, is the only exception to the rules for endpoint URLs. Any other URL at our
own address is checked like every address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import Final
from uuid import UUID

from angarium.core import ids
from angarium.core.address import AddressPolicy
from angarium.core.url import check_url

PATH: Final = "/play/in/"
SVIX_PLAY: Final = "https://play.svix.com/"
LIFETIME: Final = 7 * 86400.0  # seconds after its last use
REQUEST_LIFETIME: Final = 86400.0
LONGEST_DELAY: Final = 30.0  # seconds
NO_ANSWER: Final = 0
"""Instead of a status: the request is not answered, so its sender times out."""

ANYWHERE: Final = AddressPolicy([ip_network("0.0.0.0/0"), ip_network("::/0")])
_PLAIN: Final = re.compile(r"https?://[^/?#@]+(/[^?#@]*)?")


class InboxUrls:
    """The URLs of inboxes on the server at `base`. Raises ValueError for an invalid base."""

    def __init__(self, base: str) -> None:
        if not _PLAIN.fullmatch(base):
            raise ValueError("must be like https://hooks.example.com, without login, query or fragment")
        self.base = base.rstrip("/")
        self.prefix = check_url(base.rstrip("/") + PATH, https_only=False, policy=ANYWHERE)

    def of(self, inbox_id: UUID) -> str:
        return self.prefix + ids.text(ids.INBOX, inbox_id)

    def includes(self, url: str) -> bool:
        """Whether `url` is exactly the URL of an inbox."""
        before, _, ref = url.rpartition("/")
        return f"{before}/" == self.prefix and ids.parse(ids.INBOX, ref) is not None


def oldest_kept(now: float) -> UUID:
    """Requests with a smaller id have expired."""
    return ids.lowest(now - REQUEST_LIFETIME)


@dataclass(frozen=True, slots=True)
class InboxAnswer:
    """How an inbox responds: a status (or NO_ANSWER), a delay in seconds, and how often with 500 instead."""

    status_code: int = 200
    delay: float = 0.0
    failure_percent: int = 0


@dataclass(frozen=True, slots=True)
class PlayInbox:
    """A temporary receiver of an application."""

    id: UUID
    org_id: str
    app_id: UUID
    answer: InboxAnswer
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class InboxRequest:
    """A request to an inbox. `verified` None: there was no secret to verify it with."""

    id: UUID
    method: str
    headers: Sequence[tuple[str, str]]
    body: bytes  # only the beginning if it was long
    size: int  # bytes of the whole body
    status_code: int  # of the response
    verified: bool | None
    finding: str  # the result of verifying, as a message
