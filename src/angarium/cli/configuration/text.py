"""Reads the text of a configuration file, YAML or JSON, with the line of each value; writes YAML.

YAML is read as JSON's data in YAML 1.2: plain scalars are null, true, false, numbers or text, so `no` and
`2026-11-29` are text. Anchors, aliases, tags and merge keys are refused, and so are duplicate keys and text
beyond the limits. A short text can therefore not become a large value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

import yaml

from angarium.cli.configuration.fault import ConfigurationError, Fault, Path, SourceLocation, said

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_DEPTH: Final = 100
MAX_VALUES: Final = 100_000
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: Final = {"": None, "~": None, "null": None, "true": True, "false": False}
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_MOST_DIGITS: Final = 1000


@dataclass(slots=True)
class ParsedFile:
    """What a file contains: its value, and where each path of it is."""

    value: Any
    places: dict[Path, SourceLocation] = field(default_factory=dict)


def read(data: bytes, file: str) -> ParsedFile:
    """The content of a file. `file` is its name in errors. Raises ConfigurationError."""
    if len(data) > MAX_BYTES:
        _refuse(file, 1, f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are accepted")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _refuse(file, data[: error.start].count(b"\n") + 1, "the file is not UTF-8")
    reader = _Json if text.lstrip()[:1] in ("{", "[") and _is_json(text) else _Yaml
    return reader(text, file).read()


def plain(text: str) -> Any:
    """The value of a plain scalar of YAML. Raises ValueError for a number that cannot be kept exactly."""
    if text in _WORDS:
        return _WORDS[text]
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text
    if len(text) > _MOST_DIGITS:
        raise ValueError("the number has too many digits")
    if found[1] is None and found[2] is None:
        return int(text)
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("the number is too large")
    return number


def _is_json(text: str) -> bool:
    """Whether it is JSON. YAML in flow style begins the same way, and YAML has the better errors."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(file: str, line: int, words: str, path: Path = ()) -> NoReturn:
    raise ConfigurationError([Fault(path, words, SourceLocation(file, line))])


class _Builder:
    """Builds values from a stream of parts, and keeps the bounds."""

    def __init__(self, text: str, file: str) -> None:
        self._source, self._file = text, file
        self._places: dict[Path, SourceLocation] = {}
        self._count = 0

    def _note(self, path: Path, line: int) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            _refuse(self._file, line, f"the file has more than {MAX_VALUES:,} values")
        if len(path) > MAX_DEPTH:
            _refuse(self._file, line, f"the file is nested more than {MAX_DEPTH} levels deep")
        self._places[path] = SourceLocation(self._file, line)

    def _add(self, found: dict[str, Any], key: Any, path: Path, line: int) -> None:
        """Checks a key of a mapping."""
        if not isinstance(key, str):
            _refuse(self._file, line, f"the key {json.dumps(key)} must be text; write it in quotes", path)
        if key in found:
            first = self._places[(*path, key)]
            words = f"{said((*path, key))} is there twice; the first one is in line {first.line}"
            _refuse(self._file, line, words)
        if not _is_text(key):
            _refuse(self._file, line, "a key has a NUL or half of a surrogate pair", path)


class _Yaml(_Builder):
    def read(self) -> ParsedFile:
        try:
            self._events: Iterator[Any] = yaml.parse(self._source, Loader=_LOADER)
            self._next(yaml.StreamStartEvent)
            event = next(self._events)
            if isinstance(event, yaml.StreamEndEvent):
                _refuse(self._file, 1, "the file is empty")
            value = self._value(next(self._events), ())
            self._next(yaml.DocumentEndEvent)
            end = next(self._events)
            if not isinstance(end, yaml.StreamEndEvent):
                _refuse(self._file, _line(end), "the file has a second document (`---`); use two files")
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            words = getattr(error, "problem", None) or getattr(error, "reason", None) or "invalid text"
            _refuse(self._file, mark.line + 1 if mark else 1, f"not YAML: {words}")
        return ParsedFile(value, self._places)

    def _next(self, kind: type) -> None:
        event = next(self._events)
        if not isinstance(event, kind):
            _refuse(self._file, _line(event), "not YAML")

    def _value(self, event: Any, path: Path) -> Any:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            _refuse(self._file, line, f"the alias *{event.anchor} is not accepted; write the value", path)
        if event.anchor is not None:
            _refuse(self._file, line, f"the anchor &{event.anchor} is not accepted; write the value", path)
        if event.tag is not None and event.tag != "!":
            _refuse(self._file, line, f"the tag {event.tag} is not accepted; leave it out", path)
        self._note(path, line)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                items.append(self._value(event, (*path, len(items))))
            return items
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                _refuse(self._file, _line(event), "a key must be text", path)
            key = self._scalar(event, path)
            if key == "<<" and not event.style:
                _refuse(self._file, _line(event), "the merge key << is not accepted; write the values", path)
            self._add(found, key, path, _line(event))
            found[key] = self._value(next(self._events), (*path, key))
            self._places[(*path, key)] = SourceLocation(self._file, _line(event))
        return found

    def _scalar(self, event: Any, path: Path) -> Any:
        if event.style:  # of a plain scalar it is None, or empty in libyaml
            value: Any = event.value
        else:
            try:
                value = plain(event.value)
            except ValueError as error:
                _refuse(self._file, _line(event), str(error), path)
        if isinstance(value, str) and not _is_text(value):
            _refuse(self._file, _line(event), "text has a NUL or half of a surrogate pair", path)
        return value


class _Json(_Builder):
    """JSON that is known to be valid: only its parts are needed, with their lines."""

    def read(self) -> ParsedFile:
        self._tokens = self._parts()
        return ParsedFile(self._value(*next(self._tokens), ()), self._places)

    def _parts(self) -> Iterator[tuple[str, int]]:
        line, at = 1, 0
        for found in _TOKEN.finditer(self._source):
            line += self._source.count("\n", at, found.start())
            at = found.start()
            yield found[0], line

    def _value(self, part: str, line: int, path: Path) -> Any:
        self._note(path, line)
        if part == "[":
            items: list[Any] = []
            while (inner := next(self._tokens))[0] != "]":
                if inner[0] != ",":
                    items.append(self._value(*inner, (*path, len(items))))
            return items
        if part == "{":
            found: dict[str, Any] = {}
            while (inner := next(self._tokens))[0] != "}":
                if inner[0] == ",":
                    continue
                key = json.loads(inner[0])
                self._add(found, key, path, inner[1])
                next(self._tokens)  # the colon
                found[key] = self._value(*next(self._tokens), (*path, key))
                self._places[(*path, key)] = SourceLocation(self._file, inner[1])
            return found
        try:
            value = json.loads(part) if part[0] == '"' else plain(part)
        except ValueError as error:
            _refuse(self._file, line, str(error), path)
        if isinstance(value, str) and part[0] != '"':
            _refuse(self._file, line, f"{part} is not JSON", path)
        if isinstance(value, str) and not _is_text(value):
            _refuse(self._file, line, "text has a NUL or half of a surrogate pair", path)
        return value


def _is_text(value: str) -> bool:
    """Whether a server can store it."""
    return "\x00" not in value and not any("\ud800" <= c <= "\udfff" for c in value)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Quotes text that `plain` would not read as text, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _text(dumper: Any, value: str) -> Any:
    try:
        quoted = not isinstance(plain(value), str) or not value.replace("\n", "").isprintable()
    except ValueError:
        quoted = True
    style = '"' if quoted else "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _number(dumper: Any, value: float) -> Any:
    text = repr(value)
    if "." not in text:
        text = text.replace("e", ".0e", 1)  # without a point it would not be a number in YAML 1.1
    return dumper.represent_scalar("tag:yaml.org,2002:float", text)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _number)


def written(value: Any) -> str:
    """The YAML of a value of JSON."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text
