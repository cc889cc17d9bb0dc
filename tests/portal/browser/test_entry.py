"""The way in."""

from __future__ import annotations

from tests.portal.browser.conftest import OpenPage
from tests.portal.browser.served import Served


async def test_a_link_leads_in(open_page: OpenPage, site: Served) -> None:
    page = await open_page(None)
    await page.goto(await site.link())
    await page.get_by_role("heading").first.wait_for()
