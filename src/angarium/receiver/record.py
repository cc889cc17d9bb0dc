"""One log line for each request, at logger `angarium.receiver`; never a payload, header or secret.

The line is `delivery` with `key=value` pairs; a formatter that writes JSON finds the same values as the
record's attribute `delivery`. What was not verified is not named.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Final

LOGGER: Final = logging.getLogger("angarium.receiver")


def record(
    outcome: str, *, level: int = logging.INFO, error: BaseException | None = None, **values: Any
) -> None:
    said = {"outcome": outcome, **{name: value for name, value in values.items() if value is not None}}
    pairs = " ".join(f"{name}={_printed(value)}" for name, value in said.items())
    LOGGER.log(level, "delivery %s", pairs, extra={"delivery": said}, exc_info=error)


def _printed(value: Any) -> str:
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return text if text.isascii() and text.isprintable() and not set(text) & set(' ="') else json.dumps(text)
