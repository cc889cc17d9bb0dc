"""The message log: every filter in the URL, pages, and the text of an empty list."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest

from angarium.portal.customer import message_list
from angarium.service import log
from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor

EVERY_PRODUCT = pytest.mark.parametrize("stand", ["bluum", "bluma", "bloom"], indirect=True)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def types(page: str) -> list[str]:
    """The event types of the lines, in their order."""
    return re.findall(r'id="to-msg_[^"]*">([^<]+)</a>', page)


def link(page: str, words: str) -> str:
    found = re.search(rf'<a[^>]*href="([^"]*)"[^>]*>{re.escape(words)}</a>', page)
    assert found, f"no link {words!r}"
    return unescape(found[1])


async def test_an_empty_log_says_so(visitor: Visitor) -> None:
    page = await visitor.get("/messages")
    assert "No messages yet." in page
    assert "Nothing matches" in await visitor.get("/messages?type=order.filled")


async def test_each_filter_leaves_only_what_it_asks_for(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    receiver.plan(Reply(200), Reply(503))
    for name in ("order.filled", "order.canceled"):
        await stand.native("POST", "//event-type", {"name": name, "description": "For a test."})
    good = await stand.endpoint(receiver.url, description="Shop", filterTypes=["order.filled"])
    bad = await stand.endpoint(receiver.url, description="Stock", filterTypes=["order.canceled"])
    first = await stand.send("order.filled", tags=["eu"], eventId="order-1")
    await stand.until_attempts(1)
    await stand.send("order.canceled", channels=["vip"])
    await stand.until_attempts(2)
    both, one, other = ["order.canceled", "order.filled"], ["order.filled"], ["order.canceled"]
    assert types(await visitor.get("/messages")) == both
    for query, wanted in (
        ("status=delivered", one),
        ("status=retrying", other),
        ("status=delivered&status=retrying", both),
        ("status=failed", []),
        ("type=order.filled", one),
        ("type=order.*", both),
        ("type=stock.*", []),
        (f"endpoint={good}", one),
        (f"endpoint={bad}", other),
        ("http=2", one),
        ("http=5", other),
        ("error=http", other),
        ("error=http_503", other),
        ("error=tls", []),
        ("id=order-1", one),
        (f"id={first['id']}", one),
        ("id=order-2", []),
        ("tag=eu", one),
        ("channel=vip", other),
        ("within=1h", both),
        ("since=2000-01-01T00:00", both),
        ("until=2000-01-01T00:00", []),
        (f"endpoint={bad}&status=retrying&http=5&type=order.*&within=7d", other),
    ):
        page = await visitor.get(f"/messages?{query}")
        assert types(page) == wanted, query
        assert wanted or "Nothing matches this filter." in page


async def test_a_line_says_what_became_of_it(stand: Stand, visitor: Visitor, receiver: Receiver) -> None:
    receiver.plan(Reply(503))
    await stand.endpoint(receiver.url, description="Stock")
    await stand.send("order.filled", eventId="order-1")
    await stand.until_attempts(1)
    page = await visitor.get("/messages")
    for words in ("Stock", "Retrying", "503 Service Unavailable", "order-1", "next attempt <time"):
        assert words in page


async def test_a_filter_that_is_wrong_is_kept_and_said_at_its_field(visitor: Visitor) -> None:
    page = await visitor.get("/messages?type=order*&tag=eu", status=422)
    assert 'value="order*"' in page
    assert 'aria-describedby="type-fault" aria-invalid="true"' in page
    assert "a wildcard such as order.*" in page
    assert 'value="eu"' in page
    assert "The filter is not valid" in page


async def test_a_place_that_is_none_is_said(visitor: Visitor) -> None:
    assert "does not exist" in await visitor.get("/messages?before=nonsense", status=422)


async def test_pages_follow_each_other_without_a_gap(
    stand: Stand, visitor: Visitor, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_list, "ROWS", 2)
    await stand.endpoint(receiver.url)
    for number in range(5):
        await stand.send(f"n.{number}", tags=["all"])
    first = await visitor.get("/messages?tag=all")
    second = await visitor.get(link(first, "Older"))
    third = await visitor.get(link(second, "Older"))
    assert [types(page) for page in (first, second, third)] == [["n.4", "n.3"], ["n.2", "n.1"], ["n.0"]]
    assert types(await visitor.get(link(third, "Newer"))) == ["n.2", "n.1"]
    assert 'rel="next"' not in third
    assert "data-live" in first
    assert "data-live" not in second


async def test_a_search_that_stopped_says_how_far_it_looked_and_goes_on(
    stand: Stand, visitor: Visitor, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.endpoint(receiver.url)
    await stand.send("rare.thing", tags=["rare"])
    for number in range(6):
        await stand.send(f"n.{number}")
    monkeypatch.setattr(log, "STRETCHES", (2, 2))
    page = await visitor.get("/messages?tag=rare")
    assert types(page) == []
    assert "No match back to" in page
    for _ in range(3):
        page = await visitor.get(link(page, "Search further back"))
        if types(page):
            break
    assert types(page) == ["rare.thing"]


async def test_a_message_that_nobody_wanted_is_found_by_its_id(stand: Stand, visitor: Visitor) -> None:
    await stand.send("order.filled", eventId="alone")
    page = await visitor.get("/messages?id=alone")
    assert "no endpoint was subscribed to it" in page


async def test_htmx_gets_the_list_alone_and_a_url_without_empty_fields(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await stand.endpoint(receiver.url)
    await stand.send("order.filled")
    path = f"{visitor.base}/messages?type=order.*&tag=&within="
    answer = await visitor.client.get(path, headers={"hx-request": "true", "hx-trigger": "filters"})
    assert answer.text.lstrip().startswith('<div id="log"')
    assert types(answer.text) == ["order.filled"]
    assert answer.headers["hx-push-url"] == f"{visitor.base}/messages?type=order.%2A"
    news = await visitor.client.get(path, headers={"hx-request": "true", "hx-trigger": "log"})
    assert "hx-push-url" not in news.headers
    back = await visitor.client.get(
        path, headers={"hx-request": "true", "hx-history-restore-request": "true"}
    )
    assert back.text.lstrip().startswith("<!doctype html>")


async def test_only_who_may_send_again_is_offered_it(
    stand: Stand, visitor: Visitor, reader: Visitor, receiver: Receiver
) -> None:
    await stand.endpoint(receiver.url)
    await stand.send("order.filled")
    assert "Send all matching again" in await visitor.get("/messages")
    assert "Send all matching again" not in await reader.get("/messages")


@EVERY_PRODUCT
async def test_ids_are_those_that_the_products_customers_know(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await stand.endpoint(receiver.url)
    name = "order.filled"
    await stand.send(name)
    page = await visitor.get("/messages")
    (ref,) = re.findall(r'/messages/([^/"?]+)" id="to-', page)
    assert ref.startswith(stand.product.profile.ids.message)
    assert types(await visitor.get(f"/messages?id={ref}")) == [name]
    (endpoint,) = re.findall(r'<option value="([^"]+)">http', page)
    assert endpoint.startswith(stand.product.profile.ids.endpoint)
    assert types(await visitor.get(f"/messages?endpoint={endpoint}")) == [name]
