"""Stores which organizations have a profile. One without a row has the standard profile."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from angarium.store.connection import Connection
from angarium.store.sql import queries


async def profile_of(connection: Connection, org_id: str) -> str | None:
    """The name of the organization's profile; None: the standard one."""
    name: str | None = await queries.organization_profile(connection, id=org_id)
    return name


async def profiles(connection: Connection, org_ids: Collection[str]) -> dict[str, str]:
    """The profiles of organizations by id. Those with the standard profile are left out."""
    return {
        row["id"]: row["profile"]
        async for row in queries.organization_profiles(connection, ids=list(org_ids))
    }


async def create(connection: Connection, org_id: str, profile: str, now: datetime) -> bool:
    """Give an organization a profile, which never changes. Returns False if it already has one."""
    return await queries.organization_create(connection, id=org_id, profile=profile, now=now) is not None


async def write_catalogue(
    connection: Connection, profile: str, org_id: str | None, types: list[dict[str, Any]], now: datetime
) -> dict[str, list[str]]:
    """Write the event types of a profile to its organizations, or to only one. Other event types stay.

    Returns the names that are new or changed, by organization.
    """
    rows = queries.organization_catalogue(connection, profile=profile, id=org_id, types=types, now=now)
    written: dict[str, list[str]] = {}
    async for row in rows:
        written.setdefault(row["org_id"], []).append(row["name"])
    return written
