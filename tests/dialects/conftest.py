"""Databases for products at work in virtual time."""

from __future__ import annotations

import pytest


@pytest.fixture
def database_url(database_with_partitions_url: str) -> str:
    return database_with_partitions_url
