"""What a request is answered with, in the same words everywhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from angarium.receiver.errors import VerificationError


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def answer(status: int, outcome: str, detail: str | None = None, retry_after: float | None = None) -> Answer:
    """`outcome` is one word for programs; `detail` is for the people who read the sender's log."""
    said = {"outcome": outcome} if detail is None else {"outcome": outcome, "detail": detail}
    headers = {"content-type": "application/json"}
    if retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(retry_after)))
    return Answer(status, headers, json.dumps(said).encode("ascii"))


def refusal(error: VerificationError) -> Answer:
    """What is wrong on our side is for our log, not for the sender."""
    detail = str(error) if error.status != 500 else "the receiver is not set up rightly; its log says more"
    return answer(error.status, error.code, detail)


WRONG_METHOD = Answer(
    405, {"allow": "POST", "content-type": "application/json"}, b'{"outcome": "wrong_method"}'
)
