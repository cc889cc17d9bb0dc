"""Play as a receiver: signatures verified, real deliveries taken, and nothing else of the server reached."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import pytest

from angarium import build
from angarium.clock import SystemClock
from angarium.core import ids
from angarium.core.address import AddressPolicy
from angarium.core.errors import SettingsError
from angarium.core.inbox import InboxUrls
from angarium.core.nouns import SigningKey
from angarium.core.signature import new_secret
from angarium.dispatch.transport.sender import OutgoingRequest, Sender
from angarium.service.url_check import UrlCheck
from angarium.settings import load
from angarium.store.database import Database
from tests.api.serving import serving
from tests.kit.patience import until
from tests.kit.stand import Stand, product, standing
from tests.portal.inbox import address, new_inbox, say, text
from tests.portal.visitor import Visitor, visiting

DAY = 86400.0


# -- signatures

PRODUCTS = ["standard", "bluum", "bluma", "bloom"]


def signed(stand: Stand, secret: str, body: bytes, *, at: float | None = None) -> dict[str, str]:
    """The headers that the product's own message format makes."""
    made = stand.product.message_format.headers(
        message_id=stand.world.new_id(),
        event_type="some.type",
        body=body,
        keys=stand.product.message_format.keys([SigningKey(secret)]),
        custom={},
        now=stand.clock.now() if at is None else at,
    )
    return dict(made)


@pytest.fixture
async def inbox(stand: Stand, visitor: Visitor) -> Inbox:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    endpoint = await stand.endpoint(url)
    secret = (await stand.native("GET", f"/endpoint/{endpoint}/secret"))["key"]
    return Inbox(visitor, place, url, endpoint, secret)


@dataclass(frozen=True)
class Inbox:
    """An inbox whose URL an endpoint has."""

    visitor: Visitor
    place: str
    url: str
    endpoint: str
    secret: str = field(repr=False)

    async def verdict(self, body: bytes, headers: dict[str, str]) -> str:
        """What its page says of a request."""
        assert (await self.visitor.client.post(self.url, content=body, headers=headers)).status_code == 200
        clock = self.visitor.stand.clock
        await clock.advance_to(clock.now() + 0.01)
        page = await self.visitor.get(self.place)
        found = re.search(r'<section class="card" id="request".*?<p>(.*?)</p>', page, re.DOTALL)
        assert found
        return text(found[1])


@pytest.mark.parametrize("stand", PRODUCTS, indirect=True)
async def test_a_request_is_verified_as_its_product_signs(stand: Stand, inbox: Inbox) -> None:
    body = b'{"n":1}'
    headers = signed(stand, inbox.secret, body)
    assert (await inbox.verdict(body, headers)).startswith("Verified Signed with the secret")
    for word, (changed_body, changed) in {
        "no signature fits": (body + b" ", headers),
        "too old": (body, signed(stand, inbox.secret, body, at=stand.clock.now() - 400)),
        "too far in the future": (body, signed(stand, inbox.secret, body, at=stand.clock.now() + 400)),
        "is missing": (body, {}),
    }.items():
        said = await inbox.verdict(changed_body, changed)
        assert said.startswith("Not verified Not verified:"), said
        assert word in said


@pytest.mark.parametrize("stand", PRODUCTS, indirect=True)
async def test_another_secret_does_not_verify(stand: Stand, inbox: Inbox) -> None:
    said = await inbox.verdict(b"{}", signed(stand, new_secret(os.urandom(24)), b"{}"))
    assert "no signature fits" in said
    assert "another secret" in said


@pytest.mark.parametrize("stand", PRODUCTS, indirect=True)
async def test_each_scheme_of_a_product_must_fit(stand: Stand, inbox: Inbox) -> None:
    headers = signed(stand, inbox.secret, b"{}")
    names = [name for name in headers if name.lower().endswith("-signature")]
    assert names
    for name in names:
        without = {key: value for key, value in headers.items() if key != name}
        assert "is missing" in await inbox.verdict(b"{}", without), name
        assert "Not verified" in await inbox.verdict(b"{}", headers | {name: headers[name][:-2] + "AA"}), name


async def test_a_rotated_secret_verifies_until_it_expires(stand: Stand, inbox: Inbox) -> None:
    await stand.native("POST", f"/endpoint/{inbox.endpoint}/secret/rotate", {})
    assert (await inbox.verdict(b"{}", signed(stand, inbox.secret, b"{}"))).startswith("Verified")
    await stand.clock.advance_to(stand.clock.now() + 2 * DAY)
    async with visiting(stand) as later:
        inbox = replace(inbox, visitor=later)
        assert "no signature fits" in await inbox.verdict(b"{}", signed(stand, inbox.secret, b"{}"))


async def test_the_secret_of_another_application_proves_nothing(stand: Stand, visitor: Visitor) -> None:
    url = address(await visitor.get(await new_inbox(visitor)))
    other = await stand.native("POST", "//app", {"name": "other"})
    made = await stand.native("POST", f"//app/{other['id']}/endpoint", {"url": url})
    secret = (await stand.native("GET", f"//app/{other['id']}/endpoint/{made['id']}/secret"))["key"]
    await visitor.client.post(url, content=b"{}", headers=signed(stand, secret, b"{}"))
    assert "No endpoint has the URL" in await visitor.get(f"/play/{url.rpartition('/')[2]}")


# -- deliveries, through the real sender and a real socket; nothing but the inbox may be reached there


@dataclass(frozen=True)
class Strict:
    """A server on loopback whose rules forbid every address that is not public."""

    stand: Stand
    visitor: Visitor
    url: str


@asynccontextmanager
async def strictly(database: Database, name: str) -> AsyncIterator[Strict]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        addresses = AddressPolicy(trusts=InboxUrls(base).includes)
        async with (
            standing(
                database, product(name, retries=""), clock=SystemClock(), addresses=addresses, play=base,
                https_only=True,
            ) as stand,
            serving(stand.app, listener),
            visiting(stand) as visitor,
        ):  # fmt: skip
            yield Strict(stand, visitor, base)


@pytest.mark.parametrize("name", PRODUCTS)
async def test_an_ordinary_delivery_arrives_verified(database: Database, name: str) -> None:
    async with strictly(database, name) as here:
        place = await new_inbox(here.visitor)
        url = address(await here.visitor.get(place))
        await here.stand.endpoint(url)
        await here.stand.send("a.b", {"hello": "play"})
        await here.stand.until_attempts(1)
        page = await here.visitor.get(place)
        assert "Signed with the secret of your endpoint" in page
        assert "play" in page
        (row,) = await here.stand.world.fetch("select status_code, error from attempt")
        assert tuple(row) == (200, None)


async def test_nothing_else_at_the_same_server_can_be_an_endpoint(database: Database) -> None:
    async with strictly(database, "standard") as here:
        url = address(await here.visitor.get(await new_inbox(here.visitor)))
        inbox = url.rpartition("/")[2]
        port = urlsplit(url).port
        assert port
        for wrong in (
            f"{here.url}/",
            f"{here.url}/play/in/",
            f"{here.url}/play/in",
            f"{here.url}/api/v1/health",
            f"{here.url}/play/in/x",
            f"{here.url}/play/in/../../api/v1/health/{inbox}",
            f"{here.url}/play/in/%2e%2e/{inbox}",
            f"{here.url}/play/in/..%2f{inbox}",
            f"{here.url}/play/in//{inbox}",
            f"{here.url}/play/in/{inbox}/",
            f"{here.url}/play/in/{inbox}/..",
            f"{url}?a=b",
            f"{url}#a",
            f"{url}%00",
            f"{url}\nx",
            url.replace("://", "://user:pass@"),
            url.replace("://", "://127.0.0.1@"),
            url.replace("://", "://evil.example@"),
            url.replace(f":{port}", f":{port + 1}"),
            url.replace("127.0.0.1", "127.0.0.2"),
            url.replace("127.0.0.1", "localhost"),
            url.replace("127.0.0.1", "[::1]"),
            url.replace("127.0.0.1", "2130706433"),
            url.replace("http:", "https:"),
            url.replace("http:", "HTTP:"),
        ):
            with pytest.raises(AssertionError, match="422"):
                await here.stand.endpoint(wrong)


async def test_a_connection_to_an_inbox_carries_nothing_else(database: Database) -> None:
    """Even where a stored URL leads to our own address, as after its host name's records were changed."""
    async with strictly(database, "standard") as here:
        url = address(await here.visitor.get(await new_inbox(here.visitor)))
        sender = Sender(
            policy=here.stand.world.addresses,
            response_limit=1000,
            connections=2,
            now=here.stand.world.clock.now,
        )
        try:
            for _ in range(2):
                assert (await sender.send(OutgoingRequest(url, [], b"{}", 30.0))).status_code == 200
            for other in (f"{here.url}/api/v1/health", f"{url}?x", url.replace("://", "://a:b@")):
                answer = await sender.send(OutgoingRequest(other, [], b"{}", 30.0))
                assert (answer.status_code, answer.error_code) == (0, "refused_address"), other
        finally:
            await sender.close()


async def test_a_redirect_of_an_inbox_is_not_followed(database: Database) -> None:
    async with strictly(database, "standard") as here:
        place = await new_inbox(here.visitor)
        url = address(await here.visitor.get(place))
        await say(here.visitor, place, status="302")
        await here.stand.endpoint(url)
        await here.stand.send("a.b")
        await here.stand.until_attempts(1)
        (row,) = await here.stand.world.fetch("select status_code, error_code from attempt")
        assert tuple(row) == (302, "redirect")


async def test_an_inbox_that_does_not_answer_lets_the_attempt_time_out(database: Database) -> None:
    async with strictly(database, "standard") as here:
        url = address(await here.visitor.get(place := await new_inbox(here.visitor)))
        await say(here.visitor, place, status="0")
        sender = Sender(policy=here.stand.world.addresses, response_limit=1000, connections=2)

        async def came_in_and_timed_out() -> bool:
            answer = await sender.send(OutgoingRequest(url, [], b"{}", 3.0))
            assert (answer.status_code, answer.error_code) == (0, "timeout")
            return "no response" in text(await here.visitor.get(place))

        try:
            await until(came_in_and_timed_out)
        finally:
            await sender.close()


@pytest.mark.parametrize(
    "base",
    ["ftp://x", "https://", "https://a b", "https://a/?x", "https://a/#x", "https://u:p@a", "a.example", ""],
)
def test_a_base_that_is_none_is_refused(base: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        InboxUrls(base)


@pytest.mark.parametrize(
    ("base", "before"),
    [
        ("https://Hooks.Example.com", "https://hooks.example.com/play/in/"),
        ("https://hooks.example.com:443/", "https://hooks.example.com/play/in/"),
        ("https://example.com/hooks/", "https://example.com/hooks/play/in/"),
        ("http://[::1]:8071", "http://[::1]:8071/play/in/"),
    ],
)
def test_inboxes_are_below_the_base(base: str, before: str) -> None:
    urls = InboxUrls(base)
    url = urls.of(ids.new(1e9, b"12345678"))
    assert url.startswith(f"{before}play_")
    assert urls.includes(url)


async def test_its_url_passes_the_check_for_a_new_endpoint_without_a_word_of_private_addresses(
    database: Database,
) -> None:
    async with strictly(database, "standard") as here:
        url = address(await here.visitor.get(await new_inbox(here.visitor)))
        app_id = ids.parse(ids.APPLICATION, here.stand.app_id)
        assert app_id is not None
        found = await here.stand.services.url_check.check(app_id, url)
        assert found == UrlCheck()
        assert (await here.stand.services.url_check.check(app_id, f"{url}?a")).fault


@pytest.mark.parametrize(
    ("public_url", "role", "listening", "base"),
    [
        ("https://hooks.example.com", "all", "http://127.0.0.1:8071", "https://hooks.example.com/"),
        ("https://hooks.example.com", "dispatch", None, "https://hooks.example.com/"),
        ("https://hooks.example.com", "api", "http://127.0.0.1:8071", "https://hooks.example.com/"),
        (None, "all", "http://127.0.0.1:8071", "http://127.0.0.1:8071/"),
        (None, "api", "http://127.0.0.1:8071", None),  # its deliveries are made elsewhere
        (None, "dispatch", None, None),
    ],
)
def test_where_inboxes_are_said_to_be(
    public_url: str | None, role: str, listening: str | None, base: str | None
) -> None:
    found = build.inbox_urls(load(overrides={"public_url": public_url}), role, listening)
    assert (found is None) == (base is None)
    if found is not None and base is not None:
        assert found.of(ids.new(1e9, b"12345678")).startswith(f"{base}play/in/play_")


@pytest.mark.parametrize("value", ["hooks.example.com", "https://a.example/?x", "https://me:pw@a.example"])
def test_a_public_url_below_which_nothing_can_be_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ANGARIUM_PUBLIC_URL", value)
    with pytest.raises(SettingsError, match=r"ANGARIUM_PUBLIC_URL: must be like https://hooks\.example\.com"):
        load()
