"""The secret: shown as the product has it, replaced without losing anything, put in force."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from angarium.clock import SystemClock
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.nouns import Endpoint
from angarium.service.endpoint_field import in_force
from angarium.store.database import Database
from tests.kit.receiver import Receiver
from tests.kit.stand import ORG, Stand, product, standing
from tests.portal.visitor import Visitor, visiting

SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{32}")


async def made(stand: Stand, url: str = "http://127.0.0.1:9/") -> tuple[str, Endpoint]:
    """An endpoint, and its id as visitors know it."""
    await stand.endpoint(url)
    endpoint = await found(stand)
    prefix = stand.product.profile.ids.endpoint
    return ids.text(prefix, endpoint.id), endpoint


async def found(stand: Stand) -> Endpoint:
    application = await stand.services.application.find(ORG, stand.app_id)
    (endpoint,) = await stand.services.endpoint.page(application.id, None, ascending=True, limit=2)
    return endpoint


async def test_a_secret_is_revealed_on_request_where_the_product_allows_it(
    stand: Stand, visitor: Visitor
) -> None:
    ref, endpoint = await made(stand)
    assert not SECRET.search(await visitor.get(f"/endpoints/{ref}/secret"))
    page = (await visitor.post(f"/endpoints/{ref}/secret", status=200)).text
    assert endpoint.keys[0].secret in page
    async with visiting(stand, capabilities=[Capability.VIEW, Capability.MANAGE_SECRET]) as other:
        await other.post(f"/endpoints/{ref}/secret", status=403)


@pytest.mark.parametrize("stand", ["bluma"], indirect=True)
async def test_a_secret_that_is_shown_once_cannot_be_revealed(stand: Stand, visitor: Visitor) -> None:
    ref, _ = await made(stand)
    assert "Show the secret" not in await visitor.get(f"/endpoints/{ref}/secret")
    answer = await visitor.post(f"/endpoints/{ref}/secret", status=403)
    assert "shown only once" in answer.text
    assert not SECRET.search(answer.text)


async def test_a_replaced_secret_signs_beside_the_new_one_for_a_day(stand: Stand, visitor: Visitor) -> None:
    async with Receiver() as receiver:
        ref, before = await made(stand, receiver.url)
        page = (await visitor.post(f"/endpoints/{ref}/secret/rotate", status=200)).text
        assert "signed with both" in page
        shown = SECRET.search(page)
        assert shown
        assert (await found(stand)).keys[0].secret == shown[0] != before.keys[0].secret
        await stand.send("order.filled")
        (request,) = await receiver.wait_for(1)
        assert len((request.header("webhook-signature") or "").split()) == 2
        await stand.until_attempts(1)
    assert "also signed with a replaced secret" in await visitor.get(f"/endpoints/{ref}/secret")


async def test_a_secret_that_was_made_just_now_is_in_force_although_time_goes_on(
    database: Database,
) -> None:
    async with standing(database, product("standard"), clock=SystemClock()) as stand:
        ref, _ = await made(stand)
        async with visiting(stand) as visitor:
            page = (await visitor.post(f"/endpoints/{ref}/secret/rotate", status=200)).text
    assert "signed with both" in page
    assert "not active yet" not in page


async def test_a_secret_that_somebody_else_knows_is_over_at_once(stand: Stand, visitor: Visitor) -> None:
    ref, before = await made(stand)
    page = (
        await visitor.post(
            f"/endpoints/{ref}/secret/rotate", {"grace": "none", "confirmed": "yes"}, status=200
        )
    ).text
    assert "no longer used" in page
    assert [key.secret for key in (await found(stand)).keys if key.expires_at is not None] == []
    assert before.keys[0].secret not in {key.secret for key in (await found(stand)).keys}


@pytest.mark.parametrize("stand", ["bluma"], indirect=True)
async def test_in_two_phases_the_new_secret_waits_until_it_is_activated(
    stand: Stand, visitor: Visitor
) -> None:
    ref, before = await made(stand)
    page = (await visitor.post(f"/endpoints/{ref}/secret/rotate", status=200)).text
    assert "not active yet" in page
    new = SECRET.search(page)
    assert new
    now = stand.clock.now()
    assert in_force((await found(stand)).keys, now).secret == before.keys[0].secret
    page = await visitor.get(f"/endpoints/{ref}/secret")
    assert "A new secret is not active yet" in page
    assert not SECRET.search(page)
    assert "The new secret is active." in await visitor.follow(f"/endpoints/{ref}/secret/activate")
    assert in_force((await found(stand)).keys, now).secret == new[0]
    again = await visitor.post(f"/endpoints/{ref}/secret/activate", status=400)
    assert "There is no pending secret to activate" in again.text


async def test_who_may_replace_a_secret_but_not_see_it_does_not_see_it(stand: Stand) -> None:
    ref, before = await made(stand)
    async with visiting(stand, capabilities=[Capability.VIEW, Capability.MANAGE_SECRET]) as visitor:
        answer = await visitor.post(f"/endpoints/{ref}/secret/rotate")
        page = await visitor.get(answer.headers["location"])
    assert not SECRET.search(page)
    assert (await found(stand)).keys[0].secret != before.keys[0].secret


async def test_of_a_key_pair_only_the_public_half_is_shown(stand: Stand, visitor: Visitor) -> None:
    ref, _ = await made(stand)
    body = {"key": private_key(), "gracePeriodSeconds": 0}
    await stand.native("POST", f"/endpoint/{ref}/secret/rotate", body)
    page = (await visitor.post(f"/endpoints/{ref}/secret", status=200)).text
    assert "whpk_" in page
    assert "whsk_" not in page
    assert "key pair" in await visitor.get(f"/endpoints/{ref}/code")


def private_key() -> str:
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    return "whsk_" + base64.b64encode(b"k" * 32 + key.public_key().public_bytes_raw()).decode()
