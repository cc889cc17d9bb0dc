"""Bluum's management API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from angarium import profiles
from angarium.api.app import create_app
from angarium.store.database import Database
from tests.dialects.bluum import Stand, Tenant, bluum, standing

URL = "http://127.0.0.1:9/webhooks/bluum"
CREATE = {"name": "Production webhook", "url": URL, "eventTypeNames": ["order.*", "transfer.*"]}
DESCRIPTIONS = {
    "account.created": "New account created",
    "account.updated": "Account details changed",
    "order.accepted": "Order accepted for execution",
    "order.filled": "Order fully filled",
    "order.partially_filled": "Order partially filled",
    "order.canceled": "Order canceled",
    "order.rejected": "Order rejected",
    "transfer.deposit.initiated": "Deposit initiated",
    "transfer.deposit.completed": "Deposit completed, funds available",
    "transfer.deposit.failed": "Deposit failed",
    "transfer.withdrawal.initiated": "Withdrawal initiated",
    "transfer.withdrawal.completed": "Withdrawal completed",
    "transfer.withdrawal.failed": "Withdrawal failed",
    "document.approved": "KYC document approved",
    "document.rejected": "KYC document rejected",
}
SHAPE = {
    "id", "object", "name", "url", "description", "eventTypeNames", "event_type_names", "status",
    "created_at", "updated_at",
}  # fmt: skip


@pytest.fixture
async def stand(database: Database) -> AsyncIterator[Stand]:
    async with standing(database) as stand:
        yield stand


@pytest.fixture
async def tenant(stand: Stand) -> Tenant:
    tenant, _ = await stand.tenant()
    return tenant


async def refused(tenant: Tenant, method: str, path: str, body: Any, status: int = 400) -> dict[str, Any]:
    """What is wrong, as Bluum says it."""
    answer = await tenant.call(method, path, body, status=status)
    assert set(answer) == {"error"}
    error: dict[str, Any] = answer["error"]
    assert {"type", "code", "message"} <= set(error) <= {"type", "code", "message", "param"}
    assert error["code"].startswith(f"BLUM-{status}-")
    return error


# ------------------------------------------------------------------------------------------- event types


async def test_the_documented_event_types_are_listed_with_their_descriptions(
    tenant: Tenant,
) -> None:
    answer = await tenant.call("GET", "/webhooks/event-types")
    assert answer["object"] == "list"
    assert answer["url"] == "/v1/webhooks/event-types"
    assert answer["has_more"] is False
    listed = {row["name"]: row["description"] for row in answer["data"]}
    assert list(listed)[:15] == list(DESCRIPTIONS), "in the order of the document"
    assert listed.items() >= DESCRIPTIONS.items()
    assert set(listed) - set(DESCRIPTIONS) == {"kyc.verification.approved", "kyc.verification.rejected"}
    assert all(row["object"] == "event_type" and row["example"] for row in answer["data"])


def test_every_event_type_has_a_group_and_an_example_and_only_one_is_ours() -> None:
    events = profiles.load("bluum").events
    assert [event.name for event in events if event.ours] == ["kyc.verification.rejected"]
    assert all(event.group == event.name.split(".")[0] and event.example for event in events)


async def test_the_documented_data_of_orders_transfers_and_documents(tenant: Tenant) -> None:
    rows = {row["name"]: row["example"] for row in await tenant.listed("/webhooks/event-types")}
    filled = rows["order.filled"]
    assert list(filled) == [
        "id", "account_id", "symbol", "side", "status", "filled_qty", "average_price",
    ]  # fmt: skip
    assert (filled["filled_qty"], filled["average_price"]) == ("10", "178.50"), "decimals are texts"
    assert all("account_id" in data for name, data in rows.items() if not name.startswith("account."))


# ------------------------------------------------------------------------------- create, list, change, delete


@pytest.mark.parametrize("prefix", ["/v1", ""])
async def test_the_life_of_a_webhook_on_both_base_paths(tenant: Tenant, prefix: str) -> None:
    made = await tenant.call("POST", "/webhooks", CREATE, status=201, prefix=prefix)
    assert set(made) == SHAPE | {"secret"}
    assert made["id"].startswith("wh_")
    assert made["object"] == "webhook"
    assert made["name"] == "Production webhook"
    assert made["url"] == URL
    assert made["eventTypeNames"] == made["event_type_names"] == ["order.*", "transfer.*"]
    assert made["status"] == "active"
    assert made["secret"].startswith("whsec_")

    answer = await tenant.call("GET", "/webhooks", prefix=prefix)
    assert answer["url"] == f"{prefix}/webhooks"
    assert answer["data"] == [{name: made[name] for name in made if name != "secret"}]
    one = f"/webhooks/{made['id']}"
    assert await tenant.call("GET", one, prefix=prefix) == answer["data"][0]

    types = {"eventTypeNames": ["order.*", "transfer.*", "account.*"]}
    changed = await tenant.call("PATCH", one, types, prefix=prefix)
    assert changed["eventTypeNames"] == ["order.*", "transfer.*", "account.*"]
    assert changed["name"] == "Production webhook"

    assert await tenant.call("DELETE", one, status=204, prefix=prefix) is None
    for method, body in (("GET", None), ("PATCH", types), ("DELETE", None)):
        await tenant.call(method, one, body, status=404, prefix=prefix)
    assert await tenant.listed("/webhooks") == []


async def test_a_patch_of_any_subset_leaves_the_rest(tenant: Tenant) -> None:
    made = await tenant.webhook(URL, "order.filled", name="Mine", description="First")
    one = f"/webhooks/{made['id']}"
    for change in (
        {"url": "http://127.0.0.1:9/other", "description": "Production webhook"},
        {"eventTypeNames": ["account.created", "order.*"]},
        {"name": "Another"},
        {"status": "disabled"},
        {"status": "active"},
        {"description": ""},
        {},
    ):
        before = await tenant.call("GET", one)
        expected = {**before, **change}
        if "eventTypeNames" in change:
            expected["event_type_names"] = change["eventTypeNames"]
        after = await tenant.call("PATCH", one, change)
        ours = {"updated_at", "disabled_at", "disabled_reason"}
        assert {k: v for k, v in after.items() if k not in ours} == {
            k: v for k, v in expected.items() if k not in ours
        }
        assert "secret" not in after


async def test_what_was_read_can_be_sent_back(tenant: Tenant) -> None:
    made = await tenant.webhook(URL, "order.*", name="Mine")
    one = f"/webhooks/{made['id']}"
    read = await tenant.call("GET", one)
    again = await tenant.call("PATCH", one, read)
    assert {**again, "updated_at": None} == {**read, "updated_at": None}
    only_theirs = await tenant.call("PATCH", one, {"event_type_names": ["order.filled"]})
    assert only_theirs["eventTypeNames"] == ["order.filled"]


async def test_the_field_is_not_events(tenant: Tenant) -> None:
    made = await tenant.webhook(URL)
    for method, path in (("POST", "/webhooks"), ("PATCH", f"/webhooks/{made['id']}")):
        error = await refused(tenant, method, path, {"url": URL, "events": ["order.*"]})
        assert "eventTypeNames" in error["message"]
        assert error["param"] == "events"


async def test_the_name_may_be_left_out_and_is_kept(tenant: Tenant) -> None:
    made = await tenant.webhook(URL)
    assert made["name"] == "127.0.0.1"
    one = f"/webhooks/{made['id']}"
    assert (await tenant.call("PATCH", one, {"description": "Production webhook"}))["name"] == "127.0.0.1"
    long = "ü" * 1024  # longer than the native API's metadata could hold beside other things
    assert (await tenant.call("PATCH", one, {"name": long}))["name"] == long
    assert (await tenant.call("GET", one))["name"] == long


async def test_the_name_is_no_business_of_the_native_api(stand: Stand, tenant: Tenant) -> None:
    made = await tenant.webhook(URL, name="Mine")
    token = stand.services.token.for_organization(stand.org_id)
    headers = {"authorization": f"Bearer {token}"}
    path = f"/api/v1/app/first/endpoint/{made['id'].replace('wh_', 'ep_')}"
    answer = await stand.client.get(path, headers=headers)
    assert answer.json()["metadata"] == {}
    answer = await stand.client.put(path, json={"url": URL, "metadata": {"a": "b"}}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert (await tenant.call("GET", f"/webhooks/{made['id']}"))["name"] == "Mine"


async def test_wildcards_and_names_stand_in_one_list(tenant: Tenant) -> None:
    made = await tenant.webhook(
        URL, "order.*", "transfer.deposit.*", "document.approved", "kyc.*", "*", "order.*"
    )
    assert made["eventTypeNames"] == ["order.*", "transfer.deposit.*", "document.approved", "kyc.*", "*"]


@pytest.mark.parametrize("wrong", ["order.fill", "ord*", "*.filled", "orders.*", "order.**", "", "order.", 7])
async def test_an_unknown_event_type_is_refused_with_the_list_of_known_ones(
    tenant: Tenant, wrong: Any
) -> None:
    error = await refused(
        tenant, "POST", "/webhooks", {"url": URL, "eventTypeNames": ["order.filled", wrong]}
    )
    assert error["param"] == "eventTypeNames"
    if isinstance(wrong, str):
        assert all(name in error["message"] for name in DESCRIPTIONS)
        assert "order.*" in error["message"]
    if wrong == "order.fill":
        assert "Did you mean order.filled?" in error["message"]


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"eventTypeNames": ["order.*"]}, "BLUM-400-002", "url"),
        ({"url": URL}, "BLUM-400-002", "eventTypeNames"),
        ({"url": URL, "eventTypeNames": []}, "BLUM-400-003", "eventTypeNames"),
        ({"url": URL, "eventTypeNames": "order.*"}, "BLUM-400-003", "eventTypeNames"),
        ({"url": "ftp://a.example/", "eventTypeNames": ["order.*"]}, "BLUM-400-003", "url"),
        ({"url": 7, "eventTypeNames": ["order.*"]}, "BLUM-400-003", "url"),
        ({"url": "http://[", "eventTypeNames": ["order.*"]}, "BLUM-400-003", "url"),
        ({**CREATE, "status": "asleep"}, "BLUM-400-004", "status"),
        ({**CREATE, "name": 7}, "BLUM-400-003", "name"),
        ({**CREATE, "description": "x" * 1025}, "BLUM-400-003", "description"),
        ([], "BLUM-400-003", None),
        (b'{"url": ', "BLUM-400-001", None),
        (b"\xff", "BLUM-400-001", None),
        (b'{"url": "\\u0000", "eventTypeNames": ["*"]}', "BLUM-400-003", "url"),
    ],
)
async def test_errors_have_a_code_and_the_field(
    tenant: Tenant, body: Any, code: str, param: str | None
) -> None:
    error = await refused(tenant, "POST", "/webhooks", body)
    assert (error["type"], error["code"], error.get("param")) == ("invalid_request_error", code, param)


async def test_lists_are_paged_by_limit_and_offset(tenant: Tenant) -> None:
    made = [(await tenant.webhook(URL, name=str(number)))["name"] for number in range(5)]
    first = await tenant.call("GET", "/webhooks", limit=2)
    assert [row["name"] for row in first["data"]] == made[:2:-1]
    assert first["has_more"] is True
    last = await tenant.call("GET", "/webhooks", limit=2, offset=4)
    assert [row["name"] for row in last["data"]] == made[:1]
    assert last["has_more"] is False
    for wrong in ("0", "201", "x", "-1", "\u0661"):
        error = (await tenant.call("GET", "/webhooks", status=400, limit=wrong))["error"]
        assert error["param"] == "limit"


async def test_any_content_type_is_taken(tenant: Tenant) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"):
        answer = await tenant.client.post(
            "/webhooks",
            content=b'{"url": "http://127.0.0.1:9/", "eventTypeNames": ["*"]}',
            headers={"authorization": f"Basic {tenant.auth}", "content-type": kind},
        )
        assert answer.status_code == 201, answer.text


async def test_a_body_that_is_too_large_is_refused(tenant: Tenant) -> None:
    error = await refused(tenant, "POST", "/webhooks", b" " * (3 * 1024 * 1024))
    assert error["code"] == "BLUM-400-008"


# ------------------------------------------------------------------------------------------------ who may

ROUTES = [
    ("GET", "/webhooks"),
    ("POST", "/webhooks"),
    ("GET", "/webhooks/event-types"),
    ("GET", "/webhooks/{id}"),
    ("PATCH", "/webhooks/{id}"),
    ("DELETE", "/webhooks/{id}"),
    ("POST", "/webhooks/{id}/enable"),
    ("POST", "/webhooks/{id}/rotate-secret"),
    ("GET", "/webhooks/{id}/attempts"),
    ("GET", "/webhooks/{id}/dead-letters"),
    ("POST", "/webhooks/{id}/dead-letters/replay"),
    ("POST", "/webhooks/{id}/dead-letters/evt_0/replay"),
]


async def test_without_a_key_there_is_a_401_that_asks_for_one(stand: Stand, tenant: Tenant) -> None:
    made = await tenant.webhook(URL)
    for prefix in ("/v1", ""):
        for method, path in ROUTES:
            answer = await stand.client.request(method, prefix + path.format(id=made["id"]))
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Basic realm=")
            assert answer.json()["error"]["code"] == "BLUM-401-001"
            assert answer.json()["error"]["type"] == "authentication_error"


async def test_a_wrong_key_is_refused(stand: Stand, tenant: Tenant) -> None:
    other = Tenant(stand.client, tenant.key, tenant.secret[:-1] + "x", tenant.application)
    swapped = Tenant(stand.client, tenant.secret, tenant.key, tenant.application)
    for one in (other, swapped):
        error = (await one.call("GET", "/webhooks", status=401))["error"]
        assert error["code"] == "BLUM-401-003"
    for header in ("Basic ???", "Basic bm9jb2xvbg==", f"Bearer {tenant.key}", "x", "Basic"):
        answer = await stand.client.get("/webhooks", headers={"authorization": header})
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "BLUM-401-002", header


async def test_a_revoked_key_and_another_products_key_are_refused(stand: Stand, tenant: Tenant) -> None:
    access = stand.services.api_key
    shown = access.draw("bluum_test_", with_secret=True)
    application = tenant.application
    await access.register(shown, org_id="org_standard", app_id=application.id, scope="tenant", name="x")
    stranger = Tenant(stand.client, shown.key, shown.secret, application)
    assert (await stranger.call("GET", "/webhooks", status=401))["error"]["code"] == "BLUM-401-003"
    await tenant.call("GET", "/webhooks")
    for key in await access.keys(stand.org_id):
        await access.revoke(stand.org_id, key.id)
    await tenant.call("GET", "/webhooks", status=401)


HOSTILE: list[Any] = [
    b"null", b"[[[[", b"{}{}", b'{"url":1e999}', b"\xef\xbb\xbf{}", b"[" * 100_000,
    b'"' + b"x" * 100_000 + b'"', b'{"url":"\\ud800"}', {"event_ids": ["\u0661"]},
    {"url": {}, "eventTypeNames": {}}, {"url": [], "eventTypeNames": [[]]}, {"eventTypeNames": ["*"] * 1001},
    {"url": "http://" + "x" * 5000, "eventTypeNames": ["*"]}, {"url": "\x00", "eventTypeNames": ["\x00"]},
    {"status": {}, "name": [], "description": 1}, {"since": "9999-12-31T23:59:59-23:59"},
    {"since": "0001-01-01T00:00:00+23:59"}, {"since": 5, "until": {}}, {"event_ids": {"a": 1}},
    {"event_ids": ["evt_" + "z" * 27]}, {"symbol": {"a": []}, "qty": -1, "type": None},
    {"account_id": [], "amount": {"x": "{y}"}, "currency": None, "simulate": []},
]  # fmt: skip


async def test_hostile_bodies_are_refused_or_taken_and_never_an_accident(tenant: Tenant) -> None:
    made = await tenant.webhook(URL)
    sandbox = [("POST", "/trading/accounts/a/orders"), ("POST", "/transfers/deposits")]
    for method, path in (*(one for one in ROUTES if one[0] in ("POST", "PATCH")), *sandbox):
        for body in HOSTILE:
            content = body if isinstance(body, bytes) else msgspec.json.encode(body)
            answer = await tenant.client.request(
                method,
                f"/v1{path.format(id=made['id'])}",
                content=content,
                headers={"authorization": f"Basic {tenant.auth}"},
            )
            assert answer.status_code < 500, (method, path, content[:80], answer.text)


async def test_an_investors_key_is_refused_on_every_route(stand: Stand) -> None:
    tenant, investor = await stand.tenant()
    made = await tenant.webhook(URL)
    for prefix in ("/v1", ""):
        for method, path in ROUTES:
            answer = await investor.call(method, path.format(id=made["id"]), {}, status=403, prefix=prefix)
            assert answer["error"]["type"] == "permission_error"
            assert answer["error"]["code"] == "BLUM-403-001"


async def test_promise_6_a_tenant_sees_nothing_of_another(stand: Stand, tenant: Tenant) -> None:
    made = await tenant.webhook(URL)
    outsider, _ = await stand.tenant("outsider")
    assert await outsider.listed("/webhooks") == []
    for method, path in ROUTES[3:]:
        answer = await outsider.call(method, path.format(id=made["id"]), {}, status=404)
        assert answer["error"]["code"] == "BLUM-404-001"
    assert len(await tenant.listed("/webhooks")) == 1


async def test_ids_that_are_none_are_not_found(tenant: Tenant) -> None:
    made = await tenant.webhook(URL)
    for wrong in ("x", "wh_", "ep_" + made["id"][3:], made["id"] + "0", "wh_" + "0" * 27, "%00"):
        await tenant.call("GET", f"/webhooks/{wrong}", status=404)
    for method, path in (("PUT", "/webhooks"), ("POST", "/webhooks/x"), ("GET", "/webhooks/x/y/z")):
        error = (await tenant.call(method, path, status=404))["error"]
        assert error["code"] == "BLUM-404-002"


async def test_the_field_of_event_types_and_wildcards_are_the_profiles_affair(database: Database) -> None:
    profile = profiles.load("bluum")
    management = msgspec.structs.replace(profile.management, types_field="topics", wildcards=False)
    product = bluum(msgspec.structs.replace(profile, management=management))
    async with standing(database, product=product) as stand:
        tenant, _ = await stand.tenant()
        body = {"url": URL, "topics": ["order.filled"]}
        made = await tenant.call("POST", "/webhooks", body, status=201)
        assert made["topics"] == ["order.filled"]
        error = await refused(tenant, "POST", "/webhooks", {"url": URL, "topics": ["order.*"]})
        assert error["param"] == "topics"
        error = await refused(tenant, "POST", "/webhooks", {"url": URL, "events": ["order.filled"]})
        assert "topics" in error["message"]


async def test_an_internal_error_shows_no_details(
    stand: Stand, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(stand.services.endpoint, "page", broken)
    error = (await tenant.call("GET", "/webhooks", status=500))["error"]
    assert error == {
        "type": "api_error",
        "code": "BLUM-500-001",
        "message": "Something went wrong on our side.",
    }


# --------------------------------------------------------------------------------------- production, secrets


async def test_production_takes_https_only(database: Database) -> None:
    async with standing(database, https_only=True, sandbox=False) as stand:
        tenant, _ = await stand.tenant()
        error = await refused(tenant, "POST", "/webhooks", CREATE)
        assert error["param"] == "url"
        assert "https" in error["message"].lower()
        await tenant.webhook("https://abc123.ngrok.io/webhooks/bluum?x=1")


async def test_public_urls_with_any_path_and_query_are_taken(tenant: Tenant) -> None:
    for url in (
        "https://webhook.site/0b2c-11",
        "https://abc123.ngrok.io/a/b?c=d&e=%20",
        "https://a.example:8443/",
    ):
        assert (await tenant.webhook(url))["url"] == url


async def test_secrets_are_each_webhooks_own_and_shown_on_making_and_rotating_only(tenant: Tenant) -> None:
    first, second = await tenant.webhook(URL), await tenant.webhook(URL)
    assert first["secret"] != second["secret"]
    one = f"/webhooks/{first['id']}"
    rotated = await tenant.call("POST", f"{one}/rotate-secret")
    assert rotated["secret"] not in (first["secret"], second["secret"])
    assert set(rotated) == SHAPE | {"secret", "previous_secret_expires_at"}
    for method, path, body in (
        ("GET", one, None),
        ("PATCH", one, {"description": "x"}),
        ("POST", f"{one}/enable", None),
        ("GET", f"{one}/attempts", None),
        ("GET", f"{one}/dead-letters", None),
        ("GET", "/webhooks", None),
    ):
        assert "whsec_" not in str(await tenant.call(method, path, body))


async def test_status_disabled_and_enable(tenant: Tenant) -> None:
    made = await tenant.webhook(URL)
    one = f"/webhooks/{made['id']}"
    disabled = await tenant.call("PATCH", one, {"status": "disabled"})
    assert (disabled["status"], disabled["disabled_reason"]) == ("disabled", "manual")
    assert (await tenant.call("POST", f"{one}/enable"))["status"] == "active"


async def test_the_native_document_does_not_speak_of_bluum(stand: Stand) -> None:
    paths = (await stand.client.get("/api/v1/openapi.json")).json()["paths"]
    assert not [path for path in paths if "webhooks" in path]


async def test_the_sandbox_is_never_in_production(database: Database) -> None:
    async with standing(database, sandbox=False) as stand:
        tenant, _ = await stand.tenant()
        for prefix in ("/v1", ""):
            await tenant.call(
                "POST", "/trading/accounts/a/orders", {"symbol": "AAPL"}, status=404, prefix=prefix
            )
        app = create_app(stand.services)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://angarium.test") as client:
            assert (await client.post("/v1/transfers/deposits")).status_code == 404
