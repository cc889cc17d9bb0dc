from __future__ import annotations

import os

import pytest

from angarium.clock import SystemClock
from angarium.core.address import AddressPolicy
from angarium.core.keyring import Keyring, SealError
from angarium.core.nouns import Endpoint
from angarium.core.product import STANDARD
from angarium.service.application import ApplicationDraft, Applications
from angarium.service.endpoint import Endpoints
from angarium.service.endpoint_field import EndpointDraft
from angarium.service.idempotency import Idempotency, KeyClaim, StoredAnswer
from angarium.service.product import Products
from angarium.service.rewrap import Rewrap
from angarium.store.database import Database
from tests.kit.world import product

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
ANSWER_KEY = b"i" * 32


def endpoints(database: Database, *keys: bytes) -> Endpoints:
    return Endpoints(
        *(database, SystemClock(), os.urandom, Keyring(keys)),
        policy=AddressPolicy(),
        https_only=True,
        products=Products(database, SystemClock(), {STANDARD: product()}),
    )


def idempotency(database: Database, *keys: bytes) -> Idempotency:
    return Idempotency(database, SystemClock(), os.urandom, Keyring(keys))


def rewrap(database: Database, *keys: bytes) -> Rewrap:
    return Rewrap(database, os.urandom, Keyring(keys))


async def sealed_things(database: Database) -> Endpoint:
    """Two endpoints, one with a header, and an answer, all under the old key."""
    applications = Applications(database, SystemClock(), os.urandom)
    application = await applications.create("org_a", ApplicationDraft(name="One"))
    made = endpoints(database, OLD)
    await made.create(application, EndpointDraft(url="https://example.com/a"))
    held = await idempotency(database, OLD).begin(ANSWER_KEY)
    assert isinstance(held, KeyClaim)
    await idempotency(database, OLD).finish(held, 201, b"answer")
    return await made.create(
        application, EndpointDraft(url="https://example.com/b"), headers={"x-secret": "yes"}
    )


async def test_check_counts_values_by_key(database: Database) -> None:
    await sealed_things(database)
    current = await rewrap(database, OLD).check()
    assert (current.current, current.old, current.unreadable) == (3, 0, 0)
    rotating = await rewrap(database, NEW, OLD).check()
    assert (rotating.current, rotating.old, rotating.unreadable) == (0, 3, 0)
    lost = await rewrap(database, OTHER).check()
    assert (lost.current, lost.old, lost.unreadable) == (0, 0, 3)


async def test_after_rewrap_the_new_key_is_sufficient(database: Database) -> None:
    before = await sealed_things(database)
    count = await rewrap(database, NEW, OLD).rewrap()
    assert (count.rewrapped, count.current, count.old, count.unreadable) == (3, 3, 0, 0)

    after = await endpoints(database, NEW).find(before.app_id, str_id(before))
    assert after.keys == before.keys
    assert after.headers == {"x-secret": "yes"}
    assert await idempotency(database, NEW).begin(ANSWER_KEY) == StoredAnswer(201, b"answer")
    with pytest.raises(SealError):
        await endpoints(database, OLD).find(before.app_id, str_id(before))


async def test_rewrap_leaves_values_that_no_key_decrypts(database: Database) -> None:
    before = await sealed_things(database)
    count = await rewrap(database, OTHER).rewrap()
    assert (count.rewrapped, count.unreadable) == (0, 3)
    assert (await endpoints(database, OLD).find(before.app_id, str_id(before))).keys == before.keys


def str_id(endpoint: Endpoint) -> str:
    from angarium.core import ids

    return ids.text(ids.ENDPOINT, endpoint.id)
