"""Tokens and keys: listed by what tells them apart, revoked one by one, and refused at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from angarium.core.errors import CredentialExpired
from angarium.core.token_key import TokenKey
from angarium.service.api_key import name_of
from angarium.service.token import LOOK_EVERY, NOTE_USE_EVERY, Tokens
from angarium.store import token
from angarium.store.database import Database
from tests.api.conftest import JWT_SECRET, Api, Backend
from tests.api.operation import ORG
from tests.api.sample import SampleServer, bearer


async def listed(api: Api, kind: str = "token") -> list[dict[str, Any]]:
    return [one for one in (await api.get("/auth/credential"))["data"] if one["kind"] == kind]


def another(api: Api, token: str | None = None) -> Api:
    """The same organization with another token."""
    made = token or api.services.token.for_organization(api.org_id)
    return Api(api.client, api.services, api.org_id, made)


async def test_a_used_token_is_listed_with_its_last_use(
    api: Api, backend: Backend, new_organization: Callable[[], Api]
) -> None:
    other = another(api)
    assert [one["beginning"] for one in await listed(api)] == [api.services.token.verify(api.token).name]
    first = (await listed(api))[0]
    backend.clock.ahead += NOTE_USE_EVERY + 1
    await other.get("/app")
    await api.get("/app")
    rows = {one["id"]: one for one in await listed(api)}
    assert len(rows) == 2
    assert rows[first["id"]]["createdAt"] == first["createdAt"]
    assert rows[first["id"]]["lastUsedAt"] > first["lastUsedAt"]
    assert await listed(new_organization()) != []
    assert rows.keys().isdisjoint({one["id"] for one in await listed(new_organization())})
    everything = str(await api.get("/auth/credential"))
    assert api.token not in everything
    assert other.token not in everything


async def test_a_revoked_token_is_refused_with_everything_derived_from_it(api: Api) -> None:
    token, other = api.services.token, another(api)
    await other.get("/app")
    session = token.verify(token.for_operator(token.verify(other.token)))
    await token.check_live(session)
    (known,) = [one for one in await listed(api) if one["beginning"] == token.verify(other.token).name]
    await api.post("/auth/credential/revoke", {"id": known["id"]}, status=204)
    await other.get("/app", status=401)
    await other.post("/app", {"name": "x"}, status=401)
    app = await api.application()
    await other.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {}}, status=401)
    with pytest.raises(CredentialExpired):
        await token.check_live(session)
    login = await api.client.post("/admin/login", data={"token": other.token})
    assert login.status_code == 401
    (known,) = [one for one in await listed(api) if one["id"] == known["id"]]
    assert known["revokedAt"] is not None
    (audit_event,) = (await api.get("/audit", action="token.revoked"))["data"]
    assert audit_event["target"] == known["id"]
    await api.post("/auth/credential/revoke", {"id": known["id"]}, status=204)
    assert len((await api.get("/audit", action="token.revoked"))["data"]) == 1


async def test_another_process_refuses_a_revoked_token_within_a_second(
    api: Api, backend: Backend, database: Database
) -> None:
    elsewhere = Tokens(database, backend.clock, os.urandom, TokenKey.of(JWT_SECRET))
    token = api.services.token.for_organization(api.org_id)
    claims = elsewhere.verify(token)
    await elsewhere.check_live(claims)
    await api.post("/auth/credential/revoke", {"token": token}, status=204)
    backend.clock.ahead += LOOK_EVERY
    with pytest.raises(CredentialExpired):
        await elsewhere.check_live(claims)


async def test_a_foreign_token_without_expiry_can_be_revoked_by_its_holder(
    api: Api, backend: Backend
) -> None:
    """As `svix jwt generate` makes them: no row, no id, here not even an end."""
    made = jwt.encode({"sub": api.org_id, "iss": "svix-server"}, JWT_SECRET, algorithm="HS256")
    foreign = another(api, made)
    await foreign.get("/app")
    (known,) = [one for one in await listed(api) if one["expiresAt"] is None]
    await api.post("/auth/credential/revoke", {"token": made}, status=204)
    await foreign.get("/app", status=401)
    assert (await listed(api))[0]["id"] == known["id"] or known["id"] in str(await listed(api))
    backend.clock.ahead += 20 * 365 * 86400
    token = another(api)  # the first is over by then
    await token.post("/auth/credential/revoke", {"token": made}, status=204)
    await foreign.get("/app", status=401)


async def test_an_application_token_can_be_revoked_by_its_holder(api: Api) -> None:
    app = await api.application()
    theirs = api.as_application(app)
    await theirs.get(f"/app/{app}/endpoint")
    await api.post("/auth/credential/revoke", {"token": theirs.token}, status=204)
    await theirs.get(f"/app/{app}/endpoint", status=401)
    await api.as_application(app).get(f"/app/{app}/endpoint")


async def test_a_key_is_listed_by_its_first_characters_and_revoked(api: Api) -> None:
    access, app = api.services.api_key, await api.application()
    application = await api.services.application.find(api.org_id, app)
    shown = access.draw("sk_live_", with_secret=True)
    await access.register(shown, org_id=api.org_id, app_id=application.id, scope="all", name="Backend")
    (key,) = await listed(api, "key")
    assert key["beginning"] == shown.key[: len("sk_live_") + 4]
    assert (key["name"], key["applicationId"], key["lastUsedAt"]) == ("Backend", app, None)
    await access.verify(shown.key, shown.secret)
    (key,) = await listed(api, "key")
    assert key["lastUsedAt"] is not None
    assert shown.key not in str(await api.get("/auth/credential"))
    await api.post("/auth/credential/revoke", {"id": key["id"]}, status=204)
    with pytest.raises(Exception, match="Invalid token"):
        await access.verify(shown.key, shown.secret)
    (key,) = await listed(api, "key")
    assert key["revokedAt"] is not None


async def test_credentials_of_others_cannot_be_revoked(api: Api, new_organization: Callable[[], Api]) -> None:
    stranger = new_organization()
    access, app = api.services.api_key, await api.application()
    application = await api.services.application.find(api.org_id, app)
    await access.register(
        access.draw("sk_", with_secret=False), org_id=api.org_id, app_id=application.id, scope="a", name="k"
    )
    (token,), (key,) = await listed(api), await listed(api, "key")
    for body in ({"id": token["id"]}, {"id": key["id"]}, {"token": api.token}, {"id": "token_"}):
        await stranger.post("/auth/credential/revoke", body, status=404)
    for body in ({"id": "nonsense"}, {"token": "nonsense"}, {"id": "token_%"}, {"id": token["id"][:10]}):
        await api.post("/auth/credential/revoke", body, status=404)
    for both in ({}, {"id": "a", "token": "b"}):
        await api.post("/auth/credential/revoke", both, status=422)
    await api.as_application(app).post("/auth/credential/revoke", {"id": token["id"]}, status=403)
    await api.get("/app")


async def test_concurrent_requests_share_one_lookup(
    api: Api, backend: Backend, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    real = token.is_revoked

    async def counting(*given: Any) -> bool:
        nonlocal looks
        looks += 1
        return await real(*given)

    monkeypatch.setattr(token, "is_revoked", counting)
    backend.clock.stop()
    claims = api.services.token.verify(api.token)
    await asyncio.gather(*(api.services.token.check_live(claims) for _ in range(200)))
    assert looks == 1


async def test_a_key_is_created_once_for_each_name_and_works(sample: SampleServer) -> None:
    operator = bearer(sample.services.token.for_organization("org_bloom"))
    stranger = bearer(sample.services.token.for_organization(ORG))
    path, body = "/api/v1/auth/credential", {"application": "customer", "name": "Production"}
    made = await sample.client.post(path, json=body, headers=operator)
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    assert (key.keys(), key["scope"]) == ({"id", "key", "scope"}, "organization")
    assert name_of((await sample.services.api_key.verify(key["key"])).id) == key["id"]
    (listed,) = [
        one
        for one in (await sample.client.get(path, headers=operator)).json()["data"]
        if one["name"] == "Production"
    ]
    assert key["key"].startswith(listed["beginning"])
    assert (await sample.client.post(path, json=body, headers=operator)).status_code == 409
    assert (await sample.client.post(path, json=body, headers=stranger)).status_code == 404
    wrong = await sample.client.post(path, json=body | {"name": "b", "scope": "all"}, headers=operator)
    assert (wrong.status_code, "Its scopes are organization, user." in wrong.text) == (400, True)
    async with sample.database.connection() as connection:
        actions = await connection.fetch(
            "select actor, after from all_audit where org_id = 'org_bloom' and action = 'api_key.made' "
            "and after->>'name' = 'Production' and actor like 'organization-token:%'"
        )
    assert len(actions) == 1
    await sample.client.post(f"{path}/revoke", json={"id": key["id"]}, headers=operator)
    assert (await sample.client.post(path, json=body, headers=operator)).status_code == 201


async def test_only_one_of_many_keys_with_a_name_is_created(sample: SampleServer) -> None:
    operator = bearer(sample.services.token.for_organization("org_bluum"))
    body = {"application": "customer", "name": "Production", "scope": "tenant"}
    calls = (sample.client.post("/api/v1/auth/credential", json=body, headers=operator) for _ in range(5))
    answers = await asyncio.gather(*calls)
    assert sorted(one.status_code for one in answers) == [201, 409, 409, 409, 409]
    (key,) = [one.json() for one in answers if one.status_code == 201]
    assert key["secret"]
    await sample.services.api_key.verify(key["key"], key["secret"])


async def test_a_profile_is_assigned_once(sample: SampleServer) -> None:
    path, operator = "/api/v1/organization", bearer(sample.services.token.for_organization("org_new"))
    found = await sample.client.get(path, headers=operator)
    assert found.json() == {"id": "org_new", "profile": "standard"}
    for name, status in (("nothing", 404), ("bloom", 200), ("bloom", 200), ("bluma", 409)):
        answer = await sample.client.put(path, json={"profile": name}, headers=operator)
        assert answer.status_code == status, answer.text
    assert (await sample.client.get(path, headers=operator)).json()["profile"] == "bloom"
    types = await sample.client.get("/api/v1/event-type", headers=operator)
    assert types.json()["data"] != []
