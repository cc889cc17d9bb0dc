"""Hostile bodies and queries at products' own APIs, and invalid profile files."""

from __future__ import annotations

import base64
import random
from pathlib import Path
from typing import Any

import pytest

from angarium import profiles
from angarium.core.errors import SettingsError
from angarium.core.product import product_of
from angarium.store.database import Database
from tests.kit.access import Crowd, operations
from tests.kit.stand import Stand, product, standing

BODIES = (
    b"", b"{", b"[]", b"null", b"1", b'"text"', b"NaN", b"\xff\xfe", b"\x00", b"\xef\xbb\xbf{}",
    b"[" * 50_000, b'{"url":' * 50_000, b'{"a":' + b"9" * 10_000 + b"}",
    b'{"url":"\\ud800","events":["\\ud800"],"eventTypeNames":["\\ud800"],"description":"\\ud800"}',
    b'{"url":"\\u0000","events":["\\u0000"],"eventTypeNames":["\\u0000"],"name":"\\u0000","query":"\\u0000"}',
    b'{"url":1,"events":1,"eventTypeNames":1,"description":1,"name":[],"is_active":"no","status":7}',
    b'{"url":{},"events":[{}],"eventTypeNames":[null,[]],"eventIds":[1],"since":[],"immediate":"x"}',
    b'{"url":"http://[::1","events":["*.*"],"eventTypeNames":["*.*"],"event_ids":["x"]}',
    b'{"since":"9999-12-31T23:59:59-23:59","until":"0001-01-01T00:00:00+23:59","status":"\xf0\x9f\x90\x98"}',
    b'{"since":"0001-01-01T00:00:00+23:59","event_ids":[]}', b'{"since":1e400}',
    b'{"query":""}', b'{"query":"{"}', b'{"query":"{ x }"}', b'{"query":"' + b"{a" * 5000 + b'"}',
    b'{"query":"fragment F on Query { ...F } { ...F }"}', b'{"query":"subscription { x }"}',
    b'{"query":"mutation { x }"}', b'{"query":"query A { webhookDashboardUrl } query B { x }"}',
    b'{"query":"{ webhookDashboardUrl @skip(if: $x) }","variables":{"x":{}}}',
    b'{"query":"{ a: webhookDashboardUrl b: webhookDashboardUrl }","variables":[]}',
    b'{"query":"{ __schema { types { fields { type { ofType { ofType { name } } } } } } }"}',
    b'{"query":"\\ud83d\\ude00","operationName":7}', b'{"query":"{ webhookDashboardUrl(a: \\"\\ud800\\") }"}',
)  # fmt: skip
QUERIES = (
    "limit=0", "limit=-1", "limit=99999999999999999999", "limit=x", "limit=%00", "limit=%D9%A3", "offset=1e9",
    "offset=-5", "starting_after=x", "starting_after=%00", "cursor=%FF", "cursor=-", "order=up",
    "cursor=" + "z" * 5000,
)  # fmt: skip
OURS = ("/webhooks", "/transfers", "/trading", "/api/v1/webhooks", "/api/v1/videos", "/graphql")
WORDS = ("%00", "..%2f", "whk_" + "z" * 27, "%F0%9F%90%98", "a" * 3000, "-", "%ED%A0%80")


def _headers(name: str, stand: Stand) -> dict[str, str]:
    first = next(iter(stand.keys.values()))
    if name == "bluum":
        return {"authorization": "Basic " + base64.b64encode(first.encode()).decode()}
    return {"authorization": f"Bearer {first}"}


@pytest.mark.parametrize("name", ["bluum", "bluma", "bloom"])
async def test_no_body_or_query_is_a_fault_of_ours(database: Database, name: str) -> None:
    wrong: list[str] = []
    async with standing(database, product(name), sandbox=True) as stand:
        headers = _headers(name, stand)
        stand.client._transport = Crowd(stand.app)

        async def ask(method: str, path: str, **more: Any) -> None:
            answer = await stand.client.request(method, path, headers=headers, **more)
            if answer.status_code >= 500:
                wrong.append(f"{method} {path[:200]} {str(more)[:200]}: {answer.status_code} {answer.text}")
            if answer.content:
                answer.json()

        for method, path in operations(stand.app):
            if not path.startswith(OURS) or "{rest:path}" in path:
                continue
            plain = path.replace("{webhook_id}", "x").replace("{event_id}", "x").replace("{account_id}", "x")
            if method != "GET":
                for body in BODIES:
                    await ask(method, plain, content=body)
            for query in QUERIES:
                await ask(method, f"{plain}?{query}")
            if "{" in path:
                for word in WORDS:
                    await ask(method, path.replace("{webhook_id}", word).replace("{event_id}", word)
                              .replace("{account_id}", word))  # fmt: skip
    assert wrong == []


def _mutated(text: str, chance: random.Random) -> str:
    """A profile file with something wrong in it, or not."""
    lines = text.splitlines()
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(lines))
        key, equals, value = lines[at].partition("=")
        match chance.randrange(8):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, lines[chance.randrange(len(lines))])
            case 2 | 3 if equals:
                odd = ('""', "[]", "{}", "-1", "1e400", "nan", "true", '"\\u0000"', "9" * 40, "1979-05-27",
                       '"(((("', '"{x}"', '"${"', '"%s"', "[[[[]]]]", '"\\U0010FFFF"')  # fmt: skip
                lines[at] = f"{key}={chance.choice(odd)}"
            case 4 if equals:
                lines[at] = f"{key.strip()}x = {value}"
            case 5:
                cut = chance.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:cut]
            case 6:
                lines[at] = "[" * chance.choice((1, 3, 2000)) + lines[at]
            case _:
                lines[at] = lines[at].swapcase()
    return "\n".join(lines)


@pytest.mark.parametrize("name", ["standard", "bluum", "bluma", "bloom"])
def test_a_profile_file_is_right_or_refused_in_words(tmp_path: Path, name: str) -> None:
    shipped = Path(profiles.__file__).with_name(f"{name}.toml").read_text()
    chance = random.Random(name)
    file = tmp_path / "product.toml"
    refused: list[str] = []
    for _ in range(150):
        file.write_text(_mutated(shipped, chance))
        try:
            product_of(profiles.read(file), "test")
        except SettingsError as error:
            refused.append(error.detail)
    assert len(refused) > 20
    assert all(words.startswith(str(file)) for words in refused)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"\x00", b"", b"a = " + b"[" * 100_000, b"a" * 1_000_000])
def test_what_is_no_profile_file_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "product.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"product\.toml"):
        profiles.read(file)
