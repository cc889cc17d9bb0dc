"""What holds for every route: errors, bodies, slashes, CORS, idempotency, documents, health."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from html import unescape
from typing import Any

import asyncpg
import httpx
import pytest
from svix.api import (
    ApplicationIn,
    EndpointHeadersIn,
    EndpointIn,
    EndpointListOptions,
    EndpointPatch,
    EndpointSecretRotateIn,
    EventTypeIn,
    SvixAsync,
    SvixOptions,
)

from angarium.api.app import create_app
from angarium.api.edge import Edge
from angarium.api.route import API_PATH
from angarium.core.event import Events
from angarium.core.inbox import PATH as INBOX
from angarium.core.nouns import MAX_TEXT
from angarium.portal import app as portal
from tests.api.conftest import Api, Backend
from tests.api.operation import NATIVE, ORG
from tests.api.sample import SampleServer, bearer
from tests.api.serving import serving
from tests.kit.access import operations
from tests.kit.patience import PATIENCE

HSTS = "strict-transport-security"


async def send(api: Api, method: str, path: str, content: bytes, **headers: str) -> httpx.Response:
    every = {"authorization": f"Bearer {api.token}", **headers}
    return await api.client.request(method, f"/api/v1{path}", content=content, headers=every)


async def test_unknown_routes_answer_in_json(client: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/api/v1/nothing", "/api/v1/app/a/nothing", "/api//v1/app", "/api/v1"):
        answer = await client.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["code"] == "not_found"
    answer = await client.delete("/api/v1/app")
    assert answer.status_code == 405
    assert answer.json() == {"code": "method_not_allowed", "detail": "Method Not Allowed"}


async def test_leading_and_trailing_slashes_are_ignored(api: Api) -> None:
    app = await api.application(uid="slash")
    for path in ("/app/slash/", "/app/slash//"):
        assert (await api.get(path))["id"] == app
    await api.post("/app/", {"name": "A"})
    await api.get("/app/slash/endpoint/")
    await api.get("/app//slash", status=404)
    for path in ("//api/v1/app/slash", "///api/v1/app/slash//"):
        answer = await api.client.get(
            f"http://angarium.test{path}", headers={"authorization": f"Bearer {api.token}"}
        )
        assert answer.json()["id"] == app


async def test_head_is_get_without_the_body_on_every_path(sample: SampleServer) -> None:
    """Paths with a method of their own for HEAD, and inboxes of Play, which take every method, are others."""
    wrong = []
    token = bearer(sample.services.token.for_organization(ORG))
    for method, path in operations(sample.app):
        if method != "GET" or path.startswith(INBOX) or path.endswith(("/fetch", "/live")):
            continue
        got = await sample.call("GET", path, token, NATIVE.get((method, path), (None, None))[1])
        head = await sample.call("HEAD", path, token, NATIVE.get((method, path), (None, None))[1])
        if head.status_code != got.status_code or head.content:
            wrong.append((path, got.status_code, head.status_code, len(head.content)))
    assert wrong == []


async def test_head_does_not_wait_for_an_endless_response(backend: Backend) -> None:
    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    assert isinstance(backend.app, Edge)
    backend.app._app = endless
    async with serving(backend.app) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        assert (await client.head("/anything")).status_code == 200


async def test_options_lists_the_methods_of_a_path(client: httpx.AsyncClient) -> None:
    answer = await client.options("/api/v1/app")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["allow"] == "GET, POST"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert (await client.options("/api/v1/app/x/msg/")).headers["allow"] == "GET, POST"
    assert (await client.options("/api/v1/app/x")).headers["allow"] == "GET, PUT, PATCH, DELETE"
    assert (await client.options("/nothing")).status_code == 404


async def test_every_response_has_nosniff(sample: SampleServer) -> None:
    """Pages, documents, errors and redirects alike, and each header once."""
    wrong = []
    for method, path in {*operations(sample.app), ("GET", "/nothing"), ("OPTIONS", "/api/v1/app")}:
        if path.endswith(("/fetch", "/live")):
            continue
        answer = await sample.call(method, path, {}, None)
        safe = [answer.headers.get_list(name) for name in ("x-content-type-options", HSTS)]
        if safe != [["nosniff"], ["max-age=31536000"]]:
            wrong.append((method, path, safe))
    assert wrong == []


@pytest.mark.parametrize(("base_url", "told"), [("https://a.example", True), ("http://a.example", False)])
async def test_hsts_is_sent_unless_clients_use_http(backend: Backend, base_url: str, told: bool) -> None:
    app = create_app(backend.services, base_url=base_url)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a.example") as client:
        assert (HSTS in (await client.get("/docs")).headers) is told


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"",
        b"   ",
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b"\xff\xfe",
        b'{"name": "\x01"}',
        b'{"name": "a\\u0000b"}',
        b'{"name": "\\ud800"}',
        b'{"name": "\\uDC00\\uD800"}',
        b'{"name": "a", "metadata": {"a\\u0000": "b"}}',
        b'{"name": "a", "metadata": {"a": "\\u0000"}}',
        b'{"name": "a", "x": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"name": "a"} trailing',
        b"name=a",
    ],
)
async def test_a_body_that_is_not_usable_json_is_422(api: Api, content: bytes) -> None:
    answer = await send(api, "POST", "/app", content)
    assert answer.status_code == 422, answer.text
    fault = answer.json()["detail"][0]
    assert set(fault) == {"loc", "msg", "type"}
    assert fault["loc"][0] == "body"


async def test_an_escaped_backslash_before_u0000_is_not_nul(api: Api) -> None:
    answer = await send(api, "POST", "/app", b'{"name": "a\\\\u0000b \\ud83d\\ude00"}')
    assert answer.status_code == 201
    assert answer.json()["name"] == "a\\u0000b \U0001f600"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/x"]
)
async def test_the_content_type_does_not_matter(api: Api, content_type: str) -> None:
    answer = await send(api, "POST", "/app", b'{"name": "a"}', **{"content-type": content_type})
    assert answer.status_code == 201


async def test_the_body_of_an_unauthenticated_request_is_not_read(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/app", content=b"{")
    assert answer.status_code == 401


async def test_a_body_above_the_limit_is_413_with_or_without_content_length(api: Api) -> None:
    big = json.dumps({"name": "a", "x": "y" * (2 * 1024 * 1024)}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    for content in (big, chunks()):
        answer = await api.client.post(
            "/api/v1/app", content=content, headers={"authorization": f"Bearer {api.token}"}
        )
        assert answer.status_code == 413
        assert answer.json()["code"] == "payload_too_large"
    fits = json.dumps({"name": "a", "x": "y" * (2 * 1024 * 1024 - 100)}).encode()
    assert (await send(api, "POST", "/app", fits)).status_code == 201


async def test_any_origin_may_send_requests(api: Api) -> None:
    preflight = await api.client.options(
        "/api/v1/app",
        headers={
            "origin": "https://a.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-anything",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-allow-headers"] == "authorization,x-anything"
    assert preflight.headers["access-control-max-age"] == "600"
    for headers in ({"authorization": f"Bearer {api.token}"}, {}):
        answer = await api.client.get("/api/v1/app", headers={"origin": "https://a.example", **headers})
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_the_same_key_gets_the_first_response_for_any_body(
    api: Api, new_organization: Callable[[], Api], backend: Backend
) -> None:
    key = {"idempotency-key": "k-1"}
    first = await api.post("/app", {"name": "First"}, headers=key)
    assert await api.post("/app", {"name": "Second"}, headers=key) == first
    assert len((await api.get("/app"))["data"]) == 1
    other = await api.post("/event-type", {"name": "e", "description": ""}, headers=key)
    assert other["name"] == "e"
    stranger = new_organization()
    assert (await stranger.post("/app", {"name": "Theirs"}, headers=key))["name"] == "Theirs"
    backend.clock.ahead += 12 * 3600 + 1
    again = await api.post("/app", {"name": "Later"}, headers=key)
    assert again["name"] == "Later"


async def test_only_successful_responses_are_stored(api: Api) -> None:
    key = {"idempotency-key": "k-2"}
    await api.post("/app", {"name": ""}, status=422, headers=key)
    await api.post("/app", {"name": "A", "uid": "u"}, headers=key)
    other = {"idempotency-key": "k-3"}
    await api.post("/app", {"name": "A", "uid": "u"}, status=409, headers=other)
    await api.delete("/app/u")
    await api.post("/app", {"name": "A", "uid": "u"}, headers=other)
    app = await api.application()
    path = f"/app/{app}/endpoint/{await api.endpoint(app)}/secret"
    for _ in range(3):
        await api.post(f"{path}/rotate", {}, status=204, headers={"idempotency-key": "k-4"})


async def test_of_concurrent_requests_with_one_key_one_is_executed(api: Api, backend: Backend) -> None:
    backend.clock.stop()  # no request times out
    key = {"idempotency-key": "k-5"}
    answers = await asyncio.gather(*[api.post("/app", {"name": f"n{i}"}, headers=key) for i in range(8)])
    assert len({answer["id"] for answer in answers}) == 1
    assert len((await api.get("/app"))["data"]) == 1


async def test_a_stored_response_is_sealed(api: Api, backend: Backend) -> None:
    await api.post("/app", {"name": "Confidential"}, headers={"idempotency-key": "k-6"})
    async with backend.services.database.connection() as connection:
        kept = await connection.fetchval("select body from angarium.idempotency")
    assert b"Confidential" not in kept


async def test_an_idempotency_key_without_a_token_is_not_stored(
    client: httpx.AsyncClient, backend: Backend
) -> None:
    answer = await client.post("/api/v1/app", content=b"{}", headers={"idempotency-key": "k-7"})
    assert answer.status_code == 401
    async with backend.services.database.connection() as connection:
        assert await connection.fetchval("select count(*) from angarium.idempotency") == 0


async def test_health_says_whether_the_database_answers(client: httpx.AsyncClient, backend: Backend) -> None:
    answer = await client.get("/api/v1/health")
    assert answer.status_code == 200
    assert answer.json()["database"] == {"status": "ok"}
    assert (await client.head("/api/v1/health")).status_code == 200
    for path in ("/api/v1/health/ping", "/api/v1/health/ping/"):
        for method in ("GET", "HEAD"):
            answer = await client.request(method, path)
            assert (answer.status_code, answer.content) == (204, b"")
    await backend.services.database.close()
    answer = await client.get("/api/v1/health")
    assert answer.status_code == 503
    assert answer.json()["database"] == {"status": "error", "reason": "unreachable"}


async def test_without_a_database_the_response_is_503_without_internal_details(
    api: Api, backend: Backend
) -> None:
    await backend.services.database.close()
    answer = await api.client.get("/api/v1/app", headers={"authorization": f"Bearer {api.token}"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["code"] == "store_unavailable"
    assert "pool" not in answer.text


async def test_an_internal_error_is_a_500_without_details(
    api: Api, backend: Backend, database_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute("alter table application rename to hidden")
    await owner.close()
    answer = await api.client.get("/api/v1/app", headers={"authorization": f"Bearer {api.token}"})
    assert answer.status_code == 500
    assert answer.json() == {"code": "internal_error", "detail": "Something went wrong on our side."}


async def test_the_document_describes_every_operation(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    operations = [
        operation["operationId"] for item in document["paths"].values() for operation in item.values()
    ]
    assert len(operations) == len(set(operations))
    assert len(operations) >= 41
    assert all(path.startswith("/api/v1/") for path in document["paths"])
    assert {"throttleRate", "eventTypes", "headers"} <= set(
        document["components"]["schemas"]["EndpointIn"]["properties"]
    )


async def test_pages_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    assert (await client.get("/")).headers["location"] == "/docs"
    for path, marker in (("/docs", "/api/v1/app/{app_id}/endpoint"), ("/login", "data-login")):
        page = await client.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert marker in page.text
        assert not re.search(r"(src|href)=.?(https?:)?//", page.text)
        assert "url(" not in page.text
    assert "style" in (await client.get("/style.css")).headers["content-type"].replace("css", "style")


@pytest.mark.parametrize("slashes", ["", "/", "//"])
async def test_whatever_a_public_page_refers_to_exists(client: httpx.AsyncClient, slashes: str) -> None:
    """Also after slashes at the end of its URL, which change what a relative URL means."""
    for path, least in (("/docs", 3), ("/login", 4), ("/admin/login", 5), ("/", 3)):
        page = await client.get(path + slashes, follow_redirects=True)
        assert page.status_code == 200, path
        found = re.findall(r"""(?:src|href|spec-url|action)=["']?([^"'> ]+)""", page.text)
        assert len(found) >= least, path
        for one in found:
            url = page.url.join(unescape(one))
            answer = await client.get(url)
            assert answer.status_code == 200, f"{path}{slashes}: {url}"


async def test_svixs_sdk_manages_everything(backend: Backend, new_organization: Callable[[], Api]) -> None:
    """Over real HTTP, because the SDK brings its own client."""
    api = new_organization()
    async with serving(backend.app) as url:
        svix = SvixAsync(api.token, SvixOptions(server_url=url))
        try:
            await _walk(svix)
        finally:
            await svix.application._httpx_client.aclose()  # the SDK offers no way to close it


async def _walk(svix: Any) -> None:
    app = await svix.application.create(ApplicationIn(name="SDK", uid="sdk", metadata={"a": "b"}))
    assert (await svix.application.get("sdk")).id == app.id
    await svix.event_type.create(EventTypeIn(name="user.created", description="", feature_flags=["f"]))
    endpoint = await svix.endpoint.create(
        "sdk", EndpointIn(url="http://localhost:9/", event_types=["user.created"], headers={"X-A": "1"})
    )
    assert endpoint.event_types == ["user.created"]
    patched = await svix.endpoint.patch("sdk", endpoint.id, EndpointPatch(throttle_rate=3))
    assert patched.throttle_rate == 3
    with suppress(json.JSONDecodeError):  # this SDK looks for JSON in an answer that has no body
        await svix.endpoint.rotate_secret("sdk", endpoint.id, EndpointSecretRotateIn())
    assert (await svix.endpoint.get_secret("sdk", endpoint.id)).key.startswith("whsec_")
    await svix.endpoint.set_headers("sdk", endpoint.id, EndpointHeadersIn(headers={"X-B": "2"}))
    assert (await svix.endpoint.get_headers("sdk", endpoint.id)).headers == {"X-B": "2"}
    page = await svix.endpoint.list("sdk", EndpointListOptions(limit=1))
    assert page.done
    await svix.endpoint.delete("sdk", endpoint.id)
    await svix.application.delete("sdk")


async def test_a_description_has_a_maximum_length(api: Api) -> None:
    """A customer may write it, and lists show 250 of them."""
    app = await api.application()
    body = {"url": "http://localhost:9/hook", "description": "x" * (MAX_TEXT + 1)}
    await api.post(f"/app/{app}/endpoint", body, status=422)
    endpoint = await api.endpoint(app, description="x" * MAX_TEXT)
    at = f"/app/{app}/endpoint/{endpoint}"
    await api.patch(at, {"description": body["description"]}, status=422)
    await api.call("PUT", at, body, status=422)
    await api.patch(at, {"metadata": {"a": "b"}})


class Labels(Events):
    """The routes that are counted."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        self.seen.append((method, route))


async def test_each_request_is_counted_under_the_whole_path_of_its_route(backend: Backend) -> None:
    labels = Labels()
    app = create_app(backend.services, sandbox=True, pages=portal.routes(), events=labels)
    every = list(operations(app))
    documented = {f"{API_PATH}{path}" for path in ("/app", "/app/{app_id}/msg", "/app/{app_id}/endpoint")}
    assert documented < {path for _method, path in every}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for method, path in every:
            called = re.sub(r"{[^}]*}", "x-1", path.replace("{rest:path}", "x-1/x-2/x-3/x-4/x-5"))
            await client.request(method, called)
            assert labels.seen.pop() == (method, path)
        await client.get("/x-1")
        assert labels.seen.pop() == ("GET", "none")
