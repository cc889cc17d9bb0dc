"""Disable: who may do it, what it brings along, and that one place does it."""

from __future__ import annotations

import ast
import os
import re
from pathlib import Path

import angarium
from angarium.clock import datetime_at
from angarium.core.nouns import DisabledReason
from angarium.store.disable import Disable, disable, mark
from angarium.store.sql import queries
from tests.kit.world import ORG, World

SOURCE = Path(angarium.__file__).parent
NOW = 1_780_000_000.0


async def test_an_endpoint_is_disabled_once_and_only_in_the_expected_generation(world: World) -> None:
    app = await world.application()
    endpoint, other = [await world.endpoint(app, "http://127.0.0.1:9/") for _ in range(2)]
    gone = Disable(ORG, app.id, endpoint.id, DisabledReason.GONE)
    stale = Disable(ORG, app.id, endpoint.id, DisabledReason.GONE, generation=1)
    failing = Disable(ORG, app.id, other.id, DisabledReason.FAILING, generation=0)
    async with world.database.transaction() as connection:
        assert not await mark(connection, stale, NOW)
        assert await mark(connection, gone, NOW)
        assert not await mark(connection, gone, NOW + 1)
        assert await mark(connection, failing, NOW + 1)
    rows = await world.fetch("select id, disabled_at, disabled_reason from endpoint order by disabled_at")
    assert [tuple(row) for row in rows] == [
        (endpoint.id, datetime_at(NOW), DisabledReason.GONE),
        (other.id, datetime_at(NOW + 1), DisabledReason.FAILING),
    ]


async def test_queued_deliveries_are_canceled_and_one_audit_event_is_written(world: World) -> None:
    app = await world.application()
    endpoint = await world.endpoint(app, "http://127.0.0.1:9/")
    async with world.intake() as intake:
        for _ in range(3):
            await intake.accept(world.draft(app))
    one = Disable(ORG, app.id, endpoint.id, DisabledReason.FAILING)
    for done in (True, False):
        async with world.database.transaction() as connection:
            assert await disable(connection, one, world.clock.now(), os.urandom(8)) is done
        assert await world.fetch("select from pending") == []
        rows = await world.fetch("select action, actor, before, after from audit")
        assert [tuple(row) for row in rows] == [
            ("endpoint.disabled", "system", {"disabled": False}, {"disabled": True, "reason": "failing"})
        ]


def test_only_two_statements_disable_an_endpoint() -> None:
    writes = re.compile(r"set[^;]*\bdisabled_at\s*=", re.IGNORECASE)
    names = {name for name in queries.available_queries if writes.search(getattr(queries, name).sql)}
    assert names == {"disable_endpoint", "endpoint_update"}
    assert _callers("queries.disable_endpoint") == {"store/disable.py"}
    assert _callers("queries.endpoint_update") == {"store/endpoint.py"}


def _callers(name: str) -> set[str]:
    return {
        file.relative_to(SOURCE).as_posix()
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == name
    }
