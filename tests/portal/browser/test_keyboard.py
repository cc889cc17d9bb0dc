"""Nothing needs a mouse: an endpoint is added with the keyboard alone, and one sees where one is."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, Page, expect

from tests.portal.browser.served import Served

MOST = 60  # steps with Tab to anything on a page
HERE = "one => one === document.activeElement"
# what is drawn around the focused element
SEEN = """one => {
    const style = getComputedStyle(one);
    return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== "none";
}"""


async def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus, which must be seen."""
    for _ in range(MOST):
        await page.keyboard.press("Tab")
        if await wanted.evaluate(HERE):
            assert await wanted.evaluate(SEEN), f"the focus on {wanted} is not seen"
            return
    pytest.fail(f"Tab does not lead to {wanted}")


@pytest.mark.parametrize("product_name", ["bluum"])
async def test_an_endpoint_is_added_with_the_keyboard_alone(page: Page, site: Served) -> None:
    await page.goto(f"/portal/{site.app_id}")
    main = page.get_by_role("navigation", name="Main")
    await tab_to(page, main.get_by_role("link", name="Endpoints"))
    await page.keyboard.press("Enter")
    await tab_to(page, page.get_by_role("link", name="Add your first endpoint"))
    await page.keyboard.press("Enter")
    await tab_to(page, page.get_by_label("URL", exact=True))
    await page.keyboard.type("http://127.0.0.1:9/typed")
    await tab_to(page, page.get_by_label("Description"))
    await page.keyboard.type("Typed")
    await tab_to(page, page.get_by_role("radio", name="All events"))
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("radio", name="Only these")).to_be_checked()
    await tab_to(page, page.get_by_role("checkbox", name="order.filled"))
    await page.keyboard.press("Space")
    await tab_to(page, page.get_by_role("button", name="Add the endpoint"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Endpoint added")
    (made,) = (await site.stand.native("GET", "/endpoint"))["data"]
    assert (made["description"], made["filterTypes"]) == ("Typed", ["order.filled"])


async def test_the_first_step_leads_past_the_navigation(page: Page, site: Served) -> None:
    await page.goto(f"/portal/{site.app_id}/endpoints")
    await tab_to(page, page.get_by_role("link", name="Skip to content"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()
    await tab_to(page, page.get_by_role("link", name="Add your first endpoint"))
