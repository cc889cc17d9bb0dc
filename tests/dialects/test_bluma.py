"""Bluma's management API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from angarium.core import ids
from angarium.store.database import Database
from tests.dialects.bluma import Customer, Stand, standing

URL = "http://127.0.0.1:9/webhooks/bluma"
WARNING = "Save the webhook secret now. You will need it to verify webhook signatures."
SEVEN = ["id", "url", "events", "secret", "is_active", "created_at", "warning"]
EVENTS = [
    "credits.exhausted",
    "credits.low",
    "video.completed",
    "video.deleted",
    "video.failed",
    "video.processing",
    "video.queued",
]


@pytest.fixture
async def stand(database: Database) -> AsyncIterator[Stand]:
    async with standing(database) as stand:
        yield stand


@pytest.fixture
async def customer(stand: Stand) -> Customer:
    return await stand.customer()


async def test_a_webhook_is_made_and_the_answer_has_the_seven_documented_keys(
    customer: Customer,
) -> None:
    made = await customer.webhook(URL, "video.completed", "video.failed", "credits.low")
    assert list(made) == SEVEN
    assert made["id"].startswith("webhook_")
    assert made["url"] == URL
    assert made["events"] == ["video.completed", "video.failed", "credits.low"]
    assert made["secret"].startswith("whsec_")
    assert made["is_active"] is True
    assert made["warning"] == WARNING
    assert made["created_at"].endswith("Z")
    datetime.fromisoformat(made["created_at"])


async def test_a_secret_is_shown_once_only(stand: Stand, customer: Customer) -> None:
    made = await customer.webhook(URL)
    one, secret = f"/webhooks/{made['id']}", made["secret"]
    answers = [
        await customer.call("GET", one),
        await customer.call("GET", "/webhooks"),
        await customer.call("PATCH", one, {"description": "x"}),
        await customer.call("POST", f"{one}/enable"),
        await customer.call("GET", f"{one}/deliveries"),
    ]
    assert "secret" not in answers[0]
    assert secret not in str(answers)
    assert secret.removeprefix("whsec_") not in str(answers)
    # not for a customer's token of the native API either, which is what the portal has
    application = customer.application
    token = stand.services.token.for_application(stand.org_id, application.id)
    endpoint = ids.parse("webhook_", made["id"])
    assert endpoint is not None
    app_id = ids.text(ids.APPLICATION, application.id)
    path = f"/api/v1/app/{app_id}/endpoint/{ids.text(ids.ENDPOINT, endpoint)}/secret"
    answer = await stand.client.get(path, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert secret not in answer.text


async def test_a_body_is_json_whatever_the_content_type_says(customer: Customer) -> None:
    body = b'{"url": "http://127.0.0.1:9/", "events": ["video.completed"]}'
    for kind in (None, "application/x-www-form-urlencoded", "text/plain", "application/json"):
        headers = customer.headers | ({} if kind is None else {"content-type": kind})
        answer = await customer.client.post("/api/v1/webhooks", content=body, headers=headers)
        assert answer.status_code == 201, answer.text
        assert list(answer.json()) == SEVEN


async def test_a_webhook_deleted_and_made_again_has_another_id_and_secret(customer: Customer) -> None:
    first = await customer.webhook(URL)
    await customer.call("DELETE", f"/webhooks/{first['id']}", status=204)
    await customer.call("GET", f"/webhooks/{first['id']}", status=404)
    await customer.call("DELETE", f"/webhooks/{first['id']}", status=404)
    second = await customer.webhook(URL)
    assert first["id"] != second["id"]
    assert first["secret"] != second["secret"], "a secret belongs to one endpoint"
    listed = await customer.call("GET", "/webhooks")
    assert [one["id"] for one in listed["webhooks"]] == [second["id"]]


async def test_webhooks_are_listed_page_by_page_newest_first(customer: Customer) -> None:
    made = [(await customer.webhook(f"{URL}/{n}"))["id"] for n in range(5)]
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await customer.call("GET", "/webhooks", limit=2, **cursor)
        seen += [one["id"] for one in page["webhooks"]]
        if not page["has_more"]:
            assert page["next_cursor"] is None
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == made[::-1]
    up = await customer.call("GET", "/webhooks", order="asc")
    assert [one["id"] for one in up["webhooks"]] == made


async def test_any_part_of_a_webhook_can_be_changed(customer: Customer) -> None:
    made = await customer.webhook(URL)
    one = f"/webhooks/{made['id']}"
    assert (await customer.call("PATCH", one, {"events": ["credits.low"]}))["events"] == ["credits.low"]
    changed = await customer.call("PATCH", one, {"url": "http://127.0.0.1:9/other", "is_active": False})
    assert (changed["url"], changed["is_active"], changed["events"]) == (
        "http://127.0.0.1:9/other", False, ["credits.low"],
    )  # fmt: skip
    assert changed["disabled_reason"] == "manual"
    back = await customer.call("PATCH", one, {"is_active": True, "description": "ours"})
    assert (back["is_active"], back["description"], back["url"]) == (True, "ours", "http://127.0.0.1:9/other")
    await customer.call("PATCH", one, {}, status=400)
    await customer.call("PATCH", one, {"event": ["credits.low"]}, status=400)


async def test_without_a_valid_key_everything_is_401(stand: Stand) -> None:
    await stand.customer()
    shown: list[dict[str, str]] = [
        {"authorization": text}
        for text in ("Bearer nonsense", "Basic YTpi", "Bearer ", "Bearer bluma_test_0", "é")
    ]
    calls = (("GET", ""), ("POST", ""), ("GET", "/webhook_x"), ("DELETE", "/webhook_x/nothing"))
    for headers in [{}, *shown]:
        for method, path in calls:
            answer = await stand.client.request(
                method,
                f"/api/v1/webhooks{path}",
                headers={k.encode(): v.encode() for k, v in headers.items()},
            )
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            error = answer.json()["error"]
            assert (error["type"], error["status"]) == ("authentication_error", 401)
            assert {"type", "title", "status", "detail"} <= set(error)


async def test_keys_look_as_documented_and_a_wrong_scope_is_403(stand: Stand) -> None:
    assert (await stand.customer()).key.startswith("bluma_test_")
    (live,) = stand.provision.draw_keys(stand.product, sandbox=False)
    assert live.shown.key.startswith("bluma_live_")
    reader = await stand.customer("reader", scope="videos:create")
    refused = await reader.call("GET", "/webhooks", status=403)
    assert refused["error"]["type"] == "permission_denied"
    assert "webhooks:manage" in refused["error"]["detail"]


async def test_an_outsider_sees_nothing_of_another_customers_webhook(
    stand: Stand, customer: Customer
) -> None:
    made = await customer.webhook(URL)
    outsider = await stand.customer("outsider")
    one = f"/webhooks/{made['id']}"
    for method, path in (
        ("GET", one),
        ("PATCH", one),
        ("DELETE", one),
        ("GET", f"{one}/deliveries"),
        ("POST", f"{one}/enable"),
        ("POST", f"{one}/regenerate-secret"),
        ("POST", f"{one}/activate-secret"),
    ):
        body = {"description": "mine"} if method == "PATCH" else None
        refused = await outsider.call(method, path, body, status=404)
        assert refused["error"]["type"] == "not_found"
    assert (await outsider.call("GET", "/webhooks"))["webhooks"] == []
    assert (await customer.call("GET", one))["is_active"] is True


WRONG: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"url": URL}, "events", "at least one"),
    ({"url": URL, "events": []}, "events", "at least one"),
    ({"url": URL, "events": "video.completed"}, "events", "at least one"),
    ({"url": URL, "events": [1]}, "events", "at least one"),
    ({"url": URL, "events": ["video.complete"]}, "events", "'video.complete'"),
    ({"url": URL, "events": ["video.*"]}, "events", "'video.*'"),
    ({"url": URL, "eventTypes": ["video.completed"]}, "events", "events, not eventTypes"),
    ({"events": ["video.completed"]}, "url", "needed"),
    ({"url": 7, "events": ["video.completed"]}, "url", "text"),
    ({"url": "ftp://example.com", "events": ["video.completed"]}, "url", "http"),
    ({"url": URL, "events": ["video.completed"], "description": 7}, "description", "text"),
)


async def test_an_invalid_registration_is_reported(customer: Customer) -> None:
    for body, field, words in WRONG:
        error = (await customer.call("POST", "/webhooks", body, status=400))["error"]
        assert (error["type"], error["status"]) == ("invalid_request", 400)
        (fault,) = error["validation_errors"]
        assert fault["field"] == field
        assert words in fault["message"]
        if field == "events":
            assert all(name in fault["message"] for name in EVENTS), "the valid ones are named"


async def test_a_body_that_is_no_json_object_is_400(customer: Customer) -> None:
    for body in (b"{", b"[]", b"7", b'{"url": ...}', b"\xff", b'{"url": "\\u0000"}'):
        answer = await customer.client.post("/api/v1/webhooks", content=body, headers=customer.headers)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["type"] == "invalid_request"


async def test_a_type_added_later_can_be_subscribed_and_reaches_no_other_webhook(
    stand: Stand, customer: Customer
) -> None:
    from angarium.service.event_type import EventTypeDraft

    await customer.webhook(URL, "video.completed")
    await stand.services.event_type.create(stand.org_id, "video.shared", EventTypeDraft("Shared."))
    await stand.emit(customer, "video.shared")
    assert await stand.world.states() == {}
    assert (await customer.webhook(URL, "video.shared"))["events"] == ["video.shared"]


async def test_paths_that_are_nothing_answer_in_the_products_form_and_the_native_api_is_beside_them(
    stand: Stand, customer: Customer
) -> None:
    for method, path in (("PUT", "/webhooks"), ("POST", "/webhooks/x"), ("GET", "/webhooks/x/y/z")):
        error = (await customer.call(method, path, status=404))["error"]
        assert error["type"] == "not_found"
    for wrong in ({"limit": "0"}, {"limit": "x"}, {"order": "up"}, {"cursor": "webhook_x"}):
        await customer.call("GET", "/webhooks", status=400, **wrong)
    token = stand.services.token.for_organization(stand.org_id)
    native = {"authorization": f"Bearer {token}"}
    answer = await stand.client.get("/api/v1/app", headers=native)
    assert [one["uid"] for one in answer.json()["data"]] == ["first"]
    refused = await stand.client.get("/api/v1/webhooks", headers=native)
    assert refused.status_code == 401, "an organization's token is no key of the product"
    assert (await stand.client.get("/api/v1/app", headers=customer.headers)).status_code == 401


async def test_production_takes_https_only(database: Database) -> None:
    async with standing(database, https_only=True, sandbox=False) as stand:
        customer = await stand.customer()
        refused = await customer.call(
            "POST", "/webhooks", {"url": "http://example.com/", "events": ["video.completed"]}, status=400
        )
        assert refused["error"]["validation_errors"][0]["field"] == "url"
        assert "https" in refused["error"]["detail"]
        for url in ("https://abc123.ngrok.io/webhooks/bluma", "https://webhook.site/your-unique-id?a=1&b"):
            assert (await customer.webhook(url))["url"] == url
        answer = await stand.client.post("/api/v1/videos", headers=customer.headers, content=b"{}")
        assert answer.status_code == 404, "the sandbox is not there in production"


async def test_too_much_at_once_is_429_and_a_database_that_is_away_503(stand: Stand) -> None:
    from angarium.api.dialects.bluma_wire import refusal
    from angarium.core.errors import BodyTooLarge, Overloaded, StoreUnavailable

    crowded, away, large = (
        refusal(Overloaded(retry_after=2.5)),
        refusal(StoreUnavailable()),
        refusal(BodyTooLarge()),
    )
    assert (crowded.status_code, crowded.headers["retry-after"]) == (429, "3")
    assert b'"rate_limit_exceeded"' in bytes(crowded.body)
    assert (away.status_code, away.headers["retry-after"]) == (503, "1")
    assert large.status_code == 413
