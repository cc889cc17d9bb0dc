"""Decodes canonical base64 and refuses any other spelling.

Decoders usually accept several texts for the same bytes: the last character has unused bits, padding may be
missing, and characters outside the alphabet are skipped. A credential with two spellings could be revoked in
one and used in the other. So credentials are decoded here, and only the canonical form of RFC 4648 is
accepted.
"""

from __future__ import annotations

import base64


def standard(text: str) -> bytes:
    """The bytes of base64 in the standard alphabet, with padding. Raises ValueError for any other text."""
    decoded = base64.b64decode(text, validate=True)
    if base64.b64encode(decoded) != text.encode("ascii"):
        raise ValueError("the base64 is not canonical")
    return decoded


def url_safe(text: str) -> bytes:
    """The bytes of base64 in the URL-safe alphabet, without padding. Raises ValueError for any other text."""
    decoded = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if url_safe_text(decoded) != text:
        raise ValueError("the base64 is not canonical")
    return decoded


def url_safe_text(data: bytes) -> str:
    """The canonical text that `url_safe` reads."""
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
