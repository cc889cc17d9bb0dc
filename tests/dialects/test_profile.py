"""Profile files, the pages made from them, and the public pages."""

from __future__ import annotations

import json
import re
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from msgspec import structs
from standardwebhooks import Webhook

from angarium import profiles
from angarium.build import USER_AGENT
from angarium.core import profile as core
from angarium.core.errors import SettingsError
from angarium.core.product import STANDARD, Product, product_of
from angarium.profiles.example import AT, SECRET, example
from angarium.profiles.openapi import webhooks
from angarium.profiles.page import page
from angarium.profiles.reference import reference, undescribed
from angarium.profiles.written import written
from angarium.store.database import Database
from tests.kit.stand import product, standing

DOCS = Path(__file__).parents[2] / "docs"
FOURTH = Path(__file__).parent / "fourth.toml"
PRODUCTS = [name for name in profiles.names() if name != STANDARD]


def shipped(name: str) -> Product:
    return product_of(profiles.load(name), USER_AGENT)


def wrong(tmp_path: Path, text: str) -> str:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        profiles.read(file)
    return refused.value.detail.replace(f"{file}:", "")


HEAD = 'name = "x"\ntitle = "X"\n'
TWO_WAYS = '[[signing]]\nfamily = "svix"\n[[signing]]\nheader = "X-A"\nformat = "x"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "missing required field `name`"),
        (
            HEAD + '[delivery]\ntimout = "3s"\n',
            "4: delivery.timout: 'timout' is not a key here; did you mean",
        ),
        (HEAD + '\n[delivery]\ntimeout = "3 parsecs"\n', "5: delivery.timeout: "),
        (HEAD + '[envelope]\nid = "{id}"\n', "3: envelope: one key must hold {data}"),
        (HEAD + '[envelope]\nd = "{dta}"\n', "4: envelope.d: must be one of {id}"),
        (HEAD + TWO_WAYS, "7: signing.1.format: "),
        (HEAD + '[management]\ndialect = "blum"\n', "4: management.dialect: "),
        (HEAD + "= 3", "line 3"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_the_line(tmp_path: Path, text: str, words: str) -> None:
    assert words in wrong(tmp_path, text)


def test_two_profiles_of_one_name_are_refused(tmp_path: Path) -> None:
    copy = tmp_path / "copy.toml"
    copy.write_text(written(profiles.load("bloom")))
    assert set(profiles.load_all([str(copy)])) == {STANDARD, "bloom"}
    with pytest.raises(SettingsError, match="two profiles are called bloom"):
        profiles.load_all(["bloom", str(copy)])


@pytest.mark.parametrize("name", [*PRODUCTS, STANDARD, str(FOURTH)])
def test_a_profile_written_as_toml_reads_back_the_same(name: str) -> None:
    profile = profiles.load(name)
    assert core.read(tomllib.loads(written(profile))) == profile


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_page_of_a_product_is_made_of_its_profile(name: str) -> None:
    assert (DOCS / "products" / f"{name}.md").read_text() == page(shipped(name)), (
        f"run `angarium profile docs {name} > docs/products/{name}.md`"
    )


@pytest.mark.parametrize("name", [*PRODUCTS, str(FOURTH)])
def test_no_placeholder_is_left_on_a_page(name: str) -> None:
    text = page(shipped(name))
    assert not re.findall(r"\{[A-Za-z_ ]*\}", text)
    assert "None" not in text
    delivery = profiles.load(name).delivery
    assert f"within {delivery.timeout_seconds:g} seconds" in text


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_page_has_what_a_receiver_needs(name: str) -> None:
    text = page(shipped(name))
    for heading in ("Event types", "Adding an endpoint", "The request", "Verifying", "Answering", "Retries",
                    "When deliveries fail", "Before production"):  # fmt: skip
        assert f"## {heading}" in text
    for event in profiles.load(name).events:
        assert f"| `{event.name}` | {event.description}" in text


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_request_on_a_page_is_signed_as_real_ones_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, headers, body = example(shipped(name))
    given = {key.lower(): value for key, value in headers}
    monkeypatch.setattr("standardwebhooks.webhooks.datetime", _Frozen)
    Webhook(SECRET).verify(body, given)
    for key, value in headers:
        assert f"{key}: {value}" in page(shipped(name))
    assert body.decode() in page(shipped(name))


def test_every_key_of_a_profile_file_is_described_on_its_page() -> None:
    assert (DOCS / "profiles.md").read_text() == reference(), (
        "run `angarium profile docs --keys > docs/profiles.md`"
    )
    assert undescribed() == []


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "llms.txt").read_text()
    listed = set(re.findall(r"\]\(([^)]+)\)", index))
    assert listed == {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}


@pytest.mark.parametrize("name", PRODUCTS)
def test_examples_fit_their_schemas(name: str) -> None:
    for event in profiles.load(name).events:
        if event.schema is not None and event.example is not None:
            jsonschema_rs.validate(event.schema, event.example)
    for described in webhooks(shipped(name)).values():
        content = described["post"]["requestBody"]["content"]["application/json"]
        if "example" in content:
            jsonschema_rs.validate(content["schema"], content["example"])


REFERRING = """
[[events]]
name = "parcel.lost"
description = "A parcel was lost."
example = { inner = { weight = 3 } }

[events.schema]
properties.inner = { "$ref" = "#/definitions/part" }

[events.schema.definitions.part]
properties.weight = { type = "integer" }
"""


def test_a_schema_of_a_profile_refers_to_itself_only(tmp_path: Path) -> None:
    file = tmp_path / "referring.toml"
    text = FOURTH.read_text() + REFERRING
    for target in ("#/definitions/none", "https://example.com/schema"):
        words = wrong(tmp_path, text.replace("#/definitions/part", target))
        line = text.splitlines().index('properties.inner = { "$ref" = "#/definitions/part" }') + 1
        assert f"{line}: events.2.schema.properties.inner.$ref: {target!r}" in words
    file.write_text(text)
    profiles.read(file)


@pytest.mark.parametrize("bare", [False, True])
def test_references_of_an_event_lead_to_its_schema_within_the_document(tmp_path: Path, bare: bool) -> None:
    file = tmp_path / "referring.toml"
    file.write_text(FOURTH.read_text() + REFERRING)
    profile = profiles.read(file)
    found = webhooks(product_of(structs.replace(profile, envelope={}) if bare else profile, USER_AGENT))
    shown = found["parcel.parcel.lost"]["post"]["requestBody"]["content"]["application/json"]
    draft = "https://json-schema.org/draft/2020-12/schema"  # that of OpenAPI 3.1
    document = {"$schema": draft, "$defs": {"event": shown["schema"]}, "$ref": "#/$defs/event"}
    jsonschema_rs.validate(document, shown["example"])
    spoiled = json.loads(json.dumps(shown["example"]).replace('"weight": 3', '"weight": "3"'))
    assert spoiled != shown["example"]
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(document, spoiled)


async def test_public_pages_are_served(database: Database) -> None:
    egress = ["203.0.113.7/32", "2001:db8::/64"]
    async with standing(database, product("bloom"), egress=egress) as stand:
        index = await stand.client.get("/llms.txt")
        (place,) = re.findall(r"\((/docs/products/[^)]+)\)", index.text)
        served = await stand.client.get(place)
        assert served.headers["content-type"].startswith("text/markdown")
        assert served.text == page(stand.product)
        assert (await stand.client.get("/docs/products/none.md")).status_code == 404
        sources = (await stand.client.get("/.well-known/webhook-sources.json")).json()
        assert [str(ip_network(one)) for one in sources["addresses"]] == egress
        document: dict[str, Any] = (await stand.client.get("/api/v1/openapi.json")).json()
        event = document["webhooks"]["bloom.tradeline.opened"]["post"]
        shown = event["requestBody"]["content"]["application/json"]
        assert shown["example"]["type"] == "tradeline.opened"
        assert len(document["webhooks"]) == 12


async def test_a_server_without_fixed_addresses_says_so(database: Database) -> None:
    async with standing(database, product("bloom")) as stand:
        answer = await stand.client.get("/.well-known/webhook-sources.json")
        assert answer.status_code == 404
        assert "does not publish its source addresses" in answer.json()["detail"]


class _Frozen:
    """datetime, standing still at the time of the pages' examples."""

    from datetime import datetime as _real

    fromtimestamp = _real.fromtimestamp

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls._real.fromtimestamp(AT, tz)
