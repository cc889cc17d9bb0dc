"""Signs bodies as senders do."""

from __future__ import annotations

import time
from uuid import uuid4

from angarium.receiver.scheme import Scheme, find


def sign(
    body: bytes | str,
    secret: str | bytes,
    scheme: str | Scheme = "standard",
    *,
    id: str | None = None,  # noqa: A002 - the usual name
    type: str = "test",  # noqa: A002
    timestamp: int | None = None,
) -> dict[str, str]:
    """The headers that the sender would send with this body, by any scheme of `verify`.

    `id` and `type` are used by schemes that have headers for them. `timestamp` is in epoch seconds; default:
    now. Standard Webhooks schemes sign with `whsec_` and `whsk_` secrets; the latter need cryptography.
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
