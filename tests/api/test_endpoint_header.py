"""A secret header goes to the host that it was entered for, whichever request changes the URL."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from angarium.service.endpoint_field import SENSITIVE
from tests.api.conftest import Api

URL = "https://example.com/hook"
VALUE = "hunter2"
ELSEWHERE = (
    "https://example.org/hook",
    "https://example.com:8443/hook",
    "http://example.com/hook",
    "https://www.example.com/hook",
    "https://example.com.example.org/hook",
    "https://user:word@example.org/hook",
)


@pytest.fixture
async def app(api: Api) -> str:
    return await api.application()


async def guarded(api: Api, app: str, url: str = URL) -> str:
    """The path of an endpoint with a secret header and a readable one."""
    headers = {"X-Api-Key": VALUE, "X-Team": "books"}
    made = await api.post(f"/app/{app}/endpoint", {"url": url, "headers": headers})
    return f"/app/{app}/endpoint/{made['id']}"


@pytest.mark.parametrize("verb", ["patch", "put"])
async def test_a_new_host_is_refused_while_a_secret_header_would_go_there(
    api: Api, app: str, verb: str
) -> None:
    path = await guarded(api, app)
    for url in ELSEWHERE:
        refused = await getattr(api, verb)(path, {"url": url}, status=422)
        (fault,) = refused["detail"]
        assert fault["loc"] == ["body", "url"]
        assert "X-Api-Key" in fault["msg"]
        assert "X-Team" not in fault["msg"]
        assert VALUE not in str(refused)
    assert (await api.get(path))["url"] == URL


@pytest.mark.parametrize("verb", ["patch", "put"])
async def test_another_path_of_the_same_host_keeps_all_headers(api: Api, app: str, verb: str) -> None:
    path = await guarded(api, app)
    changed = await getattr(api, verb)(path, {"url": "https://EXAMPLE.com:443/other?q=1"})
    assert changed["url"] == "https://example.com/other?q=1"
    assert await api.get(f"{path}/headers") == {"headers": {"X-Team": "books"}, "sensitive": ["X-Api-Key"]}


async def test_a_new_host_is_accepted_if_secret_headers_are_entered_again_or_removed(
    api: Api, app: str
) -> None:
    path = await guarded(api, app)
    await api.put(path, {"url": "https://example.org/", "headers": {"X-Api-Key": "new"}})
    assert (await api.get(f"{path}/headers"))["sensitive"] == ["X-Api-Key"]
    await api.patch(f"{path}/headers", {"headers": {"X-Api-Key": None}}, status=204)
    assert (await api.patch(path, {"url": "https://example.net/"}))["url"] == "https://example.net/"


async def test_readable_headers_move_to_a_new_host(api: Api, app: str) -> None:
    body = {"url": URL, "headers": {"X-Team": "books"}}
    path = f"/app/{app}/endpoint/{(await api.post(f'/app/{app}/endpoint', body))['id']}"
    await api.patch(path, {"url": "https://example.org/"})
    assert (await api.get(f"{path}/headers"))["headers"] == {"X-Team": "books"}


async def test_a_listener_does_not_hand_out_secret_headers(api: Api, app: str) -> None:
    opened = await api.post(f"/app/{app}/listener", {"name": "laptop"}, status=200)
    headers = {"Authorization": VALUE, "X-Team": "books"}
    await api.put(f"/app/{app}/endpoint/{opened['id']}/headers", {"headers": headers}, status=204)
    await api.post(f"/app/{app}/msg", {"eventType": "a.b", "payload": {}}, status=202)
    (fetched,) = (await api.get(f"/app/{app}/listener/{opened['id']}/fetch", wait=30))["data"]
    sent: dict[str, Any] = dict(fetched["headers"])
    assert sent["X-Team"] == "books"
    assert VALUE not in str(fetched)


async def test_an_inbox_shows_no_header_that_is_secret_at_an_endpoint(
    api: Api, client: httpx.AsyncClient, app: str
) -> None:
    inbox = await api.post(f"/app/{app}/inbox")
    headers = dict.fromkeys((*SENSITIVE, "cookie"), VALUE)
    await client.post(urlsplit(inbox["url"]).path, content=b"{}", headers=headers)
    (arrival,) = (await api.get(f"/app/{app}/inbox/{inbox['id']}/request"))["data"]
    assert {name.lower() for name, _ in arrival["headers"]} >= set(headers)
    assert VALUE not in str(arrival)
