"""Reads the vectors: requests with known signatures, for tests of receivers and senders in any language.

They are in `vectors.json` beside this module. Each has the scheme, the secret, the headers, the body, the
time to verify at, and the code of the error if it must be refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


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
