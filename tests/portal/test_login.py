"""The way in: what opens a session and what does not, where it leads, and the cookie that comes of it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from angarium.api.upload import STRANGER_LIMIT
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.service.token import SESSION_LIFETIME
from angarium.store.database import Database
from tests.kit.stand import ORG, URL, Stand, product, standing
from tests.portal.visitor import Visitor, link, visiting

HTTPS = "https://hooks.example.com"


@asynccontextmanager
async def stranger(stand: Stand, base: str = URL) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(stand.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        yield client


def key_of(url: str) -> str:
    return url.partition("#key=")[2]


def packed(**values: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def cookies(answer: httpx.Response) -> dict[str, tuple[str, set[str]]]:
    """Each cookie that is set: its value and its attributes, in lower case."""
    found = {}
    for line in answer.headers.get_list("set-cookie"):
        first, *attributes = (part.strip() for part in line.split(";"))
        name, _, value = first.partition("=")
        found[name] = (value, {attribute.lower() for attribute in attributes})
    return found


# -- keys


async def test_a_key_opens_a_session_for_its_application_alone(stand: Stand) -> None:
    async with stranger(stand) as client:
        answer = await client.post("/login/session", json={"key": key_of(link(stand))})
        assert answer.json() == {"location": f"/portal/{stand.app_id}"}
        assert answer.headers["cache-control"] == "no-store"
        assert (await client.get(f"/portal/{stand.app_id}")).status_code == 200
        other = await stand.native("POST", "//app", {"name": "other"})
        assert (await client.get(f"/portal/{other['id']}")).status_code == 401


NO_KEYS = [
    "",
    "x",
    "nonsense",
    "=",
    "e30",
    "bnVsbA",
    "W10",
    "\u00e9",
    "a" * 10_000,
    "eyJhcHBJZCI6MX0",
    "../..",
    "\x00",
]


async def test_a_key_that_is_none_opens_nothing(stand: Stand) -> None:
    for key in NO_KEYS:
        async with stranger(stand) as client:
            answer = await client.post("/login/session", json={"key": key})
            assert answer.status_code == 401
            assert answer.json() == {"detail": "This link is no longer valid. Ask for a new one."}
            assert "set-cookie" not in answer.headers


NO_BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"{}",
    b'{"key":1}',
    b'{"key":null}',
    b'{"key":"\xff"}',
    b'{"key":"\\ud800"}',
    b'{"key":"x","framed":"yes"}',
    b"key=x",
    b"[" * 16_000,
    b"x" * 100_000,
]


async def test_a_body_that_is_none_opens_nothing(stand: Stand) -> None:
    for body in NO_BODIES:
        async with stranger(stand) as client:
            answer = await client.post("/login/session", content=body)
            assert answer.status_code == (413 if len(body) > STRANGER_LIMIT else 401)
            assert "set-cookie" not in answer.headers


async def test_no_other_token_is_a_key(stand: Stand) -> None:
    owner = ids.parse(ids.APPLICATION, stand.app_id)
    assert owner is not None
    token = stand.services.token
    made = stand.services.portal_link.make(ORG, owner)
    session = (await stand.services.portal_link.open(made.key)).token
    other = await stand.native("POST", "//app", {"name": "other"})
    async with stranger(stand) as client:
        for tried in (
            packed(appId=stand.app_id, token=token.for_organization(ORG)),
            packed(appId=stand.app_id, token=session),  # or a session would never end
            packed(appId=other["id"], token=made.token),
            packed(appId=stand.app_id, token=made.token[:-4] + "AAAA"),
            packed(appId=stand.app_id, token=""),
            packed(appId="", token=made.token),
            packed(token=made.token),
            packed(appId=stand.app_id),
            made.token,
        ):
            answer = await client.post("/login/session", json={"key": tried})
            assert answer.status_code == 401, tried
        # and the link's token itself is no cookie
        answer = await client.get(
            f"/portal/{stand.app_id}", headers={"cookie": f"angarium-{stand.app_id}={made.token}"}
        )
        assert answer.status_code == 401


async def test_a_link_opens_until_it_expires_and_its_session_ends_with_it(stand: Stand) -> None:
    owner = ids.parse(ids.APPLICATION, stand.app_id)
    assert owner is not None
    made = stand.services.portal_link.make(ORG, owner, lifetime=3600).url(URL)
    async with stranger(stand) as client:
        await stand.clock.advance_to(stand.clock.now() + 3000)
        answer = await client.post("/login/session", json={"key": key_of(made)})
        ((_, attributes),) = [v for n, v in cookies(answer).items() if n != "angarium-theme"]
        assert "max-age=600" in attributes
        await stand.clock.advance_to(stand.clock.now() + 700)
        assert (await client.get(f"/portal/{stand.app_id}")).status_code == 401
        assert (await client.post("/login/session", json={"key": key_of(made)})).status_code == 401


async def test_a_session_ends_before_a_link_that_is_good_for_long(stand: Stand) -> None:
    made = link(stand)
    async with visiting(stand) as visitor:
        await stand.clock.advance_to(stand.clock.now() + SESSION_LIFETIME + 100)
        page = await visitor.get(status=401)
        assert "Your session has ended" in page
        assert (await visitor.enter(made)).is_success
        await visitor.get()


async def test_ending_all_links_ends_them_and_their_sessions(stand: Stand) -> None:
    made = link(stand)
    async with visiting(stand) as visitor:
        await stand.clock.advance_to(stand.clock.now() + 1)
        await stand.native("POST", f"//auth/app/{stand.app_id}/expire-all", {})
        await visitor.get(status=401)
        answer = await visitor.client.post("/login/session", json={"key": key_of(made)})
        assert answer.status_code == 401
    await stand.clock.advance_to(stand.clock.now() + 1)
    async with visiting(stand) as later:
        await later.get()


async def test_leaving_ends_this_session_and_no_other(stand: Stand) -> None:
    async with visiting(stand) as one, visiting(stand) as other:
        kept = dict(one.client.cookies)
        answer = await one.post("/logout")
        assert answer.headers["location"] == "/login?over=1"
        value, attributes = cookies(answer)[f"angarium-{stand.app_id}"]
        assert (value, "max-age=0" in attributes) == ("", True)
        one.client.cookies.update(kept)  # the cookie was kept
        await one.get(status=401)
        await other.get()


# -- other sites


FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": URL},
    {"origin": "https://evil.example"},
    {"origin": "https://evil.example.angarium.test"},
    {"origin": "http://angarium.test.evil.example"},
    {"origin": "http://angarium.test:81"},
    {"origin": "null"},
    {"origin": ""},
]


async def test_a_page_of_another_site_cannot_log_in_nor_post(stand: Stand, visitor: Visitor) -> None:
    for headers in FOREIGN:
        async with stranger(stand) as client:
            answer = await client.post("/login/session", json={"key": key_of(link(stand))}, headers=headers)
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers
        answer = await visitor.client.post(
            f"{visitor.base}/logout", data={"csrf_token": visitor.csrf_token}, headers=headers
        )
        assert answer.status_code == 403
        await visitor.get()


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": URL}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}],
)
async def test_a_page_of_ours_can(stand: Stand, visitor: Visitor, headers: dict[str, str]) -> None:
    answer = await visitor.client.post(
        f"{visitor.base}/logout", data={"csrf_token": visitor.csrf_token}, headers=headers
    )
    assert answer.status_code == 303


async def test_behind_a_proxy_the_public_url_is_ours_too(database: Database) -> None:
    async with (
        standing(database, product("standard"), base_url=HTTPS) as stand,
        stranger(stand, "http://10.0.0.5:8071") as client,
    ):
        body = {"key": key_of(link(stand))}
        answer = await client.post("/login/session", json=body, headers={"origin": HTTPS})
        assert answer.is_success
        answer = await client.post("/login/session", json=body, headers={"origin": "https://evil.example"})
        assert answer.status_code == 403


WRONG_CSRF_TOKENS = ["", "0" * 32, "é", "x" * 10_000]


async def test_a_form_needs_the_csrf_token_of_its_session(visitor: Visitor) -> None:
    for wrong in WRONG_CSRF_TOKENS:
        answer = await visitor.client.post(f"{visitor.base}/logout", data={"csrf_token": wrong})
        assert answer.status_code == 403
        answer = await visitor.client.post(f"{visitor.base}/logout", json={"csrf_token": visitor.csrf_token})
        assert answer.status_code == 400, "and is a form"
        await visitor.get()


# -- where to


DEEP = [
    "/messages",
    "/messages?status=failed&type=a.b",
    "/endpoints/ep_123",
    "/event-types/order.filled?x=%2A",
    "?a=b",
    "/",
]


async def test_next_leads_deep_into_the_portal(stand: Stand) -> None:
    for wanted in DEEP:
        async with stranger(stand) as client:
            body = {"key": key_of(link(stand)), "query": f"?next={quote(wanted, safe='')}"}
            answer = await client.post("/login/session", json=body)
            assert answer.json()["location"] == f"/portal/{stand.app_id}{wanted}"


HOSTILE = [
    "//evil.example",
    "https://evil.example",
    "http:evil.example",
    "javascript:alert(1)",
    "\\evil.example",
    "/\\evil.example",
    "/../../admin",
    "/..",
    "/%2e%2e/admin",
    "/a//evil.example",
    "/a\nb",
    "/a\r\nlocation: x",
    "@evil.example",
    ".evil.example",
    ":80/",
    "/a#b",
    "/a?b=<script>",
    "/\u2025/x",
    "/a b",
    "messages",
    "/" + "a" * 3000,
]


async def test_a_hostile_next_leads_to_the_first_page(stand: Stand) -> None:
    for wanted in HOSTILE:
        async with stranger(stand) as client:
            body = {"key": key_of(link(stand)), "query": f"?next={quote(wanted, safe='')}"}
            location = (await client.post("/login/session", json=body)).json()["location"]
            assert re.fullmatch(rf"/portal/{stand.app_id}(/a+)?", location), location


# -- the cookie


async def test_over_http_the_cookie_is_lax_and_no_script_reads_it(stand: Stand) -> None:
    async with stranger(stand) as client:
        answer = await client.post("/login/session", json={"key": key_of(link(stand))})
        found = cookies(answer)
        assert set(found) == {f"angarium-{stand.app_id}", "angarium-theme"}
        for _, attributes in found.values():
            assert {"httponly", "samesite=lax", "path=/"} <= attributes
            assert not any(one.startswith("domain") for one in attributes)
            assert "secure" not in attributes
        assert f"max-age={int(SESSION_LIFETIME)}" in found[f"angarium-{stand.app_id}"][1]


async def test_over_https_it_never_travels_in_the_clear_and_is_this_hosts_alone(database: Database) -> None:
    async with (
        standing(database, product("standard"), base_url=HTTPS) as stand,
        stranger(stand, HTTPS) as client,
    ):
        answer = await client.post("/login/session", json={"key": key_of(link(stand))})
        found = cookies(answer)
        assert f"__Host-angarium-{stand.app_id}" in found
        for _, attributes in found.values():
            assert {"httponly", "samesite=lax", "path=/", "secure"} <= attributes
        assert (await client.get(f"/portal/{stand.app_id}")).status_code == 200
        value, _ = found[f"__Host-angarium-{stand.app_id}"]
        async with stranger(stand, HTTPS) as other:
            answer = await other.get(
                f"/portal/{stand.app_id}", headers={"cookie": f"angarium-{stand.app_id}={value}"}
            )
            assert answer.status_code == 401, "a cookie that any host nearby may have set"


async def test_behind_tls_that_nobody_configured_it_never_travels_in_the_clear(stand: Stand) -> None:
    """Any client may claim https: it makes its own cookie stricter."""
    tls = {"x-forwarded-proto": "https"}
    async with stranger(stand) as client:
        answer = await client.post("/login/session", json={"key": key_of(link(stand))}, headers=tls)
        found = cookies(answer)
        assert f"__Host-angarium-{stand.app_id}" in found
        assert all("secure" in attributes for _, attributes in found.values())
        value, _ = found[f"__Host-angarium-{stand.app_id}"]
        answer = await client.get(
            f"/portal/{stand.app_id}",
            headers={**tls, "cookie": f"__Host-angarium-{stand.app_id}={value}"},
        )
        assert answer.status_code == 200


@pytest.mark.parametrize("allowed", [True, False])
async def test_in_a_frame_it_is_partitioned_where_frames_are_allowed(
    database: Database, allowed: bool
) -> None:
    ancestors = ["https://shop.example"] if allowed else []
    async with (
        standing(database, product("standard"), base_url=HTTPS, frame_ancestors=ancestors) as stand,
        stranger(stand, HTTPS) as client,
    ):
        answer = await client.post("/login/session", json={"key": key_of(link(stand)), "framed": True})
        for _, attributes in cookies(answer).values():
            assert ({"samesite=none", "partitioned", "secure"} <= attributes) == allowed
            assert ("samesite=lax" in attributes) != allowed
            assert "httponly" in attributes


async def test_each_application_has_a_cookie_of_its_own(stand: Stand) -> None:
    other = await stand.native("POST", "//app", {"name": "other"})
    async with stranger(stand) as client:
        for app_id in (stand.app_id, other["id"]):
            body = {"key": key_of(link(stand, app_id=app_id))}
            assert (await client.post("/login/session", json=body)).is_success
        for app_id in (stand.app_id, other["id"]):
            assert (await client.get(f"/portal/{app_id}")).status_code == 200


async def test_the_cookie_of_one_application_does_nothing_for_another(stand: Stand, visitor: Visitor) -> None:
    other = await stand.native("POST", "//app", {"name": "other"})
    value = SimpleCookie({f"angarium-{other['id']}": visitor.client.cookies[f"angarium-{stand.app_id}"]})
    async with stranger(stand) as client:
        answer = await client.get(
            f"/portal/{other['id']}", headers={"cookie": value.output(header="").strip()}
        )
        assert answer.status_code == 401


NO_COOKIES = ["", "x", "a.b.c", "é", '"', "x" * 5000]


async def test_a_cookie_that_is_none_is_no_session(stand: Stand) -> None:
    for value in NO_COOKIES:
        async with stranger(stand) as client:
            header = f"angarium-{stand.app_id}={value}".encode()
            answer = await client.get(f"/portal/{stand.app_id}", headers=[(b"cookie", header)])
            assert answer.status_code == 401


# -- pages


async def test_every_page_says_what_it_may_load(stand: Stand, visitor: Visitor) -> None:
    for path in ("/login", visitor.base, f"{visitor.base}/play", f"{visitor.base}/nothing", "/portal/x"):
        answer = await visitor.client.get(path)
        if "text/html" not in answer.headers["content-type"]:
            continue
        policy = dict(
            part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'", path
        assert {policy[name] for name in ("script-src", "style-src", "connect-src", "form-action")} == {
            "'self'"
        }
        assert policy["img-src"].strip() == "'self'"
        assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-credentials" not in answer.headers


async def test_only_pages_of_the_allowed_origins_may_show_it(database: Database) -> None:
    origins = ["https://shop.example", "https://*.shop.example:8443"]
    async with (
        standing(database, product("standard"), frame_ancestors=origins) as stand,
        visiting(stand) as visitor,
    ):
        policy = (await visitor.client.get(visitor.base)).headers["content-security-policy"]
        assert policy.endswith("frame-ancestors https://shop.example https://*.shop.example:8443")


async def test_a_reader_may_leave(reader: Visitor) -> None:
    assert Capability.VIEW in Capability
    await reader.post("/logout")
    await reader.get(status=401)


async def test_a_deleted_application_has_no_portal(stand: Stand, visitor: Visitor) -> None:
    await stand.native("DELETE", f"//app/{stand.app_id}")
    await visitor.get(status=404)
