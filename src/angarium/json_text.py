"""Formats JSON text, and extracts members from it, without changing its values.

Parsing JSON and writing it again changes it: 1.00 becomes 1.0, 1E400 becomes Infinity, and one of two members
with the same name is lost. A payload must be shown as it was sent. This module imports the standard library
only. The portal uses msgspec's formatter, which returns the same text.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final, NoReturn

_STRING: Final = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_TOKEN: Final = re.compile(rf'{_STRING}|[{{}}\[\],:]|[^\s{{}}\[\],:"]+', re.DOTALL)
_CLOSES: Final = {"{": "}", "[": "]"}


class Number(str):
    """A number of a JSON text, with the digits as written."""

    __slots__ = ()


def read(text: str) -> Any:
    """Parse JSON text, with numbers as Number. Raises ValueError."""
    try:
        return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def integer(text: str) -> int | Decimal:
    """An integer of JSON, for `parse_int` of `json.loads`. Python refuses an int of thousands of digits."""
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def compact(text: str) -> str:
    """The same JSON on one line. Raises ValueError if the text is not JSON."""
    read(text)
    return "".join(_TOKEN.findall(text))


def indented(text: str) -> str:
    """The same JSON, indented over several lines. Raises ValueError if the text is not JSON."""
    read(text)
    written: list[str] = []
    depth = 0
    parts = _TOKEN.findall(text)
    for place, part in enumerate(parts):
        if part in _CLOSES:
            written.append(part)
            if parts[place + 1] != _CLOSES[part]:
                depth += 1
                written.append("\n" + "  " * depth)
        elif part in "}]":
            if parts[place - 1] not in _CLOSES:
                depth -= 1
                written.append("\n" + "  " * depth)
            written.append(part)
        elif part == ",":
            written.append(",\n" + "  " * depth)
        else:
            written.append(": " if part == ":" else part)
    return "".join(written)


def member(text: str, name: str) -> str | None:
    """The text of an object's member; of several with the same name, the last. None if there is none.

    Raises ValueError if the text is not JSON.
    """
    if not isinstance(read(text), dict):
        return None
    found, depth, begin = None, 0, -1
    parts = list(_TOKEN.finditer(text))
    for place, part in enumerate(parts):
        if depth == 1 and part[0] in (",", "}") and begin >= 0:
            found, begin = text[begin : parts[place - 1].end()], -1
        if part[0] in _CLOSES:
            depth += 1
        elif part[0] in ("}", "]"):
            depth -= 1
        elif depth == 1 and part[0] == ":" and json.loads(parts[place - 1][0]) == name:
            begin = parts[place + 1].start()
    return found


def write(
    value: Any,
    *,
    separators: tuple[str, str] = (",", ":"),
    indent: int | None = None,
    ascii_only: bool = False,
    sort_keys: bool = False,
) -> str:
    """The same text as `json.dumps`, but with the digits of each Number as they were written."""

    def text(value: Any, line: str) -> str:
        if isinstance(value, Number):
            return str(value)
        if not isinstance(value, dict | list) or not value:
            return json.dumps(value, ensure_ascii=ascii_only)
        inner = "" if indent is None else line + " " * indent
        if isinstance(value, dict):
            members = sorted(value.items()) if sort_keys else value.items()
            items = [text(name, "") + separators[1] + text(one, inner) for name, one in members]
        else:
            items = [text(one, inner) for one in value]
        begin, end = "{}" if isinstance(value, dict) else "[]"
        return begin + inner + (separators[0] + inner).join(items) + ("" if indent is None else line) + end

    return text(value, "\n")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
