"""Play inboxes: throw-away receivers inside our own server, where they are, and how one answers.

The server may be at a private address, or without https while developing. An inbox can be delivered to all
the same: its URL, exactly as it was handed out, is the one exception from the rules for endpoints' URLs.
Anything else at our own address is judged like any other address.
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
"""In place of a status: the request is left waiting until its sender gives up."""

ANYWHERE: Final = AddressPolicy([ip_network("0.0.0.0/0"), ip_network("::/0")])
_PLAIN: Final = re.compile(r"https?://[^/?#@]+(/[^?#@]*)?")


class InboxUrls:
    """The URLs of inboxes at the server that is reached at `base`. Raises ValueError for an unusable base."""

    def __init__(self, base: str) -> None:
        if not _PLAIN.fullmatch(base):
            raise ValueError("write https://hooks.example.com, without a login, a query or a fragment")
        self.prefix = check_url(base.rstrip("/") + PATH, https_only=False, policy=ANYWHERE)

    def of(self, inbox_id: UUID) -> str:
        return self.prefix + ids.text(ids.INBOX, inbox_id)

    def includes(self, url: str) -> bool:
        """Whether it is the URL of an inbox, to the letter."""
        before, _, ref = url.rpartition("/")
        return f"{before}/" == self.prefix and ids.parse(ids.INBOX, ref) is not None


def oldest_kept(now: float) -> UUID:
    """Requests with a smaller id have had their time."""
    return ids.lowest(now - REQUEST_LIFETIME)


@dataclass(frozen=True, slots=True)
class InboxAnswer:
    """How an inbox answers: a status (or NO_ANSWER), after how many seconds, and how often 500 instead."""

    status_code: int = 200
    delay: float = 0.0
    failure_percent: int = 0


@dataclass(frozen=True, slots=True)
class PlayInbox:
    """A throw-away receiver of an application."""

    id: UUID
    org_id: str
    app_id: UUID
    answer: InboxAnswer
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class InboxRequest:
    """A request that came to an inbox. `verified` None: there was no secret to verify it with."""

    id: UUID
    method: str
    headers: Sequence[tuple[str, str]]
    body: bytes  # its beginning, if it was long
    size: int  # bytes of the whole body
    status_code: int  # what it was answered with
    verified: bool | None
    finding: str  # what came of verifying, in words
