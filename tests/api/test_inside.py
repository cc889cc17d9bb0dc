"""No customer makes an endpoint of an address inside, however it is written, over any API or page."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from angarium.store.database import Database
from tests.kit.stand import ORG, Stand, product, standing
from tests.portal.visitor import visiting

INSIDE = [
    "http://169.254.169.254/latest/meta-data",
    "http://2852039166/",
    "http://0xA9FEA9FE/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://169.16689662/",
    "http://169.254.169.254./",
    "http://１６９.２５４.１６９.２５４/",  # noqa: RUF001 (a disguise)
    "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/",
    "http://169。254。169。254/",
    "http://user:password@169.254.169.254/",
    "http://example.com@169.254.169.254/",
    "http://10.0.0.1/",
    "http://0.0.0.0/",
    "http://255.255.255.255/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "http://[::a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:4136:e378:8000:63bf:5601:5601]/",
    "http://[2606:4700::5efe:a9fe:a9fe]/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
]
ILL_FORMED = [
    "http://169.254.169.254\\@example.com/",
    "http://a@b@169.254.169.254/",
    "http://[fe80::1%25eth0]/",
    "http://exa mple.com/",
    "http://example.com\n.evil/",
    "http://example.com\x00/",
    "gopher://169.254.169.254/",
    "file:///etc/passwd",
    "http:169.254.169.254/",
    "///169.254.169.254/",
    "http://256.256.256.256/",
    "http://1.2.3.4.5/",
    "http://0x/",
]
GOOD = "http://127.0.0.1:9/hook"  # tests may go to loopback

Try = Callable[[str], Awaitable[httpx.Response]]


def _ways(stand: Stand, headers: dict[str, str], path: str, more: dict[str, Any], made: str) -> list[Try]:
    """Create and change, as the product's API has them."""

    def way(method: str, path: str, more: dict[str, Any]) -> Try:
        return lambda url: stand.client.request(method, path, json={"url": url, **more}, headers=headers)

    return [
        way("POST", path, more),
        way("PATCH", f"{path}/{made}", {}),
        *([way("PUT", f"{path}/{made}", {})] if path.endswith("/endpoint") else []),
    ]


@pytest.mark.parametrize("name", ["standard", "bluum", "bluma"])
async def test_an_internal_address_is_refused_at_create_and_update(database: Database, name: str) -> None:
    async with standing(database, product(name)) as stand:
        if name == "standard":
            path, more = f"/api/v1/app/{stand.app_id}/endpoint", {}
            headers = {"authorization": f"Bearer {_organization(stand)}"}
        elif name == "bluum":
            path, more = "/webhooks", {"eventTypeNames": ["*"]}
            pair = base64.b64encode(stand.keys["tenant"].encode()).decode()
            headers = {"authorization": f"Basic {pair}"}
        else:
            path, more = "/api/v1/webhooks", {"events": ["video.completed"]}
            headers = {"authorization": f"Bearer {stand.keys['webhooks:manage']}"}
        answer = await stand.client.post(path, json={"url": GOOD, **more}, headers=headers)
        assert answer.is_success, answer.text
        made = answer.json()["id"]
        wrong = []
        for attempt in _ways(stand, headers, path, more, made):
            for url in INSIDE + ILL_FORMED:
                answer = await attempt(url)
                if answer.status_code not in (400, 422):
                    wrong.append(f"{url!r}: {answer.status_code} {answer.text}")
                elif url in INSIDE and "public" not in answer.text:
                    wrong.append(f"{url!r} is refused for another reason: {answer.text}")
        assert wrong == []
        urls = {row["url"] for row in await stand.world.fetch("select url from endpoint")}
        assert urls == {GOOD}


async def test_an_internal_address_is_refused_in_the_portal(database: Database) -> None:
    async with standing(database, product("standard")) as stand, visiting(stand) as visitor:
        endpoint = await stand.endpoint(GOOD)
        page = await visitor.get(f"/endpoints/{endpoint}/settings")
        form = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', page)) | {
            "csrf_token": visitor.csrf_token
        }
        wrong = []
        for url in INSIDE + ILL_FORMED:
            for path in ("/endpoints", f"/endpoints/{endpoint}/settings"):
                answer = await visitor.client.post(f"{visitor.base}{path}", data={**form, "url": url})
                if answer.status_code not in (400, 422):
                    wrong.append(f"{path} {url!r}: {answer.status_code}")
            # looking at it and trying it say so, and nothing is sent
            answer = await visitor.client.get(f"{visitor.base}/endpoints/check", params={"url": url})
            if answer.status_code >= 500 or "can be reached" in answer.text:
                wrong.append(f"check {url!r}: {answer.status_code}")
            answer = await visitor.client.post(f"{visitor.base}/endpoints/try", data={**form, "url": url})
            if answer.status_code >= 500 or "badge good" in answer.text:
                wrong.append(f"try {url!r}: {answer.status_code}")
        assert wrong == []
        assert len(await stand.world.fetch("select 1 from endpoint")) == 1


async def test_a_url_similar_to_a_play_inbox_is_checked_like_others(database: Database) -> None:
    """Our own inboxes are the one exception: to the letter, and nothing that resembles them."""
    async with standing(database, product("standard"), play="http://10.9.8.7:8071") as stand:
        async with visiting(stand) as visitor:
            inbox = (await visitor.post("/play")).headers["location"].rpartition("/")[2].partition("?")[0]
        base = "http://10.9.8.7:8071"
        for url in (
            f"{base}/play/in/{inbox}/../../../admin",
            f"{base}/play/in/{inbox}?x=1",
            f"{base}/play/in/{inbox}/",
            f"{base}/play/in//{inbox}",
            f"{base}/play/in/..%2f{inbox}",
            f"{base}/admin",
            f"http://10.9.8.7/play/in/{inbox}",
            f"http://10.9.8.7:8072/play/in/{inbox}",
            f"http://x@10.9.8.7:8071/play/in/{inbox}",
            f"HTTP://10.9.8.7:8071/play/in/{inbox}",
        ):
            answer = await stand.client.post(
                f"/api/v1/app/{stand.app_id}/endpoint",
                json={"url": url},
                headers={"authorization": f"Bearer {_organization(stand)}"},
            )
            assert answer.status_code == 422, url


def _organization(stand: Stand) -> str:
    return stand.services.token.for_organization(ORG)
