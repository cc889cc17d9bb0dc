"""Text that no schema would suggest, in every place of every operation: refused, and never a 5xx.

A parameter that several operations share is read by the same code in each, so each of them gets a part of the
words, and together they get all. HOSTILE_WORDS=1 gives all words to each operation; `make chaos` does.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
from yarl import URL

from tests.e2e.conftest import Server, made

SHARED = int(os.environ.get("HOSTILE_WORDS", "3"))  # one word of so many for each operation that shares
WORDS = (
    "%00",
    "%FF%FE",
    "%2e%2e%2f",
    "-",
    "--",
    "0",
    "-1",
    "9" * 400,
    "app_",
    "app_" + "z" * 27,
    "-msg_" + "0" * 27,
    "ep_" + "%C3%A9" * 27,
    "%F0%9F%90%8E",
    "null",
    "[]",
    "a" * 5000,
    "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:59.999999-23:59",
    "0001-01-01T00:00:00%2B23:59",
    "%ED%A0%80",
    "' or 1=1 --".replace(" ", "%20"),
)
BODIES = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"1",
    b'"text"',
    b"NaN",
    b'{"a":NaN}',
    b"\xff\xfe",
    b"\x00",
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"name":' + b"9" * 10_000 + b"}",
    b'{"name":1e999999,"url":1e999999,"eventType":1e999999,"payload":{"n":1e999999}}',
    b'{"name":"\\ud800","url":"\\ud800","description":"\\ud800","eventType":"a","payload":{"\\ud800":1}}',
    b'{"name":"\\u0000","url":"\\u0000","description":"\\u0000","eventType":"a","payload":{"\\u0000":1}}',
    b'{"name":"\xed\xa0\x80","url":"http://\xed\xa0\x80/","eventType":"a","payload":{}}',
    b'{"name":"a","metadata":{"a":1},"uid":[],"throttleRate":-1,"url":{},"eventTypes":[null]}',
    b'{"url":"http://[::1","eventTypes":["*.*"],"channels":[[]],"secret":"whsec_%","version":0}',
    b'{"url":"http://a:b@127.0.0.1:99999/","disabled":"yes","throttleRate":1e400}',
    b'{"url":"http://xn--/","headers":{"a\\r\\nb":"c\\r\\nd","":""},"metadata":null}',
    b'{"since":"9999-12-31T23:59:59-23:59","until":"0001-01-01T00:00:00+23:59"}',
    b'{"key":"whsk_AAAA","gracePeriodSeconds":99999999999999999999}',
    b'{"eventType":"a","payload":{},"deliverAt":"9999-12-31T23:59:59-23:59","payloadRetentionHours":-1}',
    b'{"messages":[{},1,null,"a",[],{"eventType":1}]}',
    b'{"name":"a","description":"b","schemas":{"1":{"$ref":"#/nowhere"},"x":7,"":{"type":"no"}}}',
    b'{"name":"a","description":"b","schemas":{"1":{"$ref":"http://127.0.0.1:9/schema"}}}',
    b'{"capabilities":["All"],"expiry":-1,"sessionId":"\\u0001","application":{"name":""}}',
)


async def world(api: httpx.AsyncClient, fresh: str) -> dict[str, str]:
    app = await made(api, "/app", {"name": "Hostile"})
    endpoint = await made(api, f"/app/{app}/endpoint", {"url": "http://127.0.0.1:9/"})
    await api.post("/event-type", json={"name": fresh, "description": "Hostile"})
    message = await made(api, f"/app/{app}/msg", {"eventType": fresh, "payload": {}})
    return {
        "app_id": app,
        "endpoint_id": endpoint,
        "event_type_name": fresh,
        "msg_id": message,
        "kind": "message",
    }


async def test_hostile_text_in_every_place_is_refused(
    server: Server, api: httpx.AsyncClient, fresh: str
) -> None:
    document = (await api.get("/openapi.json")).json()
    nothing = {
        "attempt_id": "atmpt_none",
        "task_id": "qtask_none",
        "inbox_id": "play_none",
        "contact_id": "contact_none",
    }
    known = await world(api, fresh) | nothing
    headers = {"authorization": f"Bearer {server.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:  # faster than httpx, which counts here
        for method, path, body in questions(document, known):
            url = URL(f"{server.url}{path}", encoded=True)
            async with session.request(method.upper(), url, data=body) as answer:
                text = await answer.text()
            asked = f"{method} {path[:300]} {str(body)[:300]}: {answer.status} {text[:300]}"
            assert answer.status < 500, asked
            if text:
                assert answer.content_type == "application/json", asked
                json.loads(text)
    assert (await api.get("/health")).status_code == 200


def questions(document: Any, known: dict[str, str]) -> Iterator[tuple[str, str, bytes | None]]:
    """Every word in every path and query parameter, every body in every operation that takes one."""
    operations = [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "delete"  # what it deletes would be missing for the others
    ]
    shared = Counter(kind(one) for *_, operation in operations for one in operation.get("parameters", []))
    turn = Counter[str]()
    for method, path, operation in operations:
        for one in operation.get("parameters", []):
            parts = SHARED if shared[kind(one)] >= SHARED else 1
            turn[kind(one)] += 1
            for word in WORDS[turn[kind(one)] % parts :: parts]:
                if one["in"] == "path":
                    yield method, path.format(**known | {one["name"]: word}), None
                elif one["in"] == "query":
                    yield method, f"{path.format(**known)}?{one['name']}={word}", None
        for body in BODIES if "requestBody" in operation else ():
            yield method, path.format(**known), body


def kind(parameter: Any) -> str:
    """The same for parameters that are read alike."""
    return json.dumps([parameter[key] for key in ("name", "in", "schema")], sort_keys=True)
