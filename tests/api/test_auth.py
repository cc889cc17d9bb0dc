"""Who may do what: tokens of organizations and applications, portal links, logging out."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from svix.api import ApplicationTokenExpireIn, SvixAsync, SvixOptions

from angarium.core.errors import AngariumError, NotAuthenticated
from angarium.core.token_key import TokenKey
from angarium.service.token import Tokens
from tests.api.conftest import JWT_SECRET, Api, Backend
from tests.api.serving import serving

URL = "http://localhost:9/hook"


def token(secret: str = JWT_SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    now = int(time.time())
    return jwt.encode({"sub": "org_test", "iat": now, "exp": now + 60, **claims}, secret, algorithm)


async def ask(client: httpx.AsyncClient, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"authorization": authorization}
    return await client.get("/api/v1/app", headers=headers)


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Bearer nonsense",
        "Bearer a.b.c",
        "Bearer " + token("another secret, also of 32 bytes or more"),
        "Bearer " + token(algorithm="HS384"),
        "Bearer " + token(exp=int(time.time()) - 3600),
        "Bearer " + token(nbf=int(time.time()) + 3600),
        "Bearer " + token(exp="tomorrow"),
        "Bearer "
        + base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
        + ".eyJzdWIiOiJvcmdfYSJ9.",
    ],
)
async def test_an_invalid_token_is_refused(client: httpx.AsyncClient, authorization: str) -> None:
    answer = await ask(client, authorization)
    assert answer.status_code == 401
    assert answer.json() == {"code": "authentication_failed", "detail": "Invalid token"}


async def test_the_secret_as_token_is_explained(client: httpx.AsyncClient) -> None:
    answer = await ask(client, f"Bearer {JWT_SECRET}")
    assert answer.status_code == 401
    assert "is the server's JWT secret" in answer.json()["detail"]


async def test_svixs_own_tokens_are_accepted(client: httpx.AsyncClient) -> None:
    issued = token(iss="svix-server", sub="org_23rb8YdGqMT0qIzpgGwdXfHirMu", nbf=int(time.time()))
    assert (await ask(client, f"Bearer {issued}")).status_code == 200
    assert (await ask(client, f"bearer {issued}")).status_code == 200


@pytest.mark.parametrize("sub", ["user_1", "org", "", "app_1", "org_\x00", "org_a b"])
async def test_a_token_with_an_unknown_subject_is_refused(client: httpx.AsyncClient, sub: str) -> None:
    answer = await ask(client, "Bearer " + token(sub=sub))
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_token"


async def test_a_token_is_refused_after_its_expiry(api: Api, backend: Backend) -> None:
    app = await api.application()
    portal = api.as_application(app, lifetime=3600)
    await portal.get(f"/app/{app}")
    backend.clock.ahead += 3600 + 61
    await portal.get(f"/app/{app}", status=401)
    await api.get(f"/app/{app}")


async def test_public_keys_verify_and_private_keys_sign(backend: Backend) -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    def tokens(key: str) -> Tokens:
        return Tokens(backend.services.database, backend.clock, lambda n: b"x" * n, TokenKey.of(key, "EdDSA"))

    issued = tokens(pem).for_organization("org_a")
    assert tokens(public).verify(issued).org_id == "org_a"
    with pytest.raises(AngariumError, match="no key to sign"):
        tokens(public).for_organization("org_a")
    shared = token()
    with pytest.raises(NotAuthenticated):
        tokens(public).verify(shared)


async def test_an_application_token_reaches_its_application_only(
    api: Api, new_organization: Callable[[], Api]
) -> None:
    app, other = await api.application(), await api.application()
    portal = api.as_application(app)
    assert (await portal.get(f"/app/{app}"))["id"] == app
    endpoint = await portal.endpoint(app)
    path = f"/app/{app}/endpoint/{endpoint}"
    await portal.get(f"/app/{app}/endpoint")
    await portal.patch(path, {"description": "x"})
    await portal.get(f"{path}/secret")
    await portal.get(f"{path}/stats")
    await portal.post(f"{path}/secret/rotate", {}, status=204)
    for method, place, body in (
        ("GET", "/app", None),
        ("POST", "/app", {"name": "x"}),
        ("PUT", f"/app/{app}", {"name": "x"}),
        ("PATCH", f"/app/{app}", {"name": "x"}),
        ("DELETE", f"/app/{app}", None),
        ("POST", "/event-type", {"name": "x", "description": ""}),
        ("PUT", "/event-type/x", {"description": ""}),
        ("PATCH", "/event-type/x", {"description": ""}),
        ("DELETE", "/event-type/x", None),
        ("POST", f"/app/{app}/msg", {"eventType": "x", "payload": {}}),
        ("POST", f"{path}/send-example", {"eventType": "svix.ping"}),
        ("POST", f"/auth/app-portal-access/{app}", {}),
        ("POST", f"/auth/dashboard-access/{app}", None),
    ):
        refused = await portal.call(method, place, body, status=403)
        assert refused["code"] == "insufficient access"
    for place in (f"/app/{other}", f"/app/{other}/endpoint", f"/app/{other}/endpoint/{endpoint}"):
        await portal.get(place, status=404)
    stranger = new_organization()
    await stranger.get(f"/app/{app}", status=404)
    await stranger.get(path, status=404)


async def test_a_portal_link_carries_a_working_token(api: Api) -> None:
    app = await api.application("Acme", uid="acme")
    for place, body in (
        ("app-portal-access", {}),
        ("app-portal-access", {"featureFlags": ["a"], "expiry": 3600, "sessionId": "s@1"}),
        ("dashboard-access", None),
    ):
        access = await api.post(f"/auth/{place}/acme", body, status=200)
        base, _, packed = access["url"].partition("#key=")
        assert base == "https://hooks.example.com/login"
        key = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
        assert key == {"appId": app, "token": access["token"]}
        portal = Api(api.client, api.services, api.org_id, access["token"])
        assert (await portal.get(f"/app/{app}"))["name"] == "Acme"
    claims = jwt.decode(access["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 604800
    for wrong in (
        {"expiry": 3599},
        {"expiry": 604801},
        {"sessionId": "a b"},
        {"capabilities": ["Fly"]},
        {"featureFlags": ["a"] * 26},
    ):
        await api.post("/auth/app-portal-access/acme", wrong, status=422)
    await api.post("/auth/app-portal-access/acme", status=422)


async def test_a_portal_link_can_create_its_application(api: Api) -> None:
    place = "/auth/app-portal-access/new-customer"
    await api.post(place, {}, status=404)
    for wrong in ({"name": "N"}, {"name": "N", "uid": "another"}, {"uid": "new-customer"}):
        await api.post(place, {"application": wrong}, status=422)
    await api.post(place, {"application": {"name": "N", "uid": "new-customer"}}, status=200)
    await api.post(place, {"application": {"name": "Ignored", "uid": "new-customer"}}, status=200)
    assert (await api.get("/app/new-customer"))["name"] == "N"


@pytest.mark.parametrize(
    ("granted", "allowed"),
    [
        ({}, {"view", "secret", "rotate", "change", "recover"}),
        ({"readOnly": True}, {"view"}),
        ({"capabilities": []}, set()),
        ({"capabilities": ["ViewBase"]}, {"view"}),
        ({"capabilities": ["ViewBase", "ViewEndpointSecret"]}, {"view", "secret"}),
        ({"capabilities": ["ViewBase", "ManageEndpointSecret"]}, {"view", "rotate"}),
        ({"capabilities": ["ViewBase", "ManageEndpoint"]}, {"view", "change"}),
        ({"capabilities": ["ViewBase", "CreateAttempts"]}, {"view", "recover"}),
    ],
)
async def test_a_portal_link_allows_only_its_capabilities(
    api: Api, granted: dict[str, Any], allowed: set[str]
) -> None:
    app = await api.application()
    path = f"/app/{app}/endpoint/{await api.endpoint(app)}"
    access = await api.post(f"/auth/app-portal-access/{app}", granted, status=200)
    portal = Api(api.client, api.services, api.org_id, access["token"])
    since = {"since": "2999-01-01T00:00:00Z"}
    tried: list[tuple[str, int, str, str, Any]] = [
        ("view", 200, "GET", path, None),
        ("view", 200, "GET", f"{path}/headers", None),
        ("secret", 200, "GET", f"{path}/secret", None),
        ("rotate", 204, "POST", f"{path}/secret/rotate", {}),
        ("change", 201, "POST", f"/app/{app}/endpoint", {"url": URL}),
        ("change", 200, "PUT", path, {"url": URL}),
        ("change", 200, "PATCH", path, {}),
        ("change", 204, "PUT", f"{path}/headers", {"headers": {}}),
        ("change", 204, "PATCH", f"{path}/headers", {"headers": {}}),
        ("recover", 202, "POST", f"{path}/recover", since),
        ("change", 204, "DELETE", path, None),
    ]
    for what, status, method, place, body in tried:
        await portal.call(method, place, body, status=status if what in allowed else 403)


async def test_a_logged_out_token_is_refused_and_others_are_not(api: Api, backend: Backend) -> None:
    app = await api.application()
    one, two = api.as_application(app), api.as_application(app)
    await one.get(f"/app/{app}")
    assert await one.post("/auth/logout", status=204) is None
    await one.get(f"/app/{app}", status=401)
    await one.post("/auth/logout", status=401)
    await two.get(f"/app/{app}")
    await api.post("/auth/logout", status=403)
    await api.get(f"/app/{app}")
    backend.clock.ahead += 8 * 86400
    three = api.as_application(app)
    await three.post("/auth/logout", status=204)
    async with backend.services.database.connection() as connection:
        assert await connection.fetchval("select count(*) from revoked_token") == 1


async def test_all_tokens_of_an_application_can_be_revoked(api: Api, backend: Backend) -> None:
    app, other = await api.application(), await api.application()
    old, neighbour = api.as_application(app), api.as_application(other)
    access = await api.post(f"/auth/app-portal-access/{app}", {}, status=200)
    linked = Api(api.client, api.services, api.org_id, access["token"])
    backend.clock.ahead += 0.01
    await api.post(f"/auth/app/{app}/expire-all", {}, status=204)
    backend.clock.ahead += 0.01
    new = api.as_application(app)
    for ended in (old, linked):
        await ended.get(f"/app/{app}", status=401)
    await new.get(f"/app/{app}")
    await neighbour.get(f"/app/{other}")
    await api.get(f"/app/{app}")
    await new.post(f"/auth/app/{app}/expire-all", {}, status=403)
    await api.post("/auth/app/nobody/expire-all", {}, status=404)
    for wrong in ({"expiry": -1}, {"expiry": 604801}, {"sessionIds": ["a b"]}, {"sessionIds": "a"}):
        await api.post(f"/auth/app/{app}/expire-all", wrong, status=422)


async def test_tokens_of_sessions_can_be_revoked_later(api: Api, backend: Backend) -> None:
    app = await api.application()
    one, two, none = (api.as_application(app, session_id=name) for name in ("one", "two", None))
    backend.clock.ahead += 0.01
    await api.post(f"/auth/app/{app}/expire-all", {"expiry": 60, "sessionIds": ["one"]}, status=204)
    await one.get(f"/app/{app}")
    backend.clock.ahead += 61
    await one.get(f"/app/{app}", status=401)
    await two.get(f"/app/{app}")
    await none.get(f"/app/{app}")
    # a later one does not put off an earlier one, and takes its place once it covers it
    await api.post(f"/auth/app/{app}/expire-all", {"expiry": 3600, "sessionIds": ["one"]}, status=204)
    await one.get(f"/app/{app}", status=401)
    await api.post(f"/auth/app/{app}/expire-all", {}, status=204)
    for ended in (one, two, none):
        await ended.get(f"/app/{app}", status=401)


async def test_svixs_client_revokes_all_tokens(api: Api, backend: Backend) -> None:
    app = await api.application()
    one, other = (api.as_application(app, session_id=name) for name in ("one", "other"))
    async with serving(backend.app) as url:
        client = SvixAsync(api.token, SvixOptions(server_url=url))
        try:
            body = ApplicationTokenExpireIn(session_ids=["one"])
            await client.authentication.expire_all(app, body)
        finally:
            await client.application._httpx_client.aclose()  # the client offers no way to close it
    await one.get(f"/app/{app}", status=401)
    await other.get(f"/app/{app}")
