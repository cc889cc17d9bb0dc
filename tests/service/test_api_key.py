"""API keys: what is kept of them, who is let in, and when a use is written down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.errors import Conflict, NotAuthenticated
from angarium.service import api_key as module
from angarium.service.api_key import NOTE_USE_EVERY, ApiKeys, NewApiKey, name_of
from angarium.store.api_key import ApiKey
from angarium.store.database import Database
from tests.kit.clock import ManualClock

ORG, OTHER = "org_a", "org_b"
APP = UUID(int=7)
NOW = 1_800_000_000.0
SCOPE = "webhooks:manage"


def drawn() -> Callable[[int], bytes]:
    """Bytes that never repeat."""
    numbers: Iterator[int] = count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def access(database: Database, clock: ManualClock) -> ApiKeys:
    async with database.connection() as connection:
        await connection.execute(
            "insert into application (id, org_id, name, created_at, updated_at)"
            " values ($1, $2, 'app', $3, $3)",
            APP, ORG, datetime_at(NOW),
        )  # fmt: skip
        await connection.execute("insert into placement values ($1, $2, 'angarium_1')", APP, ORG)
    return ApiKeys(database, clock, drawn())


async def registered(
    access: ApiKeys, *, with_secret: bool = False, app_id: UUID | None = APP, name: str = "first"
) -> NewApiKey:
    shown = access.draw("wk_", with_secret=with_secret)
    await access.register(shown, org_id=ORG, app_id=app_id, scope=SCOPE, name=name)
    return shown


async def audit_events(database: Database) -> list[tuple[Any, ...]]:
    """What the audit log says, oldest first."""
    async with database.connection() as connection:
        rows = await connection.fetch(
            "select org_id, app_id, action, target, before, after from all_audit order by id"
        )
    return [tuple(row) for row in rows]


async def used_at(access: ApiKeys) -> list[Any]:
    return [key.last_used_at for key in await access.keys(ORG)]


def test_a_generated_key_is_long_and_has_an_optional_second_part() -> None:
    nothing: Any = None
    access = ApiKeys(nothing, nothing, drawn())
    assert access.draw("wk_", with_secret=False) == NewApiKey("wk_" + "1".zfill(48), "")
    assert access.draw("pk_", with_secret=True) == NewApiKey("pk_" + "3".zfill(48), "2".zfill(48))


async def test_a_registered_key_is_accepted_with_its_scope(access: ApiKeys) -> None:
    shown = await registered(access)
    (listed,) = await access.keys(ORG)
    found = await access.verify(shown.key)
    assert found.id == listed.id
    assert ids.parse("key_", name_of(found.id)) == found.id
    assert (found.org_id, found.app_id, found.scope, found.name) == (ORG, APP, SCOPE, "first")
    assert (found.secret, found.revoked_at, found.created_at) == (None, None, datetime_at(NOW))


async def test_only_the_first_characters_of_a_key_are_stored_in_clear_text(access: ApiKeys) -> None:
    shown = await registered(access, with_secret=True)
    (listed,) = await access.keys(ORG)
    assert listed.beginning == shown.key[: len("wk_") + 4]
    kept = (listed.beginning, listed.lookup.decode("latin-1"), (listed.secret or b"").decode("latin-1"))
    assert all(shown.key[-44:] not in one and shown.secret not in one for one in kept)


@pytest.mark.parametrize("with_secret", [False, True])
async def test_only_the_whole_key_is_accepted(access: ApiKeys, with_secret: bool) -> None:
    shown = await registered(access, with_secret=with_secret)
    other = await registered(access, with_secret=True, name="other")
    assert isinstance(await access.verify(shown.key, shown.secret), ApiKey)
    wrong = [
        (shown.key, "guess"),
        (shown.key[:-1], shown.secret),
        ("", ""),
        ("wk_guess", ""),
        ("\ud800", "\ud800"),
    ]
    wrong.append((shown.key, other.secret))
    if with_secret:
        wrong.append((shown.key, ""))
    for key, secret in wrong:
        with pytest.raises(NotAuthenticated):
            await access.verify(key, secret)


async def test_registering_a_key_writes_one_audit_event(access: ApiKeys, database: Database) -> None:
    shown = await registered(access)
    await access.register(shown, org_id=ORG, app_id=APP, scope=SCOPE, name="first")
    (listed,) = await access.keys(ORG)
    made = {"scope": SCOPE, "name": "first"}
    assert await audit_events(database) == [(ORG, APP, "api_key.made", name_of(listed.id), None, made)]


async def test_living_keys_of_an_application_have_different_names(access: ApiKeys) -> None:
    shown = [await registered(access, name="Backend") for _ in range(3)]
    assert [one.name for one in await access.keys(ORG)] == ["Backend", "Backend 2", "Backend 3"]
    await access.revoke(ORG, (await access.verify(shown[1].key)).id)
    await registered(access, name="Backend")
    await registered(access, app_id=None, name="Backend")  # of the organization
    names = [one.name for one in await access.keys(ORG) if one.revoked_at is None]
    assert names == ["Backend", "Backend 3", "Backend 2", "Backend"]
    with pytest.raises(Conflict, match="'Backend 2'"):
        await access.register(
            access.draw("wk_", with_secret=False),
            org_id=ORG, app_id=APP, scope=SCOPE, name="Backend 2", unique=True,
        )  # fmt: skip


async def test_keys_that_are_created_at_once_have_different_names(access: ApiKeys) -> None:
    await asyncio.gather(*(registered(access, name="Backend") for _ in range(4)))
    assert len({one.name for one in await access.keys(ORG)}) == 4


async def test_a_use_is_recorded_once_a_minute(access: ApiKeys, clock: ManualClock) -> None:
    shown = await registered(access)
    assert await used_at(access) == [None]
    await access.verify(shown.key)
    assert await used_at(access) == [datetime_at(NOW)]
    await clock.advance_to(NOW + NOTE_USE_EVERY - 0.001)
    await access.verify(shown.key)
    assert await used_at(access) == [datetime_at(NOW)]
    await clock.advance_to(NOW + NOTE_USE_EVERY)
    await access.verify(shown.key)
    assert await used_at(access) == [datetime_at(NOW + NOTE_USE_EVERY)]


async def test_a_use_of_one_key_does_not_hide_another(access: ApiKeys, clock: ManualClock) -> None:
    one, two = await registered(access, name="one"), await registered(access, name="two")
    await access.verify(one.key)
    await clock.advance_to(NOW + 1)
    await access.verify(two.key)
    assert {key.name: key.last_used_at for key in await access.keys(ORG)} == {
        "one": datetime_at(NOW), "two": datetime_at(NOW + 1),
    }  # fmt: skip


async def test_the_memory_of_recorded_uses_is_bounded(
    access: ApiKeys, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_NOTED", 2)
    shown = [await registered(access, name=str(number)) for number in range(3)]
    for one in shown[:2]:
        await access.verify(one.key)
    await clock.advance_to(NOW + 1)
    await access.verify(shown[0].key)
    first, *_ = await used_at(access)
    assert first == datetime_at(NOW), "two are remembered"
    await access.verify(shown[2].key)
    await access.verify(shown[0].key)
    first, *_ = await used_at(access)
    assert first == datetime_at(NOW + 1), "with a third one all are forgotten"


async def test_revoking_a_key_refuses_it_and_writes_one_audit_event(
    access: ApiKeys, clock: ManualClock, database: Database
) -> None:
    shown, kept = await registered(access), await registered(access, app_id=None, name="kept")
    (key_id,) = [key.id for key in await access.keys(ORG) if key.name == "first"]
    await access.revoke(OTHER, key_id)
    await access.verify(shown.key)
    await clock.advance_to(NOW + 1)
    await access.revoke(ORG, key_id)
    await access.revoke(ORG, key_id)
    with pytest.raises(NotAuthenticated):
        await access.verify(shown.key)
    assert (await access.verify(kept.key)).app_id is None
    assert {key.name: key.revoked_at for key in await access.keys(ORG)} == {
        "first": datetime_at(NOW + 1), "kept": None,
    }  # fmt: skip
    before = {"scope": SCOPE, "name": "first"}
    assert (await audit_events(database))[2:] == [
        (ORG, APP, "api_key.revoked", name_of(key_id), before, None)
    ]


async def test_keys_belong_to_one_organization(access: ApiKeys) -> None:
    await registered(access)
    assert await access.keys(OTHER) == []
