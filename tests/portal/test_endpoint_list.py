"""The list of endpoints: what each is, and its health."""

from __future__ import annotations

import pytest

from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor


async def test_without_endpoints_the_list_leads_to_adding_one(visitor: Visitor, reader: Visitor) -> None:
    page = await visitor.get("/endpoints")
    assert "You have none yet" in page
    assert f'href="{visitor.base}/endpoints/new"' in page
    assert "/endpoints/new" not in await reader.get("/endpoints")


async def test_the_list_says_what_an_endpoint_gets_and_never_shows_a_login_in_its_url(
    stand: Stand, visitor: Visitor
) -> None:
    await stand.native("POST", "//event-type", {"name": "order.filled", "description": "Filled."})
    await stand.endpoint("http://me:hunter2@127.0.0.1:9/hook", description="For the books")
    await stand.endpoint("http://127.0.0.1:9/some", eventTypes=["order.filled", "transfer.*", "x.*"])
    page = await visitor.get("/endpoints")
    assert "http://127.0.0.1:9/hook" in page
    assert "hunter2" not in page
    assert "For the books" in page
    assert "all events" in page
    assert "order.filled and 2 more" in page
    assert "no recent attempts" in page


async def test_an_endpoint_that_fails_or_is_disabled_says_so_and_why(stand: Stand, visitor: Visitor) -> None:
    async with Receiver(default=Reply(500)) as receiver:
        failing = await stand.endpoint(receiver.url)
        await stand.send("order.filled")
        await stand.until_attempts(1)
        page = await visitor.get("/endpoints")
        assert "Failing" in page
        receiver.default = Reply(410)
        await stand.send("order.filled")
        await stand.until_attempts(2)
        page = await visitor.get("/endpoints")
        assert "Disabled" in page
        assert "responded 410 Gone" in page
    await stand.native("PATCH", f"/endpoint/{failing}", {"disabled": False})
    await stand.native("PATCH", f"/endpoint/{failing}", {"disabled": True})
    assert "manually" in await visitor.get("/endpoints")


async def test_a_long_list_has_pages_both_ways(
    stand: Stand, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("angarium.portal.customer.endpoint.ROWS", 2)
    for number in range(5):
        await stand.clock.advance_to(stand.clock.now() + 1)
        await stand.endpoint(f"http://127.0.0.1:9/{number}")
    seen = []
    page = await visitor.get("/endpoints")
    pages = [page]
    while 'rel="next"' in page:
        page = await visitor.get(page.split('rel="next"')[0].rpartition('href="')[2].rstrip('" '))
        pages.append(page)
    for page in pages:
        seen.append([number for number in range(5) if f"9/{number}<" in page])
    assert seen == [[3, 4], [1, 2], [0]]
    back = await visitor.get(page.split('rel="prev"')[0].rpartition('href="')[2].rstrip('" '))
    assert "9/1<" in back
    assert "9/2<" in back


async def test_another_applications_endpoints_are_not_listed_and_not_found(
    stand: Stand, visitor: Visitor
) -> None:
    other = await stand.native("POST", "//app", {"name": "Other"})
    made = await stand.native("POST", f"//app/{other['id']}/endpoint", {"url": "http://127.0.0.1:9/others"})
    assert "others" not in await visitor.get("/endpoints")
    for tab in ("", "/settings", "/secret", "/test", "/recover", "/code"):
        await visitor.get(f"/endpoints/{made['id']}{tab}", status=404)
    for audit_event in (
        "enable",
        "disable",
        "delete",
        "settings",
        "secret",
        "secret/rotate",
        "test",
        "recover",
    ):
        await visitor.post(f"/endpoints/{made['id']}/{audit_event}", status=404)
    found = await stand.native("GET", f"//app/{other['id']}/endpoint/{made['id']}")
    assert not found["disabled"]


async def test_a_very_long_url_is_cut_on_every_page_and_whole_in_its_form(
    stand: Stand, visitor: Visitor
) -> None:
    url = "http://127.0.0.1:9/" + "a" * 65_000
    endpoint = await stand.endpoint(f"  {url}\n")
    assert (await stand.native("GET", f"/endpoint/{endpoint}"))["url"] == url
    await stand.send("a.b")
    await stand.until_attempts(1)
    messages = (await stand.native("GET", "/msg"))["data"]
    for path in (
        "",
        "/endpoints",
        f"/endpoints/{endpoint}",
        f"/endpoints/{endpoint}/code",
        "/messages",
        f"/messages/{messages[0]['id']}",
        "/audit",
    ):
        page = await visitor.get(path)
        assert "a" * 1000 not in page, path
    assert f'value="{url}"' in await visitor.get(f"/endpoints/{endpoint}/settings")
