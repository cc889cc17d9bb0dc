"""Who holds a connection never waits for another one of the same pool: with all connections held by such
tasks, none of them would continue."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

import angarium
from angarium.core.product import STANDARD
from angarium.service.product import Products
from angarium.store.database import Database
from tests.kit.clock import ManualClock
from tests.kit.patience import until
from tests.kit.world import ORG, product

DEADLINE = 5.0  # seconds; half of what a caller waits for a connection
SOURCE = Path(angarium.__file__).parent
HOLDING = ("connection", "transaction")  # methods of a Database


async def test_a_lookup_with_a_connection_does_not_wait_for_one_without(database_url: str) -> None:
    """Otherwise a transaction that holds the last connection and a lookup that waits for a connection wait
    for each other, until the pool gives up."""
    database = await Database.connect(database_url, size=1)
    products = Products(database, ManualClock(), {STANDARD: product()})
    try:
        async with database.transaction() as connection:
            other = asyncio.create_task(products.of(ORG))
            await until(products._asking.locked, "the other lookup has begun")
            async with asyncio.timeout(DEADLINE):
                found = await products.of(ORG, connection)
        assert found is products.named(STANDARD)
        assert await other is found
    finally:
        await database.close()


def _opens(node: ast.AST) -> bool:
    """Whether this takes a connection of the pool."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in HOLDING
        and "database" in ast.unparse(node.func.value)
    )


def _looks_up(node: ast.AST) -> bool:
    """Whether this looks up a product without a connection."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "of"
        and ast.unparse(node.func.value).endswith(("_products", "_product", ".product", ".products"))
        and len(node.args) < 2
    )


def _faults(text: str) -> Iterator[int]:
    """Lines at which a task that holds a connection asks for another one."""
    for block in ast.walk(ast.parse(text)):
        if isinstance(block, ast.AsyncWith) and any(_opens(item.context_expr) for item in block.items):
            for statement in block.body:
                yield from (
                    node.lineno
                    for node in ast.walk(statement)
                    if isinstance(node, ast.expr) and (_opens(node) or _looks_up(node))
                )


def test_no_code_asks_for_a_connection_while_it_holds_one() -> None:
    found = {
        str(module.relative_to(SOURCE)): list(_faults(module.read_text())) for module in SOURCE.rglob("*.py")
    }
    assert len(found) > 100
    assert {module: lines for module, lines in found.items() if lines} == {}


@pytest.mark.parametrize("inner", ["self._database.transaction()", "self._products.of(one.org_id)"])
def test_such_code_would_be_found(inner: str) -> None:
    block = f"async def f():\n  async with self._database.connection() as c:\n    await g({inner})"
    assert list(_faults(block)) == [3]
