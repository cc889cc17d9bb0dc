"""Entry and exit: a link, an invalid link, a theme, and a frame in a customer's own page."""

from __future__ import annotations

import re

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.portal.browser.axe import violations
from tests.portal.browser.conftest import OpenPage
from tests.portal.browser.served import Served
from tests.portal.browser.watch import Watch


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(open_page: OpenPage) -> Page:
    """A visitor who has opened no link yet."""
    return await open_page(None)


async def test_a_link_leads_in_and_its_key_stays_nowhere(stranger: Page, site: Served) -> None:
    await stranger.goto(await site.link())
    await expect(stranger).to_have_url(f"{site.url}/portal/{site.app_id}")
    await expect(stranger.get_by_role("heading", level=1)).to_have_text("Overview")
    assert await stranger.evaluate("document.cookie") == ""  # no script can read the session
    assert "key" not in await stranger.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    await stranger.go_back()
    assert "key=" not in stranger.url


async def test_a_link_leads_where_its_next_says(stranger: Page, site: Served) -> None:
    link = await site.link()
    await stranger.goto(link.replace("/login#", "/login?next=%2Fplay#"))
    await expect(stranger).to_have_url(f"{site.url}/portal/{site.app_id}/play")


async def test_leaving_ends_the_session(page: Page, site: Served, watch: Watch) -> None:
    await page.goto(f"/portal/{site.app_id}")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("You are logged out")
    watch.expect("status of 401")
    await page.goto(f"/portal/{site.app_id}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your session has ended")
    assert await violations(page) == []


@pytest.mark.parametrize(
    ("fragment", "words"),
    [("#key=nonsense", "This link is no longer valid"), ("", "This link is incomplete")],
    ids=["not valid", "cut off"],
)
async def test_a_link_that_is_not_good_is_told_so(
    stranger: Page, watch: Watch, fragment: str, words: str
) -> None:
    watch.expect("status of 401")
    await stranger.goto(f"/login{fragment}")
    await expect(stranger.get_by_role("status")).to_contain_text(words)
    assert await violations(stranger) == []


async def test_without_scripts_the_door_says_what_it_needs(open_page: OpenPage, site: Served) -> None:
    page = await open_page(None, java_script_enabled=False)
    await page.goto(await site.link())
    await expect(page.locator("noscript p")).to_contain_text("Opening a link requires JavaScript once")


async def test_a_theme_is_kept_and_stays_readable(stranger: Page, site: Served) -> None:
    """A pale colour is asked for; what is written in it can still be read (axe judges the contrast)."""
    look = "primaryColorLight=ffe08a&primaryColorDark=402000&fontFamily=Georgia"
    await stranger.goto((await site.link()).replace("/login#", f"/login?{look}#"))
    await expect(stranger.get_by_role("heading", level=1)).to_have_text("Overview")
    assert "Georgia" in await stranger.evaluate("getComputedStyle(document.body).fontFamily")
    accent = "getComputedStyle(document.documentElement).getPropertyValue('--accent').trim()"
    await stranger.get_by_role("link", name="Play").click()  # kept from page to page
    red, green, blue = (int(part, 16) for part in re.findall("..", (await stranger.evaluate(accent))[1:]))
    assert red > green > blue  # still a kind of yellow
    assert await violations(stranger) == []
    await stranger.emulate_media(color_scheme="dark")
    assert await violations(stranger) == []


@pytest.mark.parametrize(("mode", "scheme"), [("true", "light"), ("false", "dark")])
async def test_dark_mode_may_be_fixed(open_page: OpenPage, site: Served, mode: str, scheme: str) -> None:
    page = await open_page(None, color_scheme=scheme)
    await page.goto((await site.link()).replace("/login#", f"/login?darkMode={mode}#"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 384) == (mode == "true")
    assert await violations(page) == []


async def test_navigation_may_be_left_out(stranger: Page, site: Served) -> None:
    await stranger.goto((await site.link()).replace("/login#", "/login?hideNavigation=true#"))
    await expect(stranger.get_by_role("heading", level=1)).to_have_text("Overview")
    await expect(stranger.get_by_role("navigation", name="Main")).to_have_count(0)
