"""Gives the texts of mails by id, from `en.toml`.

They are plain text. Code that makes HTML of them escapes them.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

_FILE: Final = Path(__file__).with_name("en.toml")


@cache
def catalogue() -> dict[str, Any]:
    """The texts by section and name."""
    return tomllib.loads(_FILE.read_text("utf-8"))


def t(name: str, /, count: int | None = None, **values: object) -> str:
    """The text with this id. `count` chooses its form and is one of its values, with grouped digits."""
    section, _, key = name.partition(".")
    found = catalogue()[section][key]
    if count is not None:
        values["count"] = f"{count:,}"
        found = found["one" if count == 1 else "other"]
    assert isinstance(found, str), f"{name} needs a count"
    return found.format(**values)
