"""A product with its portal in one process, and a visitor with a link that allows everything."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from angarium.core.claims import Capability
from angarium.store.database import Database
from tests.kit.stand import Stand, product, standing
from tests.portal.visitor import Visitor, visiting


@pytest.fixture
def database_url(database_with_partitions_url: str) -> str:
    return database_with_partitions_url


@pytest.fixture(params=["standard"])
async def stand(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    """The product named by the parameter, at work in virtual time."""
    async with standing(database, product(request.param)) as made:
        yield made


@pytest.fixture
async def visitor(stand: Stand) -> AsyncIterator[Visitor]:
    async with visiting(stand) as found:
        yield found


@pytest.fixture
async def reader(stand: Stand) -> AsyncIterator[Visitor]:
    """A visitor with a link for reading only."""
    async with visiting(stand, capabilities=[Capability.VIEW]) as found:
        yield found
