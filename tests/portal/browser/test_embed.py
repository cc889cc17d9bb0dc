"""The portal in a frame of a customer's own page, which is of another site."""

from __future__ import annotations

import html
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from playwright.async_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.api.serving import serving
from tests.kit.patience import until
from tests.portal.browser.conftest import DEADLINE
from tests.portal.browser.served import served
from tests.portal.browser.watch import Watch

EMBED = "/portal/static/embed.js"
HEAD = "<!doctype html><html lang=en><link rel=icon href=data:,><title>Shop</title>"


@asynccontextmanager
async def shop() -> AsyncIterator[tuple[str, dict[str, str]]]:
    """A page of another site (`localhost`, for our server is `127.0.0.1`); shows what is put into it."""
    content: dict[str, str] = {}

    async def show(_: Request) -> Response:
        return Response(
            "<!doctype html><link rel=icon href=data:,><title>Shop</title>" + content["html"],
            media_type="text/html",
        )

    async with serving(Starlette(routes=[Route("/", show)])) as url:
        yield url.replace("127.0.0.1", "localhost"), content


@pytest.mark.parametrize("way", ["component", "frame"])
async def test_it_works_in_a_frame_of_a_page_that_may_show_it(
    browser: Browser, database_url: str, way: str
) -> None:
    async with (
        shop() as (origin, content),
        served(database_url, "standard", frame_ancestors=[origin]) as site,
    ):
        link = await site.link()
        content["html"] = (
            f'<script src="{site.url}{EMBED}"></script><angarium-portal url="{link}"></angarium-portal>'
            if way == "component"
            else f'<iframe title=Webhooks src="{link}" width=800 height=600></iframe>'
        )
        context = await browser.new_context()
        context.set_default_timeout(DEADLINE)
        watch = Watch(origin, site.url)
        watch.follow(context)
        page = await context.new_page()
        await page.goto(origin)
        frame = page.frame_locator("iframe")
        await expect(frame.get_by_role("heading", level=1)).to_have_text("Overview")
        await frame.get_by_role("link", name="Endpoints").click()  # the session goes along from page to page
        await expect(frame.get_by_role("heading", level=1)).to_have_text("Endpoints")
        if way == "component":
            fits = "one => one.scrollHeight <= one.clientHeight + 1"
            await until(lambda: frame.locator("html").evaluate(fits), "a frame as high as its content")
        assert watch.trouble == []
        await context.close()


async def test_forms_and_live_pages_work_in_a_frame_and_leaving_does_too(
    browser: Browser, database_url: str
) -> None:
    async with (
        shop() as (origin, content),
        served(database_url, "standard", frame_ancestors=[origin]) as site,
    ):
        link = await site.link()
        look = "hideNavigation=false&noGutters=true&darkMode=true&fontFamily=Georgia"
        url = html.escape(link.replace("/login#", f"/login?next=%2Fplay&{look}#"))
        content["html"] = (
            f'<script src="{site.url}{EMBED}"></script><angarium-portal url="{url}"></angarium-portal>'
        )
        context = await browser.new_context()
        context.set_default_timeout(DEADLINE)
        watch = Watch(origin, site.url)
        watch.follow(context)
        page = await context.new_page()
        await page.goto(origin)
        frame = page.frame_locator("iframe")
        await frame.get_by_role("button", name="Create an inbox").click()
        await expect(frame.get_by_role("status").first).to_have_text("The inbox is ready.")
        assert await frame.locator("html").get_attribute("data-mode") == "dark"
        assert "Georgia" in await frame.locator("body").evaluate("one => getComputedStyle(one).fontFamily")
        assert await frame.locator("main").evaluate("one => getComputedStyle(one).paddingTop") == "0px"

        inbox = await frame.locator("#inbox-url").inner_text()
        empty = await height(page)
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(inbox, content=json.dumps([f"line {n}" for n in range(200)]))
            assert answer.status_code == 200
        await expect(frame.get_by_role("cell", name="POST")).to_be_visible()  # without a click
        await expect(frame.locator("#request pre")).to_contain_text('"line 199"')
        await page.wait_for_function(f"document.querySelector('iframe').clientHeight > {empty + 100}")

        await frame.get_by_role("button", name="Log out").click()
        await expect(frame.get_by_role("heading", level=1)).to_have_text("You are logged out")
        assert watch.trouble == []
        await context.close()


async def height(page: Page) -> int:
    found: int = await page.locator("iframe").evaluate("one => one.clientHeight")
    return found


async def test_a_page_that_may_not_show_it_gets_an_empty_frame(browser: Browser, database_url: str) -> None:
    async with shop() as (origin, content), served(database_url, "standard") as site:
        content["html"] = f'<iframe title=Webhooks src="{await site.link()}"></iframe>'
        context = await browser.new_context()
        context.set_default_timeout(DEADLINE)
        watch = Watch(origin, site.url)
        watch.follow(context)
        page = await context.new_page()
        await page.goto(origin)
        await watch.until("frame-ancestors")
        assert await page.frame_locator("iframe").get_by_role("heading").count() == 0
        await context.close()
