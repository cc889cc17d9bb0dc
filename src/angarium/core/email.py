"""Checks email addresses, and masks them."""

from __future__ import annotations

import re
from typing import Final

MAX_EMAIL: Final = 254  # RFC 5321, section 4.5.3.1.3, without the brackets
EMAIL: Final = (
    r"(?=[^@]{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])"
)
"""An address to which mail can be sent: ASCII, a domain with a dot, no quotes. JSON Schema reads it, too."""


def is_email(text: str) -> bool:
    """Whether this is an address to which mail can be sent."""
    return len(text) <= MAX_EMAIL and re.fullmatch(EMAIL, text) is not None


def masked(email: str) -> str:
    """The address for the audit log, which is kept for longer than the contact."""
    local, _, domain = email.partition("@")
    return f"{local[:1]}…@{domain}"
