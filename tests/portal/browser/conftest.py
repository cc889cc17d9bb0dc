"""A real Chromium: one for each test process, a fresh profile and a watched page for each test.

These tests run in one event loop for the session, because the browser lives in it. Servers are shared, but
each test is a customer of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from tests.conftest import TEMPLATE, Clones
from tests.kit import chromium
from tests.kit.patience import PATIENCE
from tests.portal.browser.served import Served, served
from tests.portal.browser.watch import Watch

HERE = Path(__file__).parent
DEADLINE = PATIENCE * 1000  # milliseconds, for one step of a page
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 375, "height": 812}
# a host that a page should not know is not even looked up
NO_OTHER_HOST = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"

NO_LIMITS: dict[str, Any] = {}  # a link that may do everything

OpenPage = Callable[..., Awaitable[Page]]
Start = Callable[[str], Awaitable[Served]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    expect.set_options(timeout=DEADLINE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium.find(), args=[*chromium.FLAGS, NO_OTHER_HOST]
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def start(clones: Clones) -> AsyncIterator[Start]:
    """Starts the server of a product, once for all tests. It tries once more after a tenth of a second."""
    running: dict[str, Served] = {}
    async with AsyncExitStack() as stack:

        async def start(product: str) -> Served:
            if product not in running:
                url = stack.enter_context(clones.of(TEMPLATE))
                server = served(url, product, retries="100ms", jitter=(0.0, 0.0))
                running[product] = await stack.enter_async_context(server)
            return running[product]

        yield start


@pytest.fixture
def product_name() -> str:
    """Which product `site` serves; parametrize it for others."""
    return "standard"


@pytest_asyncio.fixture(loop_scope="session")
async def site(start: Start, product_name: str) -> Served:
    """The product's server, for an application of its own."""
    return await (await start(product_name)).customer()


@pytest_asyncio.fixture(loop_scope="session")
async def watch(site: Served) -> AsyncIterator[Watch]:
    """Fails the test in the end if a page did what no page must."""
    watch = Watch(site.url)
    yield watch
    assert not watch.trouble, "\n".join(watch.trouble)


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser, site: Served, watch: Watch) -> AsyncIterator[OpenPage]:
    """Opens a page with a profile of its own, signed in unless `link` is None; options are Playwright's."""
    async with AsyncExitStack() as stack:

        async def open_page(link: dict[str, Any] | None = NO_LIMITS, **options: Any) -> Page:
            context = await browser.new_context(base_url=site.url, **({"viewport": DESKTOP} | options))
            stack.push_async_callback(context.close)
            context.set_default_timeout(DEADLINE)
            watch.follow(context)
            if link is not None:
                await site.sign_in(context, **link)
            return await context.new_page()

        yield open_page


@pytest_asyncio.fixture(loop_scope="session")
async def page(open_page: OpenPage) -> Page:
    """A desktop's, signed in."""
    return await open_page()


@pytest_asyncio.fixture(loop_scope="session")
async def phone(open_page: OpenPage) -> Page:
    """A phone's: 375 px wide, to be touched."""
    return await open_page(viewport=PHONE, has_touch=True, is_mobile=True)


@pytest_asyncio.fixture(loop_scope="session")
async def without_javascript(open_page: OpenPage) -> Page:
    return await open_page(java_script_enabled=False)
