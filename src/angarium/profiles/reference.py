"""Writes `docs/profiles.md`: every key of a profile file, from the docstrings of the tables in core."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from angarium.core.profile import Profile

_PAGE: Final = """\
# Profile files

A profile file defines a product. `angarium profile check FILE` validates it, `ANGARIUM_PROFILES` lists the
profiles that a server loads, and `angarium profile install` assigns a profile to an organization. An
organization's profile cannot be changed. This page is the output of `angarium profile docs --keys`.

Durations are written as `90s`, `5m`, `2h` or `5d`. Unknown keys are refused. A product with
`management.dialect = "native"` needs no code: see `tests/dialects/fourth.toml` for a complete example.
"""


def reference() -> str:
    """The page in Markdown."""
    return "\n".join([_PAGE, *_section("", Profile)]) + "\n"


def undescribed() -> list[str]:
    """Keys without a description."""
    return [line for line in _section("", Profile) if line.startswith("| `") and line.endswith("|  |")]


def _section(path: str, kind: type[msgspec.Struct]) -> Iterator[str]:
    title = f"`[{path}]`" if path and "[" not in path else f"`{path}`" if path else "The file"
    docs = _docs(kind)
    yield f"## {title}\n\n{inspect.getdoc(kind)}\n"
    yield "| key | kind | default | meaning |\n|---|---|---|---|"
    inner: list[tuple[str, type[msgspec.Struct]]] = []
    for field in msgspec.structs.fields(kind):
        words = " ".join(docs.get(field.name, "").split())
        struct, many = _struct(field.type)
        if struct is not None:
            place = f"{path}.{field.name}" if path else field.name
            place = place.strip("[]")
            inner.append((f"[[{place}]]" if many else place, struct))
        shown = "tables" if many else "table" if struct else _kind(field.type)
        yield f"| `{field.name}` | {shown} | {'' if struct else _default(field)} | {words} |"
    yield ""
    for place, struct in inner:
        yield from _section(place, struct)


def _docs(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring of each attribute."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    found, last = {}, ""
    for statement in definition.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            last = statement.target.id
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and last:
            found[last] = str(statement.value.value)
    return found


def _struct(kind: Any) -> tuple[type[msgspec.Struct] | None, bool]:
    """The struct in a type, and whether it is an array of tables."""
    for one in (kind, *get_args(kind)):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one, get_origin(kind) is tuple
    return None, False


def _kind(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inner)
    if origin is tuple:
        return "list" if Ellipsis in inner else f"list of {len(inner)}"
    if origin is dict:
        return "table"
    names = {str: "text", int: "number", float: "number", bool: "`true` or `false`"}
    return " or ".join(
        names.get(one) or _kind(one)
        for one in (inner or (kind,))
        if one in names or get_origin(one) is Literal
    )


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or value in ((), {}, ""):
        return ""
    return f"`{msgspec.json.encode(value).decode()}`"
