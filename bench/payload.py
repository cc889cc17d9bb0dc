"""Creates payloads: JSON like that of an order, of any size, with values that hardly compress."""

from __future__ import annotations

import json
import random
from typing import Final

_HEAD: Final = len('{"n":123456789,"lines":[]}')


def lines(size: int, seed: int = 6) -> str:
    """The inside of the array `lines` of a payload of about `size` bytes."""
    draw = random.Random(seed)
    made: list[str] = []
    length = 0
    while length < size - _HEAD:
        line = json.dumps(
            {
                "sku": f"{draw.getrandbits(48):012x}",
                "quantity": draw.randint(1, 99),
                "price": f"{draw.randint(1, 99999) / 100:.2f}",
            },
            separators=(",", ":"),
        )
        made.append(line)
        length += len(line) + 1
    text = ",".join(made)
    # the last line is cut to size; what is left of it stays JSON
    room = max(2, size - _HEAD)
    if len(text) > room:
        whole = text[: room - 2].rpartition("},")[0]
        rest = room - len(whole) - 4
        text = f'{whole}}},"{"x" * max(0, rest)}"' if whole else f'"{"x" * (room - 2)}"'
    return text
