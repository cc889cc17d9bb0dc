"""Reads headers: mappings or pairs, text or bytes, in upper or lower case, repeated or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from angarium.receiver.errors import BadFormat, MissingHeader

Given = Mapping[Any, Any] | Iterable[tuple[Any, Any]]


class Headers:
    """Case-insensitive headers. Nothing is assumed about the given object."""

    __slots__ = ("_values",)

    def __init__(self, given: object) -> None:
        self._values: dict[str, list[object]] = {}
        try:
            self._read(given)
        except Exception as error:  # the given object may raise any exception
            raise BadFormat("the headers are neither a mapping nor pairs") from error

    def _read(self, given: Any) -> None:
        pairs = given.items() if hasattr(given, "items") else given
        for name, value in pairs:
            if isinstance(name, str | bytes):
                values = value if isinstance(value, list | tuple) else [value]
                self._values.setdefault(_lower(name), []).extend(values)

    def every(self, name: str) -> list[str]:
        """All values that are not empty."""
        texts = [_text(name, value) for value in self._values.get(name.lower(), ())]
        return [text for text in texts if text]

    def one(self, name: str) -> str | None:
        """The value. Different values are refused: sender and receiver might use different ones."""
        values = set(self.every(name))
        if len(values) > 1:
            raise BadFormat(f"the header {name} is repeated with different values")
        return values.pop() if values else None

    def need(self, name: str) -> str:
        value = self.one(name)
        if value is None:
            raise MissingHeader(f"the header {name} is missing")
        return value

    def need_any(self, name: str) -> list[str]:
        """All values, at least one."""
        values = self.every(name)
        if not values:
            raise MissingHeader(f"the header {name} is missing")
        return values


def _lower(name: str | bytes) -> str:
    return (name.decode("latin-1") if isinstance(name, bytes) else name).lower()


def _text(name: str, value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1").strip()
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**15:
        return str(value)
    raise BadFormat(f"the header {name} is not text")
