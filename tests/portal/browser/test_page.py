"""What holds for every page, whatever is on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.conftest import TEMPLATE, Clones
from tests.portal.browser.axe import COLOUR, SPACE, violations
from tests.portal.browser.conftest import DEADLINE, DESKTOP, PHONE
from tests.portal.browser.history import History, history
from tests.portal.browser.place import PLACES, Place
from tests.portal.browser.watch import Watch

MESSAGES = 12
TOO_WIDE = """() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width) return [];
    return [...document.querySelectorAll("body *")]
        .filter((one) => one.getBoundingClientRect().right > width)
        .map((one) => one.outerHTML.slice(0, 120));
}"""
MOVING = """() => [...document.querySelectorAll("*")].filter((one) => {
    const style = getComputedStyle(one);
    const seconds = `${style.animationDuration}, ${style.transitionDuration}`.split(",").map(parseFloat);
    return Math.max(...seconds) > 0.01;
}).map((one) => one.outerHTML.slice(0, 120))"""
# what there is to read, but for times, which scripts make local
READ = """() => [...document.querySelectorAll("h1, h2, h3, th, td, dt, dd, main a, main label")]
    .filter((one) => !one.closest("[data-needs-scripts]") && !one.querySelector("time, button, [data-zone]"))
    .map((one) => one.textContent.trim())"""


@dataclass(frozen=True)
class Reader:
    """A customer who looks at a day that was, with scripts and without."""

    day: History
    page: Page
    plain: Page
    watch: Watch

    async def see(self, place: Place, page: Page) -> None:
        self.watch.forget()
        if place.status != 200:
            self.watch.expect(f"status of {place.status}")
        answer = await page.goto(place.url(self.day))
        assert answer is not None
        assert answer.status == place.status
        if place.prepare is not None:
            await place.prepare(page)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def reader(request: pytest.FixtureRequest, clones: Clones, browser: Browser) -> AsyncIterator[Reader]:
    """The parameter names the product."""
    with clones.of(TEMPLATE) as url:
        async with history(url, request.param, MESSAGES) as day:
            watch = Watch(day.site.url)
            page, plain = [await _opened(browser, day, watch, scripts) for scripts in (True, False)]
            yield Reader(day, page, plain, watch)
            await page.context.close()
            await plain.context.close()


async def _opened(browser: Browser, day: History, watch: Watch, scripts: bool) -> Page:
    context = await browser.new_context(viewport=DESKTOP, java_script_enabled=scripts)
    context.set_default_timeout(DEADLINE)
    watch.follow(context)
    await day.site.sign_in(context)
    await day.site.sign_in_operator(context)
    return await context.new_page()


def name_of(place: Place) -> str:
    return place.name


@pytest.mark.parametrize("reader", ["standard"], indirect=True)
@pytest.mark.parametrize("place", PLACES, ids=name_of)
async def test_axe_finds_nothing_it_fits_a_phone_keeps_still_and_reads_without_scripts(
    reader: Reader, place: Place
) -> None:
    await judge(reader, place)


@pytest.mark.parametrize("reader", ["bluma"], indirect=True)
@pytest.mark.parametrize("place", [place for place in PLACES if place.by_profile], ids=name_of)
async def test_so_it_is_where_a_profile_makes_a_page_look_another_way(reader: Reader, place: Place) -> None:
    await judge(reader, place)


async def judge(reader: Reader, place: Place) -> None:
    page = reader.page
    await page.set_viewport_size(DESKTOP)
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    await reader.see(place, page)
    assert await violations(page) == [], "in light"
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert await violations(page, COLOUR) == [], "in dark"
    assert await page.evaluate(MOVING) == []
    await page.set_viewport_size(PHONE)
    assert await page.evaluate(TOO_WIDE) == []
    assert await violations(page, SPACE) == [], "on a phone"
    await reader.plain.goto(place.url(reader.day))
    assert await reader.plain.evaluate(READ) == await page.evaluate(READ)
    assert await reader.plain.locator("[data-needs-scripts]:visible").count() == 0
    assert reader.watch.trouble == []
