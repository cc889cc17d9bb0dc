"""The form of an endpoint as one fills it in: what it says meanwhile, and what it does before saving."""

from __future__ import annotations

from playwright.async_api import Page, expect

from tests.kit.receiver import Held, Receiver, Reply
from tests.portal.browser.served import Served

TYPES = [f"area{number % 6}.thing{number}" for number in range(60)]


async def catalogue(site: Served) -> None:
    for name in TYPES:
        body = {"description": "Something.", "schemas": {"1": {"examples": [{"n": 1}]}}}
        await site.stand.native("PUT", f"//event-type/{name}", body)


async def test_a_url_is_judged_while_it_is_typed_and_tried_before_it_is_saved(
    site: Served, page: Page
) -> None:
    await catalogue(site)
    async with Receiver(default=Reply(404)) as receiver:
        await page.goto(f"{site.url}/portal/{site.app_id}/endpoints/new")
        await page.fill("#url", "http://10.0.0.1/hook")
        await expect(page.locator("#url-check")).to_contain_text("is not public")
        await page.fill("#url", receiver.url)
        await expect(page.locator("#url-check")).to_contain_text("Not encrypted")
        await page.click("text=Try it now")
        await expect(page.locator("#trial")).to_contain_text("404 Not Found")
        receiver.default = Reply(204)
        await page.click("text=Try it now")
        await expect(page.locator("#trial")).to_contain_text("204 No Content")
        assert receiver.count == 2
    assert not (await site.stand.native("GET", "/endpoint"))["data"]


async def test_choosing_events_tells_how_many_there_are_and_finding_hides_the_others(
    site: Served, page: Page
) -> None:
    await catalogue(site)
    await page.goto(f"{site.url}/portal/{site.app_id}/endpoints/new")
    await expect(page.locator("#matches")).to_contain_text("60 of 60")
    await page.fill("#filter", "thing59")
    await expect(page.locator("[data-filter-text]:visible")).to_have_count(1)
    await page.fill("#filter", "area3")
    await page.check('[id="type-area3.*"]')
    await expect(page.locator("#matches")).to_contain_text("10 of 60")
    await expect(page.locator("#every-some")).to_be_checked()
    await page.click("text=More patterns")
    await page.fill("#more", "area1.*")
    await page.locator("#more").blur()
    await expect(page.locator("#matches")).to_contain_text("20 of 60")
    await page.fill("#url", "http://127.0.0.1:9/hook")
    await page.click("text=Add the endpoint")
    await expect(page.locator(".done")).to_contain_text("The endpoint was added")
    (made,) = (await site.stand.native("GET", "/endpoint"))["data"]
    assert made["filterTypes"] == ["area3.*", "area1.*"]


async def test_the_end_of_a_test_shows_by_itself(site: Served, page: Page) -> None:
    await catalogue(site)
    held = Held()
    async with Receiver(default=held) as receiver:
        endpoint = await site.stand.endpoint(receiver.url)
        await page.goto(f"{site.url}/portal/{site.app_id}/endpoints/{endpoint}/test")
        await page.click("text=Send the test")
        await expect(page.locator("#result")).to_contain_text("Sending")
        held.release.set()
        await expect(page.locator("#result")).to_contain_text("Delivered")
