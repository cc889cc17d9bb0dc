"""Pages stay usable with the longest texts that the API takes."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, ViewportSize, expect

from angarium.core.nouns import MAX_NAME, MAX_TEXT
from tests.portal.browser.conftest import DESKTOP, PHONE, OpenPage
from tests.portal.browser.served import Served

BETWEEN: ViewportSize = {"width": 700, "height": 800}
NAMES = {"one word": "W" * MAX_NAME, "many words": ("Wide words " * MAX_NAME)[:MAX_NAME]}
LINE = 24  # pixels


async def height(part: Locator) -> float:
    box = await part.bounding_box()
    assert box is not None
    return box["height"]


async def fits(page: Page) -> bool:
    return bool(
        await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    )


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
async def test_a_longest_name_pushes_nothing_out_of_its_place(
    open_page: OpenPage, site: Served, name: str
) -> None:
    page = await open_page()
    await site.sign_in_operator(page.context)
    for size in (DESKTOP, BETWEEN, PHONE):
        await page.set_viewport_size(size)
        await site.stand.native("PATCH", f"//app/{site.app_id}", {"name": "Short"})
        await page.goto(f"/portal/{site.app_id}")
        bar, leave = page.locator(".bar"), page.get_by_role("button", name="Log out")
        usual = await height(bar), await height(leave)
        await page.goto(f"/admin?q={site.app_id}")
        look = page.get_by_role("button", name="View portal of")
        usual_look, usual_row = await height(look), await height(page.locator("tbody tr"))
        await site.stand.native("PATCH", f"//app/{site.app_id}", {"name": name})
        await page.goto(f"/portal/{site.app_id}")
        assert await height(leave) == usual[1], "its word is in one piece"
        assert await height(bar) <= usual[0] + 3 * LINE
        assert await fits(page)
        await page.goto(f"/admin?q={site.app_id}")
        assert await height(look) == usual_look
        assert await height(page.locator("tbody tr")) <= usual_row + 3 * LINE
        assert await fits(page)


async def test_lists_show_the_beginning_of_a_longest_description_and_its_page_all_of_it(
    page: Page, site: Served
) -> None:
    texts = {"words": ("A long description. " * MAX_TEXT)[:MAX_TEXT].strip(), "letters": "d" * MAX_TEXT}
    for name, text in texts.items():
        await site.stand.native("PUT", f"//event-type/long.{name}", {"description": text})
    made = await site.stand.native(
        "POST",
        f"//app/{site.app_id}/endpoint",
        {"url": "http://127.0.0.1:9/hook", "description": texts["words"]},
    )
    for path in ("event-types", "endpoints/new", "endpoints", f"endpoints/{made['id']}"):
        await page.goto(f"/portal/{site.app_id}/{path}")
        shown = page.locator(".brief")
        for one in await shown.all():
            assert await height(one) <= 3 * LINE + 8, path
        assert await shown.count()
        assert await fits(page), path
    for name, text in texts.items():
        await page.goto(f"/portal/{site.app_id}/event-types/long.{name}")
        whole = page.locator("main p").filter(has_text=text[:40])
        await expect(whole).to_have_text(text)
        assert await height(whole) > 10 * LINE
        assert await fits(page)
