"""Writes a profile as TOML, with every value including defaults. Reading it back gives the same profile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from angarium.core.profile import Profile


def written(profile: Profile) -> str:
    """The text of a profile file."""
    return "\n".join(_table((), msgspec.to_builtins(profile))).lstrip("\n") + "\n"


def _table(path: tuple[str, ...], table: dict[str, Any]) -> Iterator[str]:
    plain = {key: value for key, value in table.items() if value is not None and not _is_nested(path, value)}
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if value is None or key in plain:
            continue
        inner = (*path, key)
        header = ".".join(map(_key, inner))
        if isinstance(value, dict):
            yield from ("", f"[{header}]", *_table(inner, value))
        else:
            for item in value:
                yield from ("", f"[[{header}]]", *_table(inner, item))


def _is_nested(path: tuple[str, ...], value: Any) -> bool:
    """Whether the value gets its own table: only near the top, so that examples stay in one place."""
    if isinstance(value, dict):
        return bool(value) and not path
    return isinstance(value, list | tuple) and bool(value) and len(path) < 2 and isinstance(value[0], dict)


def _key(key: str) -> str:
    return key if key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)
