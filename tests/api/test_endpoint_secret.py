"""Secrets and headers of endpoints over HTTP."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from angarium.core.ids import parse
from angarium.core.keyring import Keyring
from angarium.store.sealed import open_keys
from tests.api.conftest import Api, Backend


def symmetric(length: int = 24) -> str:
    return "whsec_" + base64.b64encode(b"s" * length).decode()


def asymmetric(seed: bytes = b"e" * 32) -> tuple[str, str]:
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return "whsk_" + base64.b64encode(seed + public).decode(), "whpk_" + base64.b64encode(public).decode()


async def test_a_secret_is_created_shown_and_rotated(api: Api) -> None:
    app = await api.application()
    path = f"/app/{app}/endpoint/{await api.endpoint(app)}/secret"
    first = (await api.get(path))["key"]
    assert len(base64.b64decode(first.removeprefix("whsec_"))) == 24
    assert await api.post(f"{path}/rotate", {"key": symmetric()}, status=204) is None
    assert (await api.get(path))["key"] == symmetric()
    await api.post(f"{path}/rotate", {"key": None, "gracePeriodSeconds": None}, status=204)
    assert (await api.get(path))["key"] not in (first, symmetric())
    await api.post(f"{path}/rotate", status=422)


async def test_an_endpoint_can_bring_its_own_secret(api: Api) -> None:
    app = await api.application()
    private, public = asymmetric()
    for secret, shown in ((symmetric(24), None), (symmetric(75), None), (private, public)):
        endpoint = await api.endpoint(app, secret=secret)
        assert (await api.get(f"/app/{app}/endpoint/{endpoint}/secret"))["key"] == (shown or secret)


async def test_rotating_an_ed25519_secret_creates_another(api: Api) -> None:
    app = await api.application()
    endpoint = await api.endpoint(app, secret=asymmetric()[0])
    path = f"/app/{app}/endpoint/{endpoint}/secret"
    await api.post(f"{path}/rotate", {}, status=204)
    key = (await api.get(path))["key"]
    assert key.startswith("whpk_")
    assert key != asymmetric()[1]


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        symmetric(23),
        symmetric(76),
        symmetric()[6:],
        "whsec_!!!" + "a" * 32,
        "whsk_" + base64.b64encode(b"x" * 64).decode(),
        "whsk_" + base64.b64encode(b"x" * 32).decode(),
        asymmetric()[1],
        7,
    ],
)
async def test_a_secret_that_cannot_sign_is_refused(api: Api, secret: object) -> None:
    app = await api.application()
    body = {"url": "http://localhost/", "secret": secret}
    refused = await api.post(f"/app/{app}/endpoint", body, status=422)
    assert refused["detail"][0]["loc"] == ["body", "secret"]
    endpoint = await api.endpoint(app)
    path = f"/app/{app}/endpoint/{endpoint}/secret/rotate"
    refused = await api.post(path, {"key": secret}, status=422)
    assert refused["detail"][0]["loc"] == ["body", "key"]


async def test_ten_old_secrets_at_most_and_an_expired_one_frees_a_slot(api: Api, backend: Backend) -> None:
    app = await api.application()
    endpoint = await api.endpoint(app)
    path = f"/app/{app}/endpoint/{endpoint}/secret/rotate"
    await api.post(path, {"gracePeriodSeconds": 60}, status=204)
    for _ in range(9):
        await api.post(path, {}, status=204)
    assert (await api.post(path, {}, status=400))["code"] == "limit_reached"
    backend.clock.ahead += 61
    await api.post(path, {}, status=204)
    await api.post(path, {"gracePeriodSeconds": -1}, status=422)
    await api.post(path, {"gracePeriodSeconds": 604801}, status=422)


async def test_without_a_grace_period_the_old_secret_is_removed_at_once(api: Api, backend: Backend) -> None:
    app = await api.application()
    endpoint = await api.endpoint(app, secret=symmetric())
    await api.post(f"/app/{app}/endpoint/{endpoint}/secret/rotate", {"gracePeriodSeconds": 0}, status=204)
    async with backend.services.database.connection() as connection:
        row = await connection.fetchrow("select id, keys from endpoint")
    assert symmetric().encode() not in row["keys"]
    keys = open_keys(Keyring([b"k" * 32]), row["id"], row["keys"])
    assert [key.expires_at for key in keys] == [None]


async def test_secrets_and_headers_are_sealed_in_the_database(api: Api, backend: Backend) -> None:
    app = await api.application()
    endpoint = await api.endpoint(app, secret=symmetric(), headers={"X-Secret-Header": "hush"})
    async with backend.services.database.connection() as connection:
        row = await connection.fetchrow("select * from endpoint where id = $1", parse("ep_", endpoint))
    everything = repr(dict(row))
    assert symmetric()[6:] not in everything
    assert "hush" not in everything


async def test_headers_are_replaced_merged_and_removed(api: Api) -> None:
    app = await api.application()
    endpoint = await api.endpoint(app, headers={"X-First": "1", "Authorization": "Bearer x"})
    path = f"/app/{app}/endpoint/{endpoint}/headers"
    assert await api.get(path) == {"headers": {"X-First": "1"}, "sensitive": ["Authorization"]}
    await api.put(path, {"headers": {"X-Second": "2", "x-ThIrD": "3"}}, status=204)
    assert await api.get(path) == {"headers": {"X-Second": "2", "x-ThIrD": "3"}, "sensitive": []}
    await api.patch(path, {"headers": {"X-Fourth": "4", "x-second": None}}, status=204)
    assert (await api.get(path))["headers"] == {"x-ThIrD": "3", "X-Fourth": "4"}
    await api.patch(path, {"headers": {"X-THIRD": "5"}, "deleteHeaders": ["x-fourth"]}, status=204)
    assert (await api.get(path))["headers"] == {"X-THIRD": "5"}
    await api.patch(path, {"headers": {"X-Api-Key": "k"}}, status=204)
    assert await api.get(path) == {"headers": {"X-THIRD": "5"}, "sensitive": ["X-Api-Key"]}
    kept = await api.put(f"/app/{app}/endpoint/{endpoint}", {"url": "http://localhost:9/"})
    assert "headers" not in kept
    assert (await api.get(path))["headers"] == {"X-THIRD": "5"}
    await api.put(path, {"headers": {}}, status=204)
    assert await api.get(path) == {"headers": {}, "sensitive": []}


@pytest.mark.parametrize(
    "name",
    [
        "User-Agent",
        "Content-Length",
        "content-type",
        "Host",
        "Connection",
        "Transfer-Encoding",
        "X-Amz-Date",
        "X-Google-Foo",
        "svix-id",
        "X-Svix-Thing",
        "webhook-signature",
        "Cache-Control",
        "a b",
        "",
        "X:",
        "X\n",
        "ü",
    ],
)
async def test_a_reserved_header_is_refused(api: Api, name: str) -> None:
    app = await api.application()
    path = f"/app/{app}/endpoint/{await api.endpoint(app)}/headers"
    await api.put(path, {"headers": {name: "v"}}, status=422)
    await api.patch(path, {"headers": {name: "v"}}, status=422)
    await api.post(f"/app/{app}/endpoint", {"url": "http://localhost/", "headers": {name: "v"}}, status=422)


@pytest.mark.parametrize("value", ["a\r\nX-Other: b", "\x01", " blank", "é", "x" * 4097, 5, None])
async def test_a_header_value_that_cannot_be_sent_is_refused(api: Api, value: object) -> None:
    app = await api.application()
    path = f"/app/{app}/endpoint/{await api.endpoint(app)}/headers"
    await api.put(path, {"headers": {"X-A": value}}, status=422)


async def test_headers_that_differ_only_in_case_are_refused(api: Api) -> None:
    app = await api.application()
    path = f"/app/{app}/endpoint/{await api.endpoint(app)}/headers"
    await api.put(path, {"headers": {"X-A": "1", "x-a": "2"}}, status=422)
    await api.put(path, {"headers": {f"X-{i}": "v" for i in range(65)}}, status=422)


async def test_values_are_compared_without_being_shown_or_recorded(
    api: Api, new_organization: Callable[[], Api]
) -> None:
    app, secret = await api.application(), asymmetric()[0]
    url, headers = "http://user:word@localhost:9/hook", {"X-Shop": "1", "Authorization": "Bearer x"}
    endpoint = await api.endpoint(app, url, secret=secret, headers=headers)
    path, before = f"/app/{app}/endpoint/{endpoint}/compare", len((await api.get("/audit"))["data"])

    async def compared(**given: Any) -> Any:
        return await api.post(path, given, status=200)

    nothing = {"url": False, "secret": False, "headers": []}
    assert await compared() == nothing
    same = {"authorization": "Bearer x", "X-Shop": "1"}
    assert await compared(url="http://user:word@LOCALHOST:9/hook", secret=secret, headers=same) == nothing
    assert await compared(url="http://user:other@localhost:9/hook") == nothing | {"url": True}
    assert await compared(url="http://user:***@localhost:9/hook") == nothing
    assert await compared(url="http://localhost:9/hook") == nothing | {"url": True}
    assert await compared(secret=symmetric()) == nothing | {"secret": True}
    other = {"X-Shop": "2", "Authorization": "Bearer y", "X-New": "é"}
    assert await compared(headers=other) == nothing | {"headers": ["X-Shop", "Authorization", "X-New"]}
    assert await compared(headers={"X-Shop": "1"}) == nothing
    await api.post(path, {"url": "ftp://localhost"}, status=422)
    assert len((await api.get("/audit"))["data"]) == before
    await api.as_application(app).post(path, {}, status=403)
    await new_organization().post(path, {}, status=404)
