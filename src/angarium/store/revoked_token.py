"""Tokens that were logged out, by hash, until they expire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from angarium.store.sql import queries


async def create(connection: Any, digest: bytes, expires_at: datetime, now: datetime) -> None:
    await queries.revoked_token_create(connection, digest=digest, expires_at=expires_at, now=now)


async def exists(connection: Any, digest: bytes) -> bool:
    return bool(await queries.revoked_token_exists(connection, digest=digest))
