"""`sign`: the headers that a sender would send."""

from __future__ import annotations

import time
from uuid import uuid4

from angarium.receiver.scheme import Scheme, find


def sign(
    body: bytes | str,
    secret: str | bytes,
    scheme: str | Scheme = "standard",
    *,
    id: str | None = None,  # noqa: A002 - what everybody calls it
    type: str = "test",  # noqa: A002
    timestamp: int | None = None,
) -> dict[str, str]:
    """The headers for this body, by any scheme that `verify` knows.

    `id` and `type` count where the scheme puts them into headers; `timestamp` is in epoch seconds and now
    unless given. Standard schemes sign with `whsec_` secrets, or with `whsk_` ones (needs cryptography).
    """
    raw = body.encode("utf-8") if isinstance(body, str) else body
    return {
        "content-type": "application/json",
        **find(scheme).sign(
            raw,
            secret,
            event_id=id or f"msg_{uuid4().hex}",
            timestamp=int(time.time()) if timestamp is None else timestamp,
            event_type=type,
        ),
    }
