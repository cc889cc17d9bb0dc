"""How the outcome of a request is reported: the response to its sender, and a line in the log.

The line is written by the logger `angarium.receiver`. It is `delivery` with `key=value` pairs; a formatter
that writes JSON finds the same values in the record's attribute `delivery`. It never contains payloads,
headers or secrets, nor the id and type of a request that was not verified.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from angarium.receiver.errors import VerificationError

LOGGER: Final = logging.getLogger("angarium.receiver")


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a request."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def answer(status: int, outcome: str, detail: str | None = None, retry_after: float | None = None) -> Answer:
    """`outcome` is a word for programs; `detail` is for people who read the sender's log."""
    said = {"outcome": outcome} if detail is None else {"outcome": outcome, "detail": detail}
    headers = {"content-type": "application/json"}
    if retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(retry_after)))
    return Answer(status, headers, json.dumps(said).encode("ascii"))


def refusal(error: VerificationError) -> Answer:
    """The response to a request that was not verified. Our own mistakes are described in our log only."""
    detail = str(error) if error.status != 500 else "The receiver is misconfigured. Its log has the reason."
    return answer(error.status, error.code, detail)


WRONG_METHOD = Answer(
    405, {"allow": "POST", "content-type": "application/json"}, b'{"outcome": "wrong_method"}'
)


def record(
    outcome: str, *, level: int = logging.INFO, error: BaseException | None = None, **values: Any
) -> None:
    """Write the line. Values that are None are left out."""
    said = {"outcome": outcome, **{name: value for name, value in values.items() if value is not None}}
    pairs = " ".join(f"{name}={_printed(value)}" for name, value in said.items())
    LOGGER.log(level, "delivery %s", pairs, extra={"delivery": said}, exc_info=error)


def _printed(value: Any) -> str:
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return text if text.isascii() and text.isprintable() and not set(text) & set(' ="') else json.dumps(text)
