"""The product of an organization is looked up once, and never by waiting for another lookup's connection."""

from __future__ import annotations

import asyncio

from angarium.core.product import STANDARD
from angarium.service.product import Products
from angarium.store.database import Database
from tests.kit.clock import ManualClock
from tests.kit.patience import until
from tests.kit.world import ORG, product

DEADLINE = 5.0  # seconds; half of what a caller waits for a connection


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
