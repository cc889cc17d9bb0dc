"""Makes and reads the tokens of links in mails: to confirm an address, and to unsubscribe.

A token is sealed with a key of `ANGARIUM_SECRET_KEY`, so only this service can make one, and its content is
hidden. A confirmation expires, and its nonce makes it valid once. A link to unsubscribe does not expire.
"""

from __future__ import annotations

import base64
from enum import Enum
from typing import Final, NamedTuple
from uuid import UUID

from angarium.core import canonical
from angarium.core.errors import NotFound
from angarium.core.keyring import Keyring, SealError

_CONTEXT: Final = b"alert-link"
_NEVER: Final = 0


class Purpose(Enum):
    """What a link does."""

    CONFIRM = 1
    UNSUBSCRIBE = 2


class AlertLink(NamedTuple):
    """What a token says. `nonce` is zero if the link does not need one; `expires_at` zero: never."""

    purpose: Purpose
    app_id: UUID
    contact_id: UUID
    nonce: UUID = UUID(int=0)
    expires_at: int = _NEVER


def token(link: AlertLink, keyring: Keyring, entropy: bytes) -> str:
    """The token of a link. `entropy`: 12 random bytes."""
    plain = b"".join(
        (
            bytes((link.purpose.value,)),
            link.app_id.bytes,
            link.contact_id.bytes,
            link.nonce.bytes,
            link.expires_at.to_bytes(8, "big"),
        )
    )
    return base64.urlsafe_b64encode(keyring.seal(plain, entropy, _CONTEXT)).decode().rstrip("=")


def read(text: str, purpose: Purpose, keyring: Keyring, now: float) -> AlertLink:
    """The link of a token. Raises NotFound if it was made by others, for another purpose, or has expired."""
    try:
        plain = keyring.open(canonical.url_safe(text), _CONTEXT)
    except (ValueError, SealError):
        raise NotFound() from None
    link = AlertLink(
        Purpose(plain[0]),
        UUID(bytes=plain[1:17]),
        UUID(bytes=plain[17:33]),
        UUID(bytes=plain[33:49]),
        int.from_bytes(plain[49:57], "big"),
    )
    if link.purpose is not purpose or (link.expires_at != _NEVER and link.expires_at <= now):
        raise NotFound()
    return link
