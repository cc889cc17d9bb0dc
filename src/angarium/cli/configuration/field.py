"""Defines the fields of configuration files: which values they accept, and how JSON Schema says so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from angarium.cli.configuration.fault import Faults, Path
from angarium.cli.configuration.text import MAX_DEPTH

INVALID: Final = object()
"""In place of a value that is not accepted; a fault was added."""


class ValueType(Protocol):
    """A kind of value."""

    def read(self, value: Any, path: Path, faults: Faults) -> Any:
        """The value in its normal form, or INVALID."""

    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema."""


@dataclass(frozen=True, slots=True)
class ConfigField:
    """A field of an object.

    `name` is the API's. A missing field means `default`; if `kept` it means no change. `example` is one value
    for documentation.
    """

    name: str
    kind: ValueType
    words: str
    example: Any
    default: Any = None
    required: bool = False
    kept: bool = False
    fixed: bool = False  # it cannot be changed

    def schema(self) -> dict[str, Any]:
        found = {"description": self.words, "examples": [self.example], **self.kind.schema()}
        if self.required:
            return found
        if not self.kept:
            found["default"] = self.default
            if "type" in found and self.default is None:
                found["type"] = [found["type"], "null"]
        return found


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A secret, which is not in the file: the name of an environment variable, or the path of a file."""

    kind: str  # env, file or keep
    name: str

    def __str__(self) -> str:
        return f"{{{self.kind}: {self.name}}}"


KEEP: Final = "keep"
_SHAPES: Final = (("env", "NAME"), ("file", "PATH"))
_VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True, slots=True)
class Text:
    """Text. `pattern` is a regular expression that fits all of it, and `accepted` says the same in words."""

    pattern: str = ""
    accepted: str = "text"
    most: int | None = None
    least: int = 0

    def read(self, value: Any, path: Path, faults: Faults) -> Any:
        if not isinstance(value, str) or not self._fits(value):
            faults.wrong(path, value, f"{self.accepted}{_quote(value)}")
            return INVALID
        return value

    def _fits(self, value: str) -> bool:
        if self.pattern and re.fullmatch(self.pattern, value) is None:
            return False
        return self.least <= len(value) and (self.most is None or len(value) <= self.most)

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "string"}
        if self.pattern:
            found["pattern"] = f"^(?:{self.pattern})$"
        if self.least:
            found["minLength"] = self.least
        if self.most is not None:
            found["maxLength"] = self.most
        return found


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    def read(self, value: Any, path: Path, faults: Faults) -> Any:
        if not isinstance(value, bool):
            faults.wrong(path, value, "true or false")
            return INVALID
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds."""

    low: int
    high: int

    def read(self, value: Any, path: Path, faults: Faults) -> Any:
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            faults.wrong(path, value, f"a whole number from {self.low:,} to {self.high:,}")
            return INVALID
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list without order: sorted, each item once."""

    item: ValueType
    most: int
    least: int = 0

    def read(self, value: Any, path: Path, faults: Faults) -> Any:
        if not isinstance(value, list) or not self.least <= len(value) <= self.most:
            faults.wrong(path, value, f"a list of {self.least} to {self.most:,}")
            return INVALID
        items = [self.item.read(one, (*path, place), faults) for place, one in enumerate(value)]
        return INVALID if INVALID in items else sorted(set(items))

    def schema(self) -> dict[str, Any]:
        return {
            "type": "array", "items": self.item.schema(), "minItems": self.least, "maxItems": self.most
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class MapOf:
    """Names with values. `bytes_most` bounds it as JSON."""

    value: ValueType
    most: int
    bytes_most: int | None = None

    def read(self, value: Any, path: Path, faults: Faults) -> Any:
        if not isinstance(value, dict) or len(value) > self.most:
            faults.wrong(path, value, f"a mapping of at most {self.most:,} names")
            return INVALID
        found = {name: self.value.read(one, (*path, name), faults) for name, one in value.items()}
        if INVALID in found.values():
            return INVALID
        if self.bytes_most is not None and len(_json(found).encode()) > self.bytes_most:
            faults.add(path, f"it has more than {self.bytes_most:,} bytes as JSON")
            return INVALID
        return found

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.value.schema(), "maxProperties": self.most}


@dataclass(frozen=True, slots=True)
class Json:
    """An object of any JSON, such as a JSON Schema. The server checks what is in it."""

    def read(self, value: Any, path: Path, faults: Faults) -> Any:
        if not isinstance(value, dict):
            faults.wrong(path, value, "a mapping")
            return INVALID
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}


@dataclass(frozen=True, slots=True)
class Secret:
    """A reference to a secret. `plain`: what may be written in the file instead, if anything.

    `keep`: whether `{keep: true}` is accepted, which means that the server's value stays.
    """

    plain: ValueType | None = None
    keep: bool = False

    def read(self, value: Any, path: Path, faults: Faults) -> Any:
        if isinstance(value, dict):
            return self._reference(value, path, faults)
        if self.plain is not None:
            return self.plain.read(value, path, faults)
        faults.add(path, f"a secret is not written in the file; it must be {self._accepted}")
        return INVALID

    def _reference(self, value: dict[str, Any], path: Path, faults: Faults) -> Any:
        if self.keep and list(value) == [KEEP] and value[KEEP] is True:
            return SecretReference(KEEP, "true")
        if len(value) == 1:
            ((kind, name),) = value.items()
            if kind == "env" and isinstance(name, str) and re.fullmatch(_VARIABLE, name):
                return SecretReference(kind, name)
            if kind == "file" and isinstance(name, str) and name:
                return SecretReference(kind, name)
        faults.add(path, f"it must be {self._accepted}")
        return INVALID

    @property
    def _accepted(self) -> str:
        known = [f"{{{kind}: {name}}}" for kind, name in _SHAPES]
        return " or ".join([*known, "{keep: true}"] if self.keep else known)

    def schema(self) -> dict[str, Any]:
        one_of: list[dict[str, Any]] = [] if self.plain is None else [self.plain.schema()]
        one_of.append(
            _only("env", {"type": "string", "pattern": f"^{_VARIABLE}$"}, "Name of an environment variable.")
        )
        one_of.append(
            _only(
                "file",
                {"type": "string", "minLength": 1},
                "Path of a file, relative to this file. A line break at its end is left out.",
            )
        )
        if self.keep:
            one_of.append(_only(KEEP, {"const": True}, "Do not change the value on the server."))
        return {"oneOf": one_of}


def _only(name: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    example = {"env": "ACME_SECRET", "file": "secrets/acme", KEEP: True}[name]
    return {
        "type": "object",
        "required": [name],
        "properties": {name: {"description": words, "examples": [example], **schema}},
        "additionalProperties": False,
    }


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON. Unlike `==`, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def too_deep(value: Any, most: int = MAX_DEPTH) -> bool:
    """Whether a value is nested too deeply for a file."""
    level = [value]
    for _ in range(most):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def _quote(value: Any) -> str:
    plain = isinstance(value, bool | int | float) or value is None
    return "; write it in quotes" if plain and value is not None else ""


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Noun:
    """A kind of object: `plural` is its section in a file, and `key` what its keys are.

    `children` are the nouns of sections within it, `most` is how many there can be.
    """

    name: str
    plural: str
    words: str
    key: Text
    key_words: str
    sample: str
    fields: tuple[ConfigField, ...]
    children: tuple[Noun, ...] = field(default=())
    any_case: bool = False  # keys that differ only in capital letters are the same
    most: int | None = None

    @property
    def names(self) -> list[str]:
        """What an object can have: fields and sections."""
        return [*(one.name for one in self.fields), *(one.plural for one in self.children)]

    def field(self, name: str) -> ConfigField:
        return next(one for one in self.fields if one.name == name)

    def normal(self, key: str) -> str:
        """The form of a key by which objects are compared."""
        return key.lower() if self.any_case else key
