"""What the verbs of the store take and give has types: `Any` would let anything pass for a connection."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import angarium

SOURCE = Path(angarium.__file__).parent
FILES = sorted(file for part in ("store", "service", "dispatch") for file in (SOURCE / part).rglob("*.py"))
OPENING = {"connection.py", "database.py", "sql.py"}  # these are where asyncpg and aiosql, untyped, are used
CONNECTIONS = {"Connection", "DedicatedConnection", "HttpConnection", "StoreConnection"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(text: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function):
            yield node


def parameters(function: Function) -> list[ast.arg]:
    every = function.args
    some = (every.vararg, every.kwarg)
    return [*every.posonlyargs, *every.args, *every.kwonlyargs, *(one for one in some if one is not None)]


def loose_connections(text: str) -> list[str]:
    """Where a connection is taken that could be anything: by its name, or because statements run on it."""
    found = []
    for function in functions(text):
        types = {
            one.arg: ast.unparse(one.annotation) if one.annotation else "" for one in parameters(function)
        }
        named = {name for name in types if name in ("conn", "connection")}
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("queries.") and node.args:
                named |= {ast.unparse(node.args[0])} & types.keys()
        found += [f"{function.name}({name})" for name in sorted(named) if types[name] not in CONNECTIONS]
    return found


def loose_verbs(text: str) -> list[str]:
    """Public functions that give or take `Any`. The values of a mapping may be anything: they are JSON, or
    columns by name."""
    found = []
    for function in functions(text):
        if function.name.startswith("_"):
            continue
        notes = [one.annotation for one in parameters(function)] + [function.returns]
        if any(_is_loose(note) for note in notes if note is not None):
            found.append(function.name)
    return found


def _is_loose(note: ast.AST) -> bool:
    if isinstance(note, ast.Name):
        return note.id == "Any"
    if isinstance(note, ast.Subscript) and ast.unparse(note.value) in ("dict", "Mapping"):
        return False
    return any(_is_loose(child) for child in ast.iter_child_nodes(note))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_connections_have_a_type(file: Path) -> None:
    if file.name not in OPENING:
        assert loose_connections(file.read_text()) == []


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.parent.name == "store"], ids=lambda file: file.name
)
def test_functions_of_the_store_have_types(file: Path) -> None:
    if file.name not in OPENING:
        assert loose_verbs(file.read_text()) == []


@pytest.mark.parametrize(
    ("text", "connections", "verbs"),
    [
        ("async def get(connection: Any) -> int: ...", ["get(connection)"], ["get"]),
        ("async def get(conn: object) -> int: ...", ["get(conn)"], []),
        ("async def get(one: Any):\n    await queries.get(one, id=1)", ["get(one)"], ["get"]),
        ("class A:\n    async def _get(self, connection): ...", ["_get(connection)"], []),
        ("def get(connection: Connection) -> list[Any]: ...", [], ["get"]),
        ("def get(connection: Connection, *more: Any) -> None: ...", [], ["get"]),
        ("def get(connection: Connection) -> dict[str, Any]: ...", [], []),
        ("def get(connection: Connection) -> Sequence[Row]: ...", [], []),
    ],
)
def test_missing_types_are_found(text: str, connections: list[str], verbs: list[str]) -> None:
    assert (loose_connections(text), loose_verbs(text)) == (connections, verbs)
