from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from angarium import build, keys, profiles
from angarium.core.errors import BadRequest, SettingsError, StoreReason, StoreUnavailable
from angarium.core.product import STANDARD
from angarium.settings import load
from angarium.shutdown import Shutdown
from angarium.store.database import Database
from tests.kit.patience import PATIENCE

SETTINGS = load(overrides={"secret_key": base64.b64encode(bytes(32)).decode(), "jwt_secret": "s" * 32})
PRIVATE = Ed25519PrivateKey.generate()
PRIVATE_PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
PUBLIC_PEM = (
    PRIVATE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def test_a_private_key_makes_tokens_that_its_public_key_verifies() -> None:
    maker = keys.tokens(load(overrides={"jwt_algorithm": "EdDSA", "jwt_secret": PRIVATE_PEM}))
    reader = keys.tokens(load(overrides={"jwt_algorithm": "EdDSA", "jwt_secret": PUBLIC_PEM}))
    token = maker.for_organization("org_abc")
    assert reader.verify(token).org_id == "org_abc"
    assert maker.verify(maker.for_application("org_abc", UUID(int=1))).app_id == UUID(int=1)
    with pytest.raises(BadRequest):
        reader.for_organization("org_abc")


@pytest.mark.parametrize("secret", ["-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----"])
def test_a_pem_that_cannot_be_read_is_a_wrong_setting(secret: str) -> None:
    with pytest.raises(SettingsError, match="ANGARIUM_JWT_SECRET has a key that is not valid PEM"):
        keys.tokens(load(overrides={"jwt_algorithm": "EdDSA", "jwt_secret": secret}))


def test_without_a_secret_key_nothing_can_be_sealed() -> None:
    with pytest.raises(SettingsError, match="angarium key create"):
        keys.keyring(load())


@pytest.mark.parametrize("days", ["432000s", "120h", "12345678s", "36h0.5s"])
def test_long_durations_reach_the_standard_product_as_they_were_set(days: str) -> None:
    settings = load(overrides={"disable_after": days, "retry_schedule": f"200ms,1234.567s,{30 * 86400}s"})
    standard = build.products_of(settings)[STANDARD]
    assert standard.disable.failing_for == settings.disable_after
    assert standard.schedule.delays == (0.2, 1234.567, 30 * 86400.0)
    assert standard.timeout == settings.request_timeout


def test_a_schedule_that_outlasts_the_history_is_refused() -> None:
    days = f"{86400 * 6}s"
    with pytest.raises(SettingsError, match="ANGARIUM_HISTORY is 10 days"):
        build.products_of(load(overrides={"history": "10d", "retry_schedule": f"{days},{days}"}))


def test_portal_links_that_outlive_the_audit_log_are_refused(tmp_path: Path) -> None:
    """A link that was made with an API key is refused once that is revoked, while it is known."""
    profile = tmp_path / "links.toml"
    standard = (Path(profiles.__file__).parent / "standard.toml").read_text()
    profile.write_text(standard.replace('name = "standard"', 'name = "links"').replace('"7d"', '"8d"'))
    given = {"profiles": str(profile), "audit_history": "7d"}
    with pytest.raises(SettingsError, match="ANGARIUM_AUDIT_HISTORY is 7 days; the portal links of links"):
        build.products_of(load(overrides=given))
    assert "links" in build.products_of(load(overrides=given | {"audit_history": "8d"}))


def test_what_is_kept_for_how_long_is_as_it_was_set() -> None:
    given = {"history": "8d", "audit_history": "9d", "statistics_history": "2d", "task_history": "3d"}
    kept = build.retention_of(load(overrides=given))
    assert [one.days for one in (kept.history, kept.audit, kept.statistics, kept.tasks)] == [8, 9, 2, 3]


@pytest.mark.parametrize("reason", [StoreReason.SCHEMA, StoreReason.UNREACHABLE])
@pytest.mark.parametrize("role", ["all", "dispatch"])
async def test_a_start_that_cannot_take_shards_ends_when_it_is_stopped(
    database_url: str, monkeypatch: pytest.MonkeyPatch, role: str, reason: StoreReason
) -> None:
    asked = asyncio.Event()

    async def refuse(*arguments: object, **session: object) -> NoReturn:
        asked.set()
        raise StoreUnavailable("no connection for the shards", reason=reason)

    monkeypatch.setattr(Database, "dedicated", refuse)
    shutdown = Shutdown()

    async def start() -> None:
        async with build.running(SETTINGS, database_url, role=role, shutdown=shutdown):
            assert shutdown.begun.is_set()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        starting = group.create_task(start())
        await asked.wait()
        assert not starting.done()
        shutdown.begin()


async def test_statements_of_the_api_are_planned_for_their_values_and_hot_ones_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan for any values reads or locks the partitions of all days."""
    pools: dict[str, Database] = {}
    connect = Database.connect

    async def noted(url: str, **options: Any) -> Database:
        made = pools[options.get("pool_name", "engine")] = await connect(url, **options)
        return made

    monkeypatch.setattr(Database, "connect", noted)
    shutdown = Shutdown()
    async with build.running(SETTINGS, database_url, role="all", shutdown=shutdown):
        modes = {}
        for name, pool in pools.items():
            async with pool.connection() as connection:
                modes[name] = await connection.fetchval("show plan_cache_mode")
        shutdown.begin()
    assert modes == {"engine": "auto", "api": "force_custom_plan"}
