"""Any query, form or path of the portal gets a response, never an internal error."""

from __future__ import annotations

import random
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from starlette.routing import Route

from angarium.core import ids
from angarium.core.claims import Claims
from angarium.portal import app as portal
from angarium.portal.kit import session
from tests.kit.access import Crowd
from tests.kit.stand import ORG, URL, Stand

HOSTILE = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "\n",
    "\r\nset-cookie: x=1",
    "\x1b[31m",
    "%00",
    "%",
    "%zz",
    "\udcff",
    "\u202e",
    "é" * 3000,
    "🐘" * 500,
    "İ",
    "ß",
    "\u017f",
    "a" * 100_000,
    "-1",
    "0",
    "1e309",
    "99999999999999999999",
    "NaN",
    "true",
    "null",
    "[]",
    "{}",
    "{{7*7}}",
    "${7*7}",
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=x>",
    "' or 1=1 --",
    "../../etc/passwd",
    "//evil.example",
    "javascript:alert(1)",
    "2026-13-45T99:99",
    "0001-01-01T00:00",
    "9999-12-31T23:59",
    "msg_",
    "ep_" + "z" * 27,
    "app_" + "0" * 27,
    "msg_0.ep_0",
    ".",
    "..",
    "*",
    "a.*",
    "*.a",
    "\ufeff",
]
NAMES = [
    "url",
    "name",
    "description",
    "types",
    "event_types",
    "channels",
    "rate",
    "rate_limit",
    "fifo",
    "order",
    "headers",
    "header_name",
    "header_value",
    "secret",
    "payload",
    "type",
    "status",
    "endpoint",
    "http",
    "error",
    "id",
    "tag",
    "channel",
    "since",
    "until",
    "within",
    "before",
    "after",
    "cursor",
    "seen",
    "what",
    "done",
    "span",
    "in",
    "q",
    "health",
    "application",
    "token",
    "next",
    "code",
    "delay",
    "failures",
    "percent",
    "confirm",
    "rate",
    "csrf_token",
    "attempt",
    "request",
    "example",
    "grace",
    "key",
    "limit",
    "page",
]
SEED = 20261121
TRIES = 10  # of each page and action


def _fields(chance: random.Random) -> list[tuple[str, str]]:
    count = chance.choice((1, 2, 5, 30))
    return [(chance.choice(NAMES), chance.choice(HOSTILE)) for _ in range(count)]


def _encoded(fields: list[tuple[str, str]]) -> str:
    return "&".join(
        f"{quote(name)}={quote(value.encode('utf-8', 'surrogateescape'))}" for name, value in fields
    )


def _routes(method: str) -> Iterator[str]:
    for route in portal.routes():
        if isinstance(route, Route) and method in (route.methods or ()) and not route.path.endswith("/live"):
            yield route.path


def _path(chance: random.Random, path: str, places: dict[str, str]) -> str:
    """The path with the right things in their places, or hostile ones."""
    for name, value in places.items():
        if name != "app_id" and chance.random() < 0.3:
            value = quote(chance.choice(HOSTILE)[:2000].encode("utf-8", "surrogateescape"), safe="")
        path = path.replace(f"{{{name}}}", value)
    return path


@pytest.fixture
async def places(stand: Stand) -> dict[str, str]:
    await stand.native("POST", "//event-type", {"name": "order.filled", "description": ""})
    endpoint = await stand.endpoint("http://127.0.0.1:9/hook")
    sent = await stand.send("order.filled")
    return {
        "app_id": stand.app_id, "endpoint": endpoint, "message": sent["id"], "name": "order.filled",
        "task": "qtask_" + "0" * 27, "inbox": "play_" + "0" * 27,
    }  # fmt: skip


def _cookies(stand: Stand) -> tuple[dict[str, str], dict[str, str]]:
    token = stand.services.token

    def verified(text: str) -> Claims:
        return token.verify(text)

    operator = token.for_operator(verified(token.for_organization(ORG)))
    app_id = ids.parse(ids.APPLICATION, stand.app_id)
    assert app_id is not None
    customer = token.for_session(verified(token.for_application(ORG, app_id)))
    cookie = f"angarium-{stand.app_id}={customer}; angarium-operator={operator}"
    return {"cookie": cookie}, {
        "/portal": session.csrf_token_of(customer),
        "/admin": session.csrf_token_of(operator),
    }


async def test_no_query_is_a_fault_of_ours(stand: Stand, places: dict[str, str]) -> None:
    chance = random.Random(SEED)
    headers, _ = _cookies(stand)
    wrong, statuses = [], set()
    async with httpx.AsyncClient(transport=Crowd(stand.app), base_url=URL, headers=headers) as client:
        for path in _routes("GET"):
            for _ in range(TRIES):
                asked = f"{_path(chance, path, places)}?{_encoded(_fields(chance))}"
                more = {"hx-request": "true"} if chance.random() < 0.3 else {}
                answer = await client.get(asked[:50_000], headers=more)
                statuses.add(answer.status_code)
                if answer.status_code >= 500:
                    wrong.append(f"{answer.status_code}: {asked[:300]}")
                if "<script>alert(1)" in answer.text or "<img src=x" in answer.text:
                    wrong.append(f"put into the page as it is: {asked[:300]}")
                if "set-cookie" in answer.headers and "x=1" in answer.headers["set-cookie"]:
                    wrong.append(f"a header was smuggled in: {asked[:300]}")
    assert wrong == []
    assert {200, 404, 422} <= statuses, "not much was tried"


async def test_no_form_is_a_fault_of_ours(stand: Stand, places: dict[str, str]) -> None:
    chance = random.Random(SEED)
    headers, csrf_tokens = _cookies(stand)
    wrong, statuses = [], set()
    async with httpx.AsyncClient(transport=Crowd(stand.app), base_url=URL, headers=headers) as client:
        for path in _routes("POST"):
            if path.endswith(("/logout", "/delete")) or path.startswith("/play/in"):
                continue
            csrf_token = next((token for place, token in csrf_tokens.items() if path.startswith(place)), "")
            for _ in range(TRIES):
                fields = [
                    *(one for one in _fields(chance) if one[0] != "csrf_token"),
                    ("csrf_token", csrf_token),
                ]
                body = _encoded(fields).encode()
                if chance.random() < 0.1:
                    body = chance.randbytes(200)
                answer = await client.post(
                    _path(chance, path, places),
                    content=body,
                    headers={"content-type": "application/x-www-form-urlencoded"},
                )
                statuses.add(answer.status_code)
                if answer.status_code >= 500:
                    wrong.append(f"{answer.status_code}: {path} {str(fields)[:400]}")
                if "<script>alert(1)" in answer.text or "<img src=x" in answer.text:
                    wrong.append(f"put into the page as it is: {path} {str(fields)[:400]}")
    assert wrong == []
    assert {303, 400, 404, 422} <= statuses, "not much was tried"


async def test_a_form_of_too_many_or_too_large_fields_is_refused(
    stand: Stand, places: dict[str, str]
) -> None:
    headers, csrf_tokens = _cookies(stand)
    path = f"/portal/{stand.app_id}/endpoints"
    async with httpx.AsyncClient(transport=Crowd(stand.app), base_url=URL, headers=headers) as client:
        many = {"csrf_token": csrf_tokens["/portal"], **{f"f{number}": "x" for number in range(5000)}}
        assert (await client.post(path, data=many)).status_code == 400
        large = {"csrf_token": csrf_tokens["/portal"], "url": "x" * (3 * 1024 * 1024)}
        assert (await client.post(path, data=large)).status_code == 413
        other = await client.post(path, content=b"{}", headers={"content-type": "application/json"})
        assert other.status_code == 400
