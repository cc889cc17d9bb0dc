"""The message log in a real browser: live, filtered without loading the page, sent again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from angarium.portal.kit import live
from angarium.portal.kit.live import Viewers
from tests.kit.patience import until
from tests.kit.receiver import Receiver, Reply
from tests.portal.browser.conftest import OpenPage
from tests.portal.browser.served import Served
from tests.portal.browser.watch import Watch


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def log(site: Served) -> str:
    return f"/portal/{site.app_id}/messages"


def viewers(site: Served) -> Viewers:
    found: Viewers = site.stand.state.viewers
    return found


async def test_a_message_appears_by_itself_and_a_pause_holds_the_list(
    site: Served, open_page: OpenPage, receiver: Receiver
) -> None:
    receiver.plan(Reply(500))
    await site.stand.endpoint(receiver.url)
    page, paused = await open_page(), await open_page()
    for one in (page, paused):
        await one.goto(log(site))
        await expect(one.get_by_text("No messages yet")).to_be_visible()
    await paused.get_by_role("button", name="Pause").click()
    await site.stand.send("order.filled")
    line = page.get_by_role("row").filter(has_text="order.filled")
    await expect(line).to_contain_text("Delivered")  # after a retry
    await expect(paused.get_by_text("No messages yet")).to_be_visible()
    await paused.get_by_role("button", name="Resume").click()
    await expect(paused.get_by_role("link", name="order.filled")).to_be_visible()


async def test_a_filter_changes_the_list_and_the_url_and_the_way_back_works(
    site: Served, page: Page, receiver: Receiver
) -> None:
    await site.stand.endpoint(receiver.url)
    for name in ("order.filled", "stock.low"):
        await site.stand.send(name)
    await site.stand.until_attempts(2)
    await page.goto(log(site))
    types = page.locator("tbody tr td:first-child a")
    await expect(types).to_have_text(["stock.low", "order.filled"])
    await page.get_by_label("Event type").fill("order.*")
    await page.keyboard.press("Enter")
    await expect(types).to_have_text(["order.filled"])
    await expect(page).to_have_url(f"{site.url}{log(site)}?type=order.%2A")
    await page.get_by_label("Retrying").check()
    await expect(page.get_by_text("Nothing matches this filter.")).to_be_visible()
    await expect(page).to_have_url(re.compile("status=retrying"))
    await page.go_back()
    await expect(types).to_have_text(["order.filled"])
    await page.reload()
    await expect(types).to_have_text(["order.filled"])
    await expect(page.get_by_label("Event type")).to_have_value("order.*")


async def test_each_page_takes_one_place_and_gives_it_back(site: Served, page: Page) -> None:
    await page.goto(log(site))
    await expect(page.get_by_role("button", name="Pause")).to_be_visible()

    async def one() -> bool:
        return viewers(site).count == 1

    async def none() -> bool:
        return viewers(site).count == 0

    await until(one)
    for name in ("Failed", "Waiting"):
        await page.get_by_label(name, exact=True).check()
        await expect(page).to_have_url(re.compile(name.lower()))
    await until(one)  # of the lists that were put in place of each other only the last
    await page.goto(f"/portal/{site.app_id}/event-types")
    await until(none)


async def test_without_a_place_it_asks_now_and_then(
    site: Served, page: Page, watch: Watch, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_VIEWERS", 0)
    watch.expect("status of 503")
    await site.stand.endpoint(receiver.url)
    await page.goto(log(site))
    await site.stand.send("order.filled")
    await expect(page.get_by_role("link", name="order.filled")).to_be_visible()


async def test_times_are_typed_in_ones_own_zone_and_meant_in_utc(site: Served, open_page: OpenPage) -> None:
    page = await open_page(timezone_id="America/New_York")
    await page.goto(f"{log(site)}?since=2026-12-01T10:00")
    await expect(page.get_by_label("Accepted from (your time)")).to_have_value("2026-12-01T05:00")
    await page.get_by_label("until (your time)").fill("2026-12-01T06:00")
    await page.get_by_role("button", name="Show").click()
    await expect(page).to_have_url(re.compile("since=2026-12-01T10%3A00&until=2026-12-01T11%3A00"))


async def test_what_is_open_stays_open_while_a_message_changes(
    site: Served, page: Page, receiver: Receiver
) -> None:
    endpoint = await site.stand.endpoint(receiver.url)
    sent = await site.stand.send("order.filled")
    await site.stand.until_attempts(1)
    await site.stand.native("POST", f"/msg/{sent['id']}/endpoint/{endpoint}/resend")
    await site.stand.until_attempts(2)
    await page.goto(f"{log(site)}/{sent['id']}")
    receiver.plan(Reply(200, delay=3))
    await page.get_by_role("button", name="Send again").click()
    await expect(page.get_by_text("The message is being sent again.")).to_be_visible()
    oldest = page.locator("details.attempt").last
    await oldest.locator("summary").click()
    await expect(oldest).to_have_attribute("open", "")
    await expect(page.locator("details.attempt")).to_have_count(3)
    await expect(page.locator("details.attempt").last).to_have_attribute("open", "")


async def test_all_that_match_are_sent_again_from_count_to_done(
    site: Served, page: Page, receiver: Receiver
) -> None:
    await site.stand.endpoint(receiver.url)
    for number in range(3):
        await site.stand.send(f"n.{number}")
    await site.stand.until_attempts(3)
    await page.goto(f"{log(site)}?type=n.*")
    await page.get_by_role("link", name="Send all matching again").click()
    await expect(page.get_by_role("heading", level=2)).to_have_text("3 deliveries will be sent again")
    await page.get_by_label("Fast: 100").check()
    await page.get_by_role("button", name="Send them again").click()
    await expect(page.get_by_text("3 of 3 queued")).to_be_visible()
    await site.stand.until_attempts(6)
    assert receiver.count == 6
