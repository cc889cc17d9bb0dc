"""Signs bodies as senders do, and reads vectors: requests with known signatures.

The vectors are in `vectors.json` beside this module, for tests of receivers and senders in any language. Each
has the scheme, the secret, the headers, the body, the time to verify at, and the code of the error if it must
be refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
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


@dataclass(frozen=True, slots=True)
class Vector:
    name: str
    origin: str  # who published it
    scheme: str
    secret: str
    headers: Mapping[str, str]
    body: str
    now: int  # epoch seconds
    error: str | None = None  # `code` of the VerificationError, if it must be refused
    id: str | None = None  # of the event
    type: str | None = None
    signing_secret: str | None = None  # if it differs from the one to verify with


@cache
def vectors() -> tuple[Vector, ...]:
    text = (files("angarium.testing") / "vectors.json").read_text("utf-8")
    return tuple(Vector(**one) for one in json.loads(text)["vectors"])
