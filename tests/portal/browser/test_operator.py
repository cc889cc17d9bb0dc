"""The operator's pages in a browser: in with a token, into a customer's portal to look, and out."""

from __future__ import annotations

import pytest_asyncio
from playwright.async_api import Page, expect

from tests.portal.browser.axe import violations
from tests.portal.browser.conftest import OpenPage
from tests.portal.browser.served import Served
from tests.portal.browser.watch import Watch


@pytest_asyncio.fixture(loop_scope="session")
async def stranger(open_page: OpenPage) -> Page:
    """A visitor who has no session yet."""
    return await open_page(None)


async def test_an_operator_looks_into_a_portal_and_can_change_nothing_there(
    stranger: Page, site: Served, watch: Watch
) -> None:
    page = stranger
    watch.expect("status of 401")
    await page.goto("/admin")
    assert await violations(page) == []
    await page.get_by_label("Organization token").fill(site.operator_token)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Applications")
    assert site.operator_token not in page.url
    await page.get_by_label("Name, UID or ID").fill(site.app_id)
    await page.get_by_role("button", name="Search").click()
    await page.get_by_role("button", name="View portal of").click()
    await expect(page).to_have_url(f"{site.url}/portal/{site.app_id}")
    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Endpoints").click()
    await expect(page.get_by_text("You have none yet")).to_be_visible()
    await expect(page.get_by_role("link", name="Add your first endpoint")).to_have_count(0)


async def test_a_wrong_token_is_refused_in_words(stranger: Page, site: Served, watch: Watch) -> None:
    watch.expect("status of 401")
    await stranger.goto("/admin/login")
    await stranger.get_by_label("Organization token").fill("nonsense")
    await stranger.get_by_role("button", name="Log in").click()
    await expect(stranger.get_by_text("Not a valid organization token")).to_be_visible()
    assert await violations(stranger) == []
