"""Play: throw-away inboxes, seen from their pages and from outside."""

from __future__ import annotations

import asyncio
import html
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from angarium import build
from angarium.clock import SystemClock
from angarium.core import ids
from angarium.core.address import AddressPolicy
from angarium.core.errors import SettingsError
from angarium.core.inbox import InboxUrls
from angarium.core.nouns import SigningKey
from angarium.core.signature import new_secret
from angarium.dispatch.sender import Request, Sender
from angarium.service.play import BURST, KEPT_BODY, KEPT_REQUESTS, MAX_INBOXES, RATE
from angarium.service.probe import UrlCheck
from angarium.settings import Settings, load
from angarium.store import play as store
from angarium.store.database import Database
from tests.api.serving import serving
from tests.kit.stand import URL, Stand, product, standing
from tests.portal.visitor import Visitor, visiting

DAY = 86400.0


async def new_inbox(visitor: Visitor) -> str:
    """The path of its page."""
    answer = await visitor.post("/play")
    return urlsplit(answer.headers["location"]).path


def address(page: str) -> str:
    """The URL of an inbox, from its page."""
    found = re.search(r'id="inbox-url">([^<]+)<', page)
    assert found
    return html.unescape(found[1])


def text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


# -- pages


async def test_an_inbox_is_made_and_shows_what_comes(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    page = await visitor.get(place)
    assert "Nothing has come in yet" in page
    url = address(page)
    assert url.startswith(f"{URL}/play/in/play_")
    answer = await visitor.client.post(url, content=b'{"n":1}', headers={"x-hello": "there"})
    assert (answer.status_code, answer.json()) == (200, {"received": True})
    page = await visitor.get(place)
    assert "Not checked" in page
    assert "No endpoint has the URL of this inbox" in page
    assert "x-hello" in page
    assert "there" in page
    assert "&#34;n&#34;: 1" in page, "pretty"
    assert "{&#34;n&#34;:1}" in await visitor.get(f"{place}?as=raw")
    assert url in await visitor.get("/play")


METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


async def test_any_method_is_shown(visitor: Visitor) -> None:
    for method in METHODS:
        place = await new_inbox(visitor)
        await visitor.client.request(method, address(await visitor.get(place)))
        assert f"{method} now" in text(await visitor.get(place))


async def test_what_comes_in_is_shown_as_text_and_nothing_else(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    evil = "<script>alert(1)</script>"
    await visitor.client.post(url, content=evil.encode() + b"\xff\x00", headers={"x-evil": evil})
    page = await visitor.get(place)
    assert evil not in page
    assert html.escape(evil) in page
    assert "\\xff" in page


async def test_credentials_that_come_in_are_not_kept(stand: Stand, visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await stand.endpoint(url)
    ref = (await stand.native("GET", "/endpoint"))["data"][0]["id"]
    await stand.native("PUT", f"/endpoint/{ref}/headers", {"headers": {"X-Own": "hush-3"}})
    sent = {"cookie": "a=hush-1", "authorization": "Bearer hush-2", "x-own": "hush-3", "x-other": "told"}
    await visitor.client.post(url, headers=sent, content=b"{}")
    page = await visitor.get(place)
    assert "hush" not in page
    assert "told" in page
    assert page.count("(hidden)") == 3
    (row,) = await stand.world.fetch("select cast(headers as text) from play_request")
    assert "hush" not in row[0]


async def test_the_newest_request_is_shown_or_the_one_that_was_asked_for(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await visitor.client.post(url, content=b"first-one")
    await visitor.stand.clock.advance_to(visitor.stand.clock.now() + 60)
    await visitor.client.post(url, content=b"second-one")
    page = await visitor.get(place)
    assert "second-one" in page
    assert "first-one" not in page
    older = re.findall(r'href="[^"?]*\?request=(play_\w+)#request"', page)[1]
    page = await visitor.get(place, request=older)
    assert "first-one" in page
    assert "second-one" not in page


async def test_a_part_of_the_page_is_fetched_again_when_something_came(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    answer = await visitor.client.get(place, headers={"hx-request": "true"})
    assert "Nothing has come in yet" in answer.text
    assert "<html" not in answer.text


async def test_it_leads_to_a_new_endpoint_with_its_url(visitor: Visitor) -> None:
    answer = await visitor.post("/play", {"then": "endpoint"})
    place = urlsplit(answer.headers["location"])
    assert place.path == f"{visitor.base}/endpoints/new"
    (url,) = parse_qs(place.query)["url"]
    assert (await visitor.client.post(url)).status_code == 200
    page = await visitor.get(f"/play/{url.rpartition('/')[2]}")
    assert f'href="{visitor.base}/endpoints/new?url=' in page


async def test_an_inbox_is_emptied_and_deleted(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await visitor.client.post(url, content=b"to be gone")
    assert "Nothing has come in yet" in await visitor.follow(f"{place}/clear")
    assert "The inbox was deleted" in await visitor.follow(f"{place}/delete")
    await visitor.get(place, status=404)
    assert (await visitor.client.post(url)).status_code == 404


async def test_an_application_has_a_bounded_number_of_inboxes(visitor: Visitor) -> None:
    answers = await asyncio.gather(
        *(visitor.client.post(f"{visitor.base}/play", data={"mark": visitor.mark}) for _ in range(30))
    )
    assert sorted(answer.status_code for answer in answers) == [303] * MAX_INBOXES + [409] * 10
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert f"There are {MAX_INBOXES} inboxes already" in refused.text
    assert "New inbox" not in await visitor.get("/play")


async def test_a_reader_sees_and_changes_nothing(stand: Stand, visitor: Visitor, reader: Visitor) -> None:
    place = await new_inbox(visitor)
    page = await reader.get(place)
    assert address(page)
    assert page.count("<form") == 1, "the one to leave"
    for path in ("/play", place, f"{place}/clear", f"{place}/delete"):
        await reader.post(path, {"status": "500"}, status=403)
    assert (await visitor.client.post(address(page))).status_code == 200


async def test_an_outsider_finds_no_inbox_of_another_application(stand: Stand, visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    ref = place.rpartition("/")[2]
    other = await stand.native("POST", "//app", {"name": "other"})
    async with visiting(stand, app_id=other["id"]) as outsider:
        await outsider.get(f"/play/{ref}", status=404)
        for path in (f"/play/{ref}", f"/play/{ref}/clear", f"/play/{ref}/delete"):
            await outsider.post(path, {"status": "500", "delay": "0", "failures": "0"}, status=404)
        assert ref not in await outsider.get("/play")
    assert (await visitor.client.post(address(await visitor.get(place)))).status_code == 200


async def test_without_an_address_of_its_own_it_says_what_is_missing(stand: Stand, visitor: Visitor) -> None:
    stand.services.play._urls = None
    page = await visitor.get("/play")
    assert "ANGARIUM_PUBLIC_URL" in page
    assert "New inbox" not in page
    answer = await visitor.post("/play", status=400)
    assert "ANGARIUM_PUBLIC_URL" in answer.text


# -- answers


async def say(visitor: Visitor, place: str, **form: str) -> None:
    await visitor.post(place, {"status": "200", "delay": "0", "failures": "0"} | form)


SOME_STATUSES = [204, 302, 401, 410, 429, 503]


async def test_it_answers_with_the_status_that_was_chosen(visitor: Visitor) -> None:
    for status in SOME_STATUSES:
        place = await new_inbox(visitor)
        url = address(await visitor.get(place))
        await say(visitor, place, status=str(status))
        answer = await visitor.client.post(url, content=b"{}")
        assert answer.status_code == status
        assert f"It answers {status}" in text(await visitor.get(place))


async def test_some_requests_fail_at_random(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await say(visitor, place, failures="50")
    answers = [(await visitor.client.post(url)).status_code for _ in range(60)]
    assert set(answers) == {200, 500}
    await say(visitor, place, failures="100")
    assert (await visitor.client.post(url)).status_code == 500


async def test_it_answers_late(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await say(visitor, place, delay="0.3")
    started = asyncio.get_running_loop().time()
    async with serving(visitor.stand.app) as base, httpx.AsyncClient() as client:
        answer = await client.post(base + urlsplit(url).path)
    assert answer.status_code == 200
    assert asyncio.get_running_loop().time() - started >= 0.3


async def test_a_server_that_stops_lets_nobody_wait(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await say(visitor, place, delay="14")
    app: Any = visitor.stand.app
    while not hasattr(app, "state"):
        app = next(part for part in vars(app).values() if callable(part))
    async with serving(visitor.stand.app) as base, httpx.AsyncClient() as client:
        waiting = asyncio.create_task(client.post(base + urlsplit(url).path, timeout=12))
        await visitor.stand.world.until(lambda: _came(visitor, place))
        app.state.stopping.set()
        assert (await waiting).status_code == 200


async def _came(visitor: Visitor, place: str) -> bool:
    return "Nothing has come in yet" not in await visitor.get(place)


NONSENSE = [
    ({"status": "999"}, "Choose one of the statuses"),
    ({"status": "99999999999"}, "Choose one of the statuses"),
    ({"status": "two"}, "Choose one of the statuses"),
    ({"delay": "14.5"}, "The delay must be from 0 to 14 seconds"),
    ({"delay": "-1"}, "The delay must be"),
    ({"delay": "nan"}, "Write a number of seconds"),
    ({"delay": "1e999"}, "Write a number of seconds"),
    ({"failures": "101"}, "from 0 to 100 percent"),
    ({"failures": "1.5"}, "Write a whole number"),
]


async def test_what_makes_no_sense_is_refused_at_its_field(visitor: Visitor) -> None:
    for form, words in NONSENSE:
        place = await new_inbox(visitor)
        asked = {"status": "404", "delay": "0", "failures": "0"} | form
        answer = await visitor.post(place, asked, status=422)
        assert words in html.unescape(answer.text)
        assert 'aria-invalid="true"' in answer.text
        assert "It answers 200 OK" in text(await visitor.get(place))


# -- bounds


async def test_only_the_newest_requests_are_kept(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    for number in range(KEPT_REQUESTS + 5):
        await visitor.stand.clock.advance_to(visitor.stand.clock.now() + 0.01)
        assert (await visitor.client.post(url, content=str(number).encode())).status_code == 200
    rows = await visitor.stand.world.fetch("select body from play_request order by id")
    assert [row["body"] for row in rows] == [str(n).encode() for n in range(5, KEPT_REQUESTS + 5)]


async def test_a_long_body_is_cut_off_and_said_to_be(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    await visitor.client.post(url, content=b"a" * (KEPT_BODY + 1000))
    assert "Only the first 65.5 kB of 66.5 kB are kept" in text(await visitor.get(place))
    assert (await visitor.client.post(url, content=b"a" * (3 * 1024 * 1024))).status_code == 413


async def test_an_inbox_takes_so_many_requests_and_then_says_to_slow_down(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    answers = [(await visitor.client.post(url)).status_code for _ in range(int(BURST) + 3)]
    assert answers == [200] * int(BURST) + [429] * 3
    clock = visitor.stand.clock
    await clock.advance_to(clock.now() + 1)
    answers = [(await visitor.client.post(url)).status_code for _ in range(int(RATE) + 1)]
    assert answers == [200] * int(RATE) + [429]


async def test_an_inbox_that_is_used_lives_on_and_one_that_is_not_ends(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    clock, database = visitor.stand.clock, visitor.stand.world.database
    start = clock.now()

    async def upkeep() -> None:
        async with database.connection() as connection:
            await store.forget(connection, clock.now(), 1000)

    await clock.advance_to(start + 6 * DAY)
    await upkeep()
    assert (await visitor.client.post(url)).status_code == 200
    await clock.advance_to(start + 12 * DAY)
    assert (await visitor.client.post(url)).status_code == 200
    await clock.advance_to(start + 20 * DAY)
    assert (await visitor.client.post(url)).status_code == 404
    await upkeep()
    (row,) = await visitor.stand.world.fetch("select count(*) from play_inbox")
    assert row[0] == 0


async def test_requests_are_forgotten_after_a_day(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    clock = visitor.stand.clock
    await visitor.client.post(url, content=b"old")
    await clock.advance_to(clock.now() + DAY + 1)
    async with visiting(visitor.stand) as later:
        assert "Nothing has come in yet" in await later.get(place)
    async with visitor.stand.world.database.connection() as connection:
        await store.forget(connection, clock.now(), 1000)
    assert await visitor.stand.world.fetch("select * from play_request") == []


async def test_the_inbox_of_a_deleted_application_takes_nothing(stand: Stand, visitor: Visitor) -> None:
    url = address(await visitor.get(await new_inbox(visitor)))
    await stand.native("DELETE", f"//app/{stand.app_id}")
    assert (await visitor.client.post(url)).status_code == 404


NO_INBOXES = ["x", "play_", "play_" + "0" * 27, "msg_" + "0" * 27, "play_%2e%2e"]


async def test_what_is_no_inbox_is_not_found(visitor: Visitor) -> None:
    for ref in NO_INBOXES:
        assert (await visitor.client.post(f"/play/in/{ref}")).status_code == 404
        await visitor.get(f"/play/{ref}", status=404)


# -- signatures

PRODUCTS = ["standard", "bluum", "bluma", "bloom"]


def signed(stand: Stand, secret: str, body: bytes, *, at: float | None = None) -> dict[str, str]:
    """The headers that the product's own recipe makes."""
    made = stand.product.recipe.headers(
        message_id=stand.world.new_id(),
        event_type="some.type",
        body=body,
        keys=stand.product.recipe.keys([SigningKey(secret)]),
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
            f"{url}\n",
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
                assert (await sender.send(Request(url, [], b"{}", 5.0))).status_code == 200
            for other in (f"{here.url}/api/v1/health", f"{url}?x", url.replace("://", "://a:b@")):
                answer = await sender.send(Request(other, [], b"{}", 5.0))
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
        try:
            answer = await sender.send(Request(url, [], b"{}", 0.5))
        finally:
            await sender.close()
        assert (answer.status_code, answer.error_code) == (0, "timeout")
        assert "no answer" in text(await here.visitor.get(place))


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
        found = await here.stand.services.probe.check(app_id, url)
        assert found == UrlCheck()
        assert (await here.stand.services.probe.check(app_id, f"{url}?a")).fault


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
    found = build.inbox_urls(Settings(public_url=public_url), role, listening)
    assert (found is None) == (base is None)
    if found is not None and base is not None:
        assert found.of(ids.new(1e9, b"12345678")).startswith(f"{base}play/in/play_")


@pytest.mark.parametrize("value", ["hooks.example.com", "https://a.example/?x", "https://me:pw@a.example"])
def test_a_public_url_below_which_nothing_can_be_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("ANGARIUM_PUBLIC_URL", value)
    with pytest.raises(SettingsError, match=r"ANGARIUM_PUBLIC_URL: write https://hooks\.example\.com"):
        load()
