"""Evaluates scenarios: what a sandbox route returns and sends for the values of one call.

Texts of a profile contain `{names}` of values, with dots for nested values (`{context.prompt}`). A text that
consists of one name becomes the value itself. If the value does not exist, its key is left out.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

_NAME: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_RANDOM: Final = re.compile(r"random([1-9][0-9]?)")
_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_MISSING: Final = object()

COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "below": operator.lt,
    "above": operator.gt,
    "least": operator.ge,
    "most": operator.le,
    "not": lambda value, wanted: not _equals(value, wanted),
}
_WORDS: Final = {
    "below": "is below",
    "above": "is above",
    "least": "is at least",
    "most": "is at most",
    "not": "is not",
}


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with its names replaced."""
    filled = _fill(template, values)
    return None if filled is _MISSING else filled


def make(expression: str, values: Mapping[str, Any], *, now: str, entropy: Callable[[int], bytes]) -> str:
    """A new text from `{random16}`, `{uuid}`, `{now}` or other values."""

    def part(match: re.Match[str]) -> str:
        name = match[1]
        if (random := _RANDOM.fullmatch(name)) is not None:
            return "".join(_LETTERS[byte % len(_LETTERS)] for byte in entropy(int(random[1])))
        if name == "uuid":
            return str(UUID(bytes=entropy(16), version=4))
        if name == "now":
            return now
        return _text(_find(name, values))

    return _NAME.sub(part, expression)


def holds(when: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether all conditions hold. A comparison with a missing or incomparable value is false."""
    return all(_holds(wanted, _find(name, values)) for name, wanted in when.items())


def unknown_comparison(when: Mapping[str, Any]) -> str | None:
    """What is wrong with the conditions, as a message, or None."""
    for name, wanted in when.items():
        if isinstance(wanted, dict):
            for word in wanted:
                if word not in COMPARISONS:
                    return f"{name}: {word!r} is not a comparison; use one of {', '.join(COMPARISONS)}"
    return None


def words(when: Mapping[str, Any]) -> str:
    """The conditions in words, for a page about the product."""
    return " and ".join(
        part
        for name, wanted in when.items()
        for part in (
            [f"`{name}` {_WORDS[word]} {_named(limit)}" for word, limit in wanted.items()]
            if isinstance(wanted, dict)
            else [f"`{name}` is {_named(wanted)}"]
        )
    )


def _named(value: Any) -> str:
    return " or ".join(f"`{one}`" for one in value) if isinstance(value, list | tuple) else f"`{value}`"


def _holds(wanted: Any, value: Any) -> bool:
    if not isinstance(wanted, dict):
        return _equals(value, wanted)
    try:
        return all(COMPARISONS[word](value, limit) for word, limit in wanted.items())
    except TypeError:
        return False


def _equals(value: Any, wanted: Any) -> bool:
    return value in wanted if isinstance(wanted, list | tuple) else bool(value == wanted)


def _find(name: str, values: Mapping[str, Any]) -> Any:
    found: Any = values
    for step in name.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return _MISSING
        found = found[step]
    return found


def _text(value: Any) -> str:
    if value is _MISSING or value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _fill(template: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        if (whole := _NAME.fullmatch(template)) is not None:
            return _find(whole[1], values)
        return _NAME.sub(lambda match: _text(_find(match[1], values)), template)
    if isinstance(template, Mapping):
        filled = {key: _fill(inner, values) for key, inner in template.items()}
        return {key: inner for key, inner in filled.items() if inner is not _MISSING}
    if isinstance(template, list | tuple):
        return [inner for one in template if (inner := _fill(one, values)) is not _MISSING]
    return template
