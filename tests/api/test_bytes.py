"""Payloads come out as they went in, byte for byte, however odd; too deep or too large ones are refused."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from angarium.json_bounds import MAX_DEPTH
from angarium.store.database import Database
from tests.kit.receiver import Receiver
from tests.kit.stand import ORG, Stand, product, standing

ODD = [
    '{"line": "\u2028\u2029\u0085"}',
    '{"pair": "\\ud83d\\ude00", "raw": "😀"}',
    '{"nfc": "\u00e9", "nfd": "e\u0301", "ligature": "\ufb01"}',
    '{"rtl": "\u202eabc\u202c", "zwj": "👩\u200d👩\u200d👧", "flag": "🇫🇮", "bom": "\ufeff"}',
    '{"escapes": "\\/\\b\\f\\n\\r\\t\\"\\\\ \\u001f\\u007f\\u0080"}',
    '{"numbers": [1.0, 1.10, 1e5, 1E+5, -0, -0.0, 123456789012345678901234567890, 0.1e-300, 1e308]}',
    '{ "spaces" :\t[ 1 ,\r\n 2 ] }',
    '{"twice": 1, "twice": 2}',
    '{"\u0130": "\u0131", "\u1e9e": "\u00df", "": "empty name"}',
    '{"noncharacters": "\ufffe\uffff\U0010ffff", "private": "\ue000"}',
    '{"markup": "<script>alert(1)</script>&amp;", "template": "{{ 7*7 }} ${x} %s %n"}',
    '{"ansi": "\\u001b[31m", "crlf": "a\\r\\nX-Evil: 1"}',
    '{"long": "' + "é" * 20_000 + '"}',
    '{"deep": ' + "[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2) + "}",  # and the body around it
]


def _message(payload: bytes) -> bytes:
    return b'{"eventType": "order.filled", "payload": ' + payload + b"}"


async def _post(stand: Stand, body: bytes) -> httpx.Response:
    token = stand.services.token.for_organization(ORG)
    return await stand.client.post(
        f"/api/v1/app/{stand.app_id}/msg", content=body, headers={"authorization": f"Bearer {token}"}
    )


@pytest.mark.parametrize("name", ["standard", "bluum", "bluma"])
async def test_every_byte_of_a_payload_arrives_as_it_was_sent(database: Database, name: str) -> None:
    async with standing(database, product(name)) as stand, Receiver() as receiver:
        await stand.endpoint(receiver.url)
        for number, text in enumerate(ODD, 1):
            payload = text.encode()
            answer = await _post(stand, _message(payload))
            assert answer.status_code == 202, f"{text[:80]}: {answer.text}"
            arrived = (await receiver.wait_for(number))[-1].body
            if name == "standard":
                assert arrived == payload, text[:80]
            else:  # inside the product's envelope
                assert payload.strip() in arrived, text[:80]


async def test_a_resend_sends_the_same_bytes(database: Database) -> None:
    async with standing(database, product("standard")) as stand, Receiver() as receiver:
        endpoint = await stand.endpoint(receiver.url)
        payload = ODD[5].encode()
        sent = (await _post(stand, _message(payload))).json()
        await receiver.wait_for(1)
        await stand.native("POST", f"/msg/{sent['id']}/endpoint/{endpoint}/resend")
        first, again = await receiver.wait_for(2)
        assert first.body == again.body == payload


def _bombs() -> list[tuple[str, bytes, set[int]]]:
    limit = 2 * 1024 * 1024
    return [
        ("deep lists", b"[" * 500_000 + b"]" * 500_000, {422}),
        ("deep objects", b'{"a":' * 200_000 + b"1" + b"}" * 200_000, {422}),
        ("never closed", b"[" * 1_000_000, {422}),
        ("a long number", b'{"n":' + b"9" * 100_000 + b"}", {202, 422}),
        ("a great exponent", b'{"n":1e999999999}', {202, 422}),
        ("many names", b"{" + b",".join(b'"%d":1' % n for n in range(49_990)) + b"}", {202}),
        ("too many names", b"{" + b",".join(b'"%d":1' % n for n in range(50_000)) + b"}", {422}),
        ("half a pair", b'{"a":"\\ud800"}', {202, 422}),
        ("a NUL", b'{"a":"\\u0000"}', {202, 422}),
        ("broken UTF-8", b'{"a":"\xff"}', {422}),
        ("surrogates in UTF-8", b'{"a":"\xed\xa0\x80"}', {422}),
        ("too large", b'{"a":"' + b"x" * limit + b'"}', {413}),
    ]


@pytest.mark.parametrize(
    ("payload", "expected"), [bomb[1:] for bomb in _bombs()], ids=[bomb[0] for bomb in _bombs()]
)
async def test_an_expensive_payload_is_refused_or_delivered_without_harm(
    database: Database, payload: bytes, expected: set[int]
) -> None:
    async with standing(database, product("standard")) as stand, Receiver() as receiver:
        endpoint = await stand.endpoint(receiver.url)
        answer = await _post(stand, _message(payload))
        assert answer.status_code in expected, answer.text[:300]
        if answer.status_code == 202:
            sent = answer.content
            (arrived,) = await receiver.wait_for(1)
            assert arrived.body == payload
            assert sent
            listed = await stand.client.get(
                f"/api/v1/app/{stand.app_id}/endpoint/{endpoint}/msg",
                headers={"authorization": f"Bearer {stand.services.token.for_organization(ORG)}"},
            )
            assert listed.status_code == 200
        # the next one is taken as ever
        assert (await _post(stand, _message(b'{"n":1}'))).status_code == 202


async def test_no_field_of_a_message_can_add_a_header(database: Database) -> None:
    async with standing(database, product("standard")) as stand, Receiver() as receiver:
        await stand.endpoint(receiver.url)
        evil: list[dict[str, Any]] = [
            {"eventType": "a\r\nX-Evil: 1"}, {"eventType": "a\nb"}, {"eventId": "e\r\nX-Evil: 1"},
            {"channels": ["c\r\nX-Evil: 1"]}, {"tags": ["t\r\nX-Evil: 1"]}, {"eventType": "\u001b[31m"},
        ]  # fmt: skip
        token = stand.services.token.for_organization(ORG)
        for more in evil:
            answer = await stand.client.post(
                f"/api/v1/app/{stand.app_id}/msg",
                json={"eventType": "a.b", "payload": {}, **more},
                headers={"authorization": f"Bearer {token}"},
            )
            assert answer.status_code == 422, more
        for headers in (
            {"X-A": "1\r\nX-Evil: 1"}, {"X-A\r\nX-Evil": "1"}, {"X-A": "\x00"}, {"X A": "1"}, {"": "1"},
            {"Host": "evil"}, {"Content-Length": "0"}, {"Transfer-Encoding": "chunked"}, {"X-A": "é\u2028"},
        ):  # fmt: skip
            answer = await stand.client.post(
                f"/api/v1/app/{stand.app_id}/endpoint",
                json={"url": receiver.url, "headers": headers},
                headers={"authorization": f"Bearer {token}"},
            )
            assert answer.status_code == 422, headers
        await stand.send("a.b")
        (arrived,) = await receiver.wait_for(1)
        assert arrived.header("x-evil") is None
        assert base64.b64decode(arrived.header("webhook-signature").partition(",")[2])  # type: ignore[union-attr]
