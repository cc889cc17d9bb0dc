"""Checks JSON Schemas: subschemas, references and limits.

A reference must point into the same document or to a meta-schema of JSON Schema. Nothing is fetched. A
pointer may not pass through a schema with its own id, because validators disagree on the base of a
reference behind it (JSON Schema 2020-12, 9.2.1). A schema may refer to itself, so code that follows
references has a budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urldefrag, urljoin

import jsonschema_rs
import msgspec

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64

_LEGACY: Final = tuple(f"http://json-schema.org/draft-0{n}/schema" for n in (4, 6, 7))
_DRAFTS: Final = frozenset(
    (*_LEGACY, *(f"https://json-schema.org/draft/{d}/schema" for d in ("2019-09", "2020-12")))
)
_DEFAULT: Final = _LEGACY[-1]

_SAME_ONE: Final = ("not", "if", "then", "else")
_SAME_LIST: Final = ("allOf", "anyOf", "oneOf")
_SAME_MAP: Final = ("dependentSchemas", "dependencies")
_MEMBERS: Final = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_ENTRIES: Final = ("items", "additionalItems", "unevaluatedItems", "contains")
_ONE: Final = (*_SAME_ONE, *_MEMBERS, *_ENTRIES, "contentSchema")
_LIST: Final = (*_SAME_LIST, "prefixItems", "items")
_MAP: Final = (*_SAME_MAP, "properties", "patternProperties", "definitions", "$defs")
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_URI_REFERENCE: Final = jsonschema_rs.validator_for({"format": "uri-reference"}, validate_formats=True)

Place = tuple[str | int, ...]


class SchemaFault(NamedTuple):
    """What is wrong with a schema, and the path to it."""

    place: Place
    words: str


class Reference(NamedTuple):
    """A reference: its path, its base URL and its text."""

    place: Place
    base: str
    text: str


def check(schema: dict[str, Any]) -> SchemaFault | None:
    """The first fault of a JSON Schema (draft 7 unless it names another), or None."""
    if _deeper_than(schema, MAX_DEPTH):
        return SchemaFault((), f"The schema is nested more than {MAX_DEPTH} levels deep.")
    try:
        size = len(msgspec.json.encode(schema))  # refuses numbers that JSON in the database cannot hold
        if size > MAX_BYTES:
            return SchemaFault((), f"The schema has {size:,} bytes; the limit is {MAX_BYTES:,}.")
        jsonschema_rs.meta.validate({**schema, "$schema": draft_of(schema)})
    except (ValueError, OverflowError, RecursionError, jsonschema_rs.ReferencingError) as error:
        place = tuple(getattr(error, "instance_path", ()))
        words = str(error).partition("\n")[0][:300]
        return SchemaFault(place, f"Not a valid JSON Schema: {words}")
    return Document(schema).fault()


def draft_of(schema: dict[str, Any]) -> str:
    """The meta-schema that a schema names. An unknown one counts as draft 7 and is not fetched."""
    named = schema.get("$schema")
    return named if isinstance(named, str) and named.rstrip("#") in _DRAFTS else _DEFAULT


class Document:
    """A schema with its references resolved on demand."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self._legacy = draft_of(root).rstrip("#") in _LEGACY
        self._id = "id" if draft_of(root).startswith(_LEGACY[0]) else "$id"
        self._bases: dict[int, str] = {}  # id() of a schema in the document -> its base URL
        self._resources: dict[str, Any] = {"": root}
        self._anchors: dict[tuple[str, str], Any] = {}
        self._references: list[Reference] = []
        self._unreadable: SchemaFault | None = None
        self._add((), root, "")

    def fault(self) -> SchemaFault | None:
        """The first invalid id, or else the first reference that cannot be resolved."""
        seen = 0
        while not self._unreadable and seen < len(self._references):
            # a place that only a reference points to may hold more ids and references
            place, base, text = self._references[seen]
            seen += 1
            found = self._resolve(base, text)
            if not isinstance(found, (dict, bool)):
                return SchemaFault(place, _nowhere(text))
            if isinstance(found, dict):
                url, fragment = _joined(base, text)
                if self._crosses(url, fragment):
                    return SchemaFault(place, _crossing(text, self._id))
                self._add(_steps(fragment) if self._resources[url] is self.root else place, found, url)
        return self._unreadable

    def referred(self, schema: dict[str, Any]) -> Iterator[Any]:
        """The schemas that a schema refers to, without unresolved references."""
        base = self._bases.get(id(schema), "")
        for keyword in _REFERENCES:
            if isinstance(text := schema.get(keyword), str):
                found = self._resolve(base, text)
                if isinstance(found, dict):
                    self._add((), found, _joined(base, text)[0])  # a place that only a reference points to
                    yield found

    def _add(self, place: Place, schema: Any, base: str) -> None:
        """Add a schema and all its subschemas."""
        pending = [(place, schema, base)]
        while pending:
            place, schema, base = pending.pop()
            if not isinstance(schema, dict) or id(schema) in self._bases:
                continue
            base = self._named(place, schema, base)
            self._bases[id(schema)] = base
            for keyword in _REFERENCES:
                if isinstance(text := schema.get(keyword), str):
                    self._references.append(Reference((*place, keyword), base, text))
            pending += [((*place, *step), child, base) for step, child in _subschemas(schema)]

    def _named(self, place: Place, schema: dict[str, Any], base: str) -> str:
        """Record the ids and anchors of a schema. Returns the base URL of its references."""
        name = schema.get(self._id)
        if isinstance(name, str) and not (self._legacy and "$ref" in schema):
            url, anchor = _joined(base, name)
            if anchor:
                self._anchors[url, anchor] = schema
            if not name.startswith("#"):
                base = url
                self._resources.setdefault(base, schema)
                if not self._unreadable and not _URI_REFERENCE.is_valid(name):
                    self._unreadable = SchemaFault((*place, self._id), _no_reference(name, self._id))
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(own := schema.get(keyword), str):
                self._anchors.setdefault((base, own), schema)
        return base

    def _crosses(self, url: str, fragment: str) -> bool:
        """Whether a pointer passes through a schema with its own id."""
        if not fragment.startswith("/"):
            return False
        found = self._resources[url]
        for step in _steps(fragment)[:-1]:
            found = found[int(step)] if isinstance(found, list) else found[step]
            if isinstance(found, dict) and isinstance(found.get(self._id), str):
                return True
        return False

    def _resolve(self, base: str, text: str) -> Any:
        """The target of a reference; None if there is none, True for a meta-schema."""
        url, fragment = _joined(base, text)
        if url not in self._resources:
            return True if url.rstrip("#") in _DRAFTS else None
        found = self._resources[url]
        if not fragment:
            return found
        if not fragment.startswith("/"):
            return self._anchors.get((url, fragment))
        for step in _steps(fragment):
            if isinstance(found, dict):
                found = found.get(step)
            elif isinstance(found, list) and step.isascii() and step.isdigit() and len(step) < 7:
                found = found[int(step)] if int(step) < len(found) else None
            else:
                return None
        return found


def affordable(schema: dict[str, Any], value: Any, budget: int) -> bool:
    """Whether validating a value evaluates at most `budget` subschemas, each at one place of the value."""
    document = Document(schema)
    pending = [(schema, value)]
    while pending:
        one, place = pending.pop()
        for pair in _evaluated(document, one, place):
            budget -= 1
            if budget < 0:
                return False
            if isinstance(pair[0], dict):
                pending.append(pair)
    return True


def _evaluated(document: Document, schema: dict[str, Any], value: Any) -> Iterator[tuple[Any, Any]]:
    """Subschemas with the parts of the value that they apply to."""
    for found in document.referred(schema):
        yield found, value
    for step, child in _subschemas(schema):
        keyword = step[0]
        if keyword in _SAME_ONE or keyword in _SAME_LIST or keyword in _SAME_MAP:
            yield child, value
        elif isinstance(value, dict):
            if keyword == "properties":
                if step[1] in value:
                    yield child, value[step[1]]
            elif keyword in _MEMBERS or keyword == "patternProperties":
                for part in value.values():
                    yield child, part
        elif isinstance(value, list):
            if len(step) > 1 and keyword in ("items", "prefixItems"):
                if isinstance(place := step[1], int) and place < len(value):
                    yield child, value[place]
            elif keyword in _ENTRIES:
                for part in value:
                    yield child, part


def _subschemas(schema: dict[str, Any]) -> Iterator[tuple[Place, Any]]:
    """The direct subschemas of a schema, with their paths."""
    for keyword in _ONE:
        if isinstance(child := schema.get(keyword), (dict, bool)):
            yield (keyword,), child
    for keyword in _LIST:
        if isinstance(children := schema.get(keyword), list):
            for place, child in enumerate(children):
                yield (keyword, place), child
    for keyword in _MAP:
        if isinstance(children := schema.get(keyword), dict):
            for name, child in children.items():
                yield (keyword, name), child


def _joined(base: str, text: str) -> tuple[str, str]:
    """The URL and fragment of a reference. An invalid URL is used unchanged."""
    if text.startswith("#"):
        return base, text[1:]
    try:
        url, fragment = urldefrag(urljoin(base, text))
    except ValueError:
        return text, ""
    return url, fragment


def _steps(fragment: str) -> tuple[str, ...]:
    """The keys of a JSON pointer."""
    return tuple(unquote(step).replace("~1", "/").replace("~0", "~") for step in fragment.split("/")[1:])


def _no_reference(name: str, keyword: str) -> str:
    return f"{name[:200]!r} is not a valid {keyword}: it must be a URI reference (RFC 3986)."


def _crossing(text: str, keyword: str) -> str:
    return f"{text[:200]!r} passes through a schema with its own {keyword}. Start with that {keyword}."


def _nowhere(text: str) -> str:
    if text.startswith("#"):
        return f"{text[:200]!r} does not point to a schema in this document."
    return f"{text[:200]!r} is not in this document. External schemas are not fetched."


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for one in level
            if isinstance(one, (dict, list))
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True
