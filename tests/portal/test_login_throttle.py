"""Made-up sessions are slowed down by the address they come from; honest visitors beside them are not."""

from __future__ import annotations

import hashlib

import httpx
import jwt
import pytest

from angarium.core import ids
from angarium.core.claims import Claims, read
from angarium.core.token_key import TokenKey
from angarium.service.login import EVERY, FAILURES
from tests.kit.at_work import SECRET
from tests.kit.stand import ORG, URL, Stand


def client(stand: Stand, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(stand.app, raise_app_exceptions=False, client=(address, 1))
    return httpx.AsyncClient(transport=transport, base_url=URL)


def forged(stand: Stand, number: int) -> str:
    """A session as it would be, signed with another secret."""
    claims = {"sub": stand.app_id, "org": ORG, "link": f"{number:064x}", "exp": stand.clock.now() + 3600}
    return jwt.encode(claims, "another secret " * 4, algorithm="HS256")


@pytest.mark.parametrize("owner", ["customer", "operator"])
async def test_forged_cookies_are_slowed_down_and_a_good_one_beside_them_is_not(
    stand: Stand, owner: str
) -> None:
    token = stand.services.token
    app_id = ids.parse(ids.APPLICATION, stand.app_id)
    assert app_id is not None
    if owner == "customer":
        path, name = f"/portal/{stand.app_id}", f"angarium-{stand.app_id}"
        good = token.for_session(token.verify(token.for_application(ORG, app_id)))
    else:
        path, name = "/admin", "angarium-operator"
        good = token.for_operator(token.verify(token.for_organization(ORG)))
    async with client(stand, "192.0.2.1") as near, client(stand, "192.0.2.2") as far:

        async def ask(one: httpx.AsyncClient, cookie: str) -> httpx.Response:
            return await one.get(path, headers={"cookie": f"{name}={cookie}"})

        answers = [await ask(near, forged(stand, number)) for number in range(FAILURES + 3)]
        assert [one.status_code for one in answers] == [401] * FAILURES + [429] * 3
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert (await ask(near, good)).status_code == 200
        assert (await ask(far, forged(stand, 0))).status_code == 401
        # keys are guessed out of the same purse
        login = await near.post("/login/session", json={"key": "bm9uc2Vuc2U"})
        assert login.status_code == 429
        bearer = {"authorization": f"Bearer {forged(stand, 999)}"}
        assert (await near.get("/api/v1/app", headers=bearer)).status_code == 429
        await stand.clock.advance_to(stand.clock.now() + 2 * EVERY)
        assert (await ask(near, forged(stand, FAILURES + 4))).status_code == 401


async def test_a_browser_with_one_bad_cookie_is_one_guess_however_often_it_asks(stand: Stand) -> None:
    name = f"angarium-{stand.app_id}"
    async with client(stand, "192.0.2.1") as browser:
        for _ in range(FAILURES * 3):
            answer = await browser.get(
                f"/portal/{stand.app_id}", headers={"cookie": f"{name}={forged(stand, 1)}"}
            )
            assert answer.status_code == 401
        login = await browser.post("/login/session", json={"key": "bm9uc2Vuc2U"})
        assert login.status_code == 401


@pytest.mark.parametrize("end", ["expired", "revoked"])
@pytest.mark.parametrize("place", ["portal", "operator", "link", "operator login", "bearer"])
async def test_what_was_good_once_is_no_guess(stand: Stand, place: str, end: str) -> None:
    """Each is another one, for the same one counts once; a guess afterwards is not one too many."""
    services, app_id = stand.services, ids.parse(ids.APPLICATION, stand.app_id)
    token = services.token
    assert app_id is not None
    async with client(stand, "192.0.2.1") as near:

        async def show(number: int) -> httpx.Response:
            lifetime = -120 if end == "expired" else 3600
            link = services.portal_link.make(ORG, app_id, lifetime=lifetime)
            organization = token.for_organization(ORG, lifetime=lifetime)
            cookie = {}
            if end == "revoked":
                await token.revoke_shown(ORG, link.token)
                await token.revoke_shown(ORG, organization)
            match place:
                case "portal":
                    session = token.for_session(_opened(stand, link.token))
                    cookie = {"cookie": f"angarium-{stand.app_id}={session}"}
                    return await near.get(f"/portal/{stand.app_id}", headers=cookie)
                case "operator":
                    session = token.for_operator(_opened(stand, organization))
                    return await near.get("/admin", headers={"cookie": f"angarium-operator={session}"})
                case "link":
                    return await near.post("/login/session", json={"key": link.key})
                case "operator login":
                    return await near.post("/admin/login", data={"token": organization})
            return await near.get("/api/v1/app", headers={"authorization": f"Bearer {organization}"})

        for number in range(FAILURES + 3):
            assert (await show(number)).status_code == 401
        guess = {"authorization": f"Bearer {forged(stand, 1)}"}
        assert (await near.get("/api/v1/app", headers=guess)).status_code == 401


def _opened(stand: Stand, token: str) -> Claims:
    """The claims of a token, whose times are not checked."""
    key = TokenKey.of(SECRET)
    return read(key.open(token), hashlib.sha256(token.encode()).digest())


async def test_forged_application_tokens_are_slowed_down(stand: Stand) -> None:
    async with client(stand, "192.0.2.1") as near:

        async def ask(token: str) -> int:
            path = f"/api/v1/app/{stand.app_id}/endpoint"
            return (await near.get(path, headers={"authorization": f"Bearer {token}"})).status_code

        found = [await ask(forged(stand, number)) for number in range(FAILURES + 3)]
        assert found == [401] * FAILURES + [429] * 3
        app_id = ids.parse(ids.APPLICATION, stand.app_id)
        assert app_id is not None
        assert await ask(stand.services.token.for_application(ORG, app_id)) == 200
