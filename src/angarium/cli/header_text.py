"""Reads headers as copied from curl, browsers, proxies, logs, the portal and programs.

Supported forms:

- lines `Name: value`, with the prefixes of `curl -v`, a request line, pseudo headers, folded values, or a
  table with tabs, as copied from the portal;
- a `curl` command with `-H`;
- JSON: an object with texts or lists, pairs, `{"name": …, "value": …}`, a flat list, or an
  object with one of these under `headers`;
- the same as Python prints it, and the `HTTP_…` names of CGI and WSGI;
- in UTF-8 or UTF-16, as PowerShell writes files.
"""

from __future__ import annotations

import ast
import codecs
import json
import re
import shlex
from collections.abc import Iterator
from textwrap import dedent
from typing import Any, Final

Pairs = list[tuple[str, str]]
EXAMPLE: Final = 'lines such as `webhook-id: msg_1`, or JSON such as {"webhook-id": "msg_1"}'

_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_LINE: Final = re.compile(rf"({_NAME})[ ]*(?::|\t)(.*)")
_REQUEST: Final = re.compile(r"[A-Z]+ \S+ HTTP/\d(\.\d)?")
_INNER: Final = ("headers", "multiValueHeaders", "request", "rawHeaders")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_headers(raw: bytes) -> Pairs:
    """The headers, in order. Raises ValueError if there are none."""
    text = dedent(_decoded(raw)).strip("\r\n\t \0")
    found = _from_value(_parsed(text)) if text[:1] in "[{(" else _from_text(text)
    if not found:
        raise ValueError(f"no headers found; write {EXAMPLE}")
    return found


def _decoded(raw: bytes) -> str:
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return raw.decode(encoding, "replace")
    if raw[1:2] == b"\0":
        return raw.decode("utf-16-le", "replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


# values


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)  # as Python prints a dict or a list
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"not valid JSON; write {EXAMPLE}") from error


def _from_value(value: Any) -> Pairs:
    if isinstance(value, dict):
        for name in _INNER:
            inner = value.get(name)
            if isinstance(inner, dict | list) and (found := _from_value(inner)):
                return found
        return [pair for name, inner in value.items() for pair in _pairs(name, inner)]
    if not isinstance(value, list | tuple):
        return []
    if all(isinstance(one, str) for one in value):
        return _from_texts(list(value))
    found = []
    for one in value:
        if isinstance(one, dict):
            named = next((one[key] for key in ("name", "key", "Name", "Key") if key in one), None)
            held = next((one[key] for key in ("value", "Value") if key in one), None)
            found += _pairs(named, held)
        elif isinstance(one, list | tuple) and len(one) == 2:
            found += _pairs(*one)
    return found


def _from_texts(texts: list[str]) -> Pairs:
    """A list of lines, or of alternating names and values."""
    lines = [_LINE.fullmatch(one) for one in texts]
    if all(lines):
        return _from_lines(texts)
    if len(texts) % 2 == 0 and all(re.fullmatch(_NAME, name) for name in texts[::2]):
        return list(zip(texts[::2], texts[1::2], strict=True))
    return []


def _pairs(named: Any, value: Any) -> Iterator[tuple[str, str]]:
    name = _text(named)
    if name is None or re.fullmatch(_NAME, name) is None:
        return
    if name.startswith("HTTP_"):
        name = name[5:].replace("_", "-").lower()
    for one in value if isinstance(value, list | tuple) else [value]:
        if (text := _text(one)) is not None:
            yield name, text.strip()


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value)


# text


def _from_text(text: str) -> Pairs:
    if text.startswith("curl ") or re.search(r"(?:^|\s)(?:-H|--header)[ =]?['\"]", text):
        return _from_curl(text)
    lines = text.splitlines()
    for mark in (">", "<"):  # curl -v: what was sent, else what was received
        marked = [line[1:].removeprefix(" ") for line in lines if line.startswith(mark)]
        if marked:
            return _from_lines(marked)
    return _from_lines(lines)


def _from_curl(text: str) -> Pairs:
    try:
        words = shlex.split(text.replace("\\\r\n", " ").replace("\\\n", " ").replace("^\r\n", " "))
    except ValueError as error:
        raise ValueError("the curl command has an unclosed quote") from error
    given = []
    for place, word in enumerate(words):
        if word in ("-H", "--header"):
            given += words[place + 1 : place + 2]
        elif word.startswith("--header="):
            given.append(word.partition("=")[2])
        elif word.startswith("-H"):
            given.append(word[2:])
    return _from_lines(given)


def _from_lines(lines: list[str]) -> Pairs:
    found: Pairs = []
    in_request = False
    for line in lines:
        if _REQUEST.fullmatch(line.strip()) is not None:
            in_request = True
        elif not line.strip():
            if in_request and found:
                break  # the body follows
        elif (header := _LINE.fullmatch(line.strip())) is not None and not (found and line[0] in " \t"):
            found.append((header[1], header[2].strip()))
        elif found and (line[0] in " \t" or not found[-1][1]):  # folded, or the value on a line of its own
            name, value = found[-1]
            found[-1] = (name, f"{value} {line.strip()}".strip())
    return found
