"""The whole story, for each product, as a customer walks it in a browser at a server of its own process.

A link, a Play endpoint, an event that arrives verified; then the endpoint breaks, the customer reads why,
fixes it, recovers what was lost, and all is green.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from angarium import profiles
from tests.kit.patience import until
from tests.kit.server import Server, dev
from tests.portal.browser.axe import violations
from tests.portal.browser.conftest import DEADLINE, DESKTOP
from tests.portal.browser.watch import Watch

PRODUCTS = ("bluum", "bluma", "bloom")
SOON = "200ms"  # in place of a product's hours


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server() -> AsyncIterator[Server]:
    """All products as they are shipped, but quick to try again and soon done with it."""
    directory = Path(tempfile.mkdtemp(prefix="angarium-test-"))
    files = []
    for name in PRODUCTS:
        shipped = (Path(profiles.__file__).parent / f"{name}.toml").read_text()
        quick = re.sub(r"^retries = .*$", f'retries = "{SOON}"', shipped, flags=re.MULTILINE)
        files.append(directory / f"{name}.toml")
        files[-1].write_text(re.sub(r"^jitter = .*$", "jitter = [0.0, 0.0]", quick, flags=re.MULTILINE))
    wanted = {"ANGARIUM_PROFILES": ",".join(map(str, files))}
    try:
        async with dev(
            directory / "data", ANGARIUM_RETRY_SCHEDULE=SOON, ANGARIUM_RETRY_JITTER="0", **wanted
        ) as server:
            yield server
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass
class Operator:
    """The operator of the product, over the API."""

    client: httpx.AsyncClient
    app_id: str
    examples: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = await self.client.post(path, json=dict(body))
        assert answer.is_success, answer.text
        return answer.json()

    async def link(self) -> str:
        return str((await self.post(f"/auth/app-portal-access/{self.app_id}", {}))["url"])

    async def send(self) -> str:
        """An event of the first type; gives its type."""
        event_type, example = self.examples[0]
        await self.post(f"/app/{self.app_id}/msg", {"eventType": event_type, "payload": dict(example)})
        return event_type


@asynccontextmanager
async def operating(server: Server, name: str) -> AsyncIterator[Operator]:
    known = server.line["operators"].get(name)
    token = known["token"] if known else server.token
    async with httpx.AsyncClient(
        base_url=f"{server.url}/api/v1", timeout=60, headers={"authorization": f"Bearer {token}"}
    ) as client:
        operator = Operator(client, "")
        if known:
            operator.app_id = known["application"]
            operator.examples = [(one.name, one.example or {}) for one in profiles.load(name).events]
        else:
            operator.app_id = (await operator.post("/app", {"name": "Customer"}))["id"]
            await operator.post("/event-type", {"name": "order.placed", "description": "An order was placed"})
            operator.examples = [("order.placed", {"order": "or_1207"})]
        yield operator


class Customer:
    """A browser, by what is written on the pages."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def at(self, heading: str | re.Pattern[str]) -> None:
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)
        await self.page.wait_for_load_state()  # what comes after the heading is there too

    async def follow(self, name: str, exact: bool = True) -> None:
        await self.page.get_by_role("link", name=name, exact=exact).first.click()

    async def go(self, section: str) -> None:
        """By the main navigation."""
        await self.page.get_by_role("navigation", name="Main").get_by_role("link", name=section).click()
        await self.at(section)

    async def press(self, name: str) -> None:
        await self.page.get_by_role("button", name=name, exact=True).click()

    def said(self, words: str) -> Locator:
        return self.page.get_by_role("main").get_by_text(words).first

    async def make_an_inbox(self) -> str:
        await self.go("Play")
        await self.press("Create an inbox")
        await self.at("Play inbox")
        return self.page.url.partition("?")[0]

    async def add_it_as_an_endpoint(self, event_type: str) -> str:
        """Tried before it is saved; gives the address of the endpoint's page."""
        await self.follow("Use it as an endpoint")
        await self.at("Add an endpoint")
        everything = self.page.get_by_role("radio", name="All events")
        if await everything.count():
            await expect(everything).to_be_checked()
        else:
            await self.page.get_by_role("checkbox", name=event_type).first.check()
        await expect(self.said("Matches")).not_to_contain_text("Matches 0")
        await self.press("Try it now")
        await expect(self.said("It works")).to_be_visible()
        await self.press("Add the endpoint")
        await self.at(re.compile("/play/in/|Endpoint added"))
        if await self.page.get_by_role("heading", name="Copy this secret now").count():
            await self.follow("Open the endpoint")
        await self.at(re.compile("/play/in/"))
        return self.page.url.partition("?")[0]

    async def answer_with(self, status: str) -> None:
        """At the inbox."""
        await self.page.locator("summary", has_text="Response:").click()
        await self.page.get_by_label("Status").select_option(status)
        await self.press("Save")
        await expect(self.page.locator("summary", has_text=f"Response: {status}")).to_be_visible()


@pytest.mark.parametrize("name", ["standard", *PRODUCTS])
async def test_the_whole_story(server: Server, browser: Browser, name: str) -> None:
    watch = Watch(server.url)
    context = await browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(DEADLINE)
    watch.follow(context)
    customer = Customer(await context.new_page())
    page = customer.page
    async with operating(server, name) as operator:
        event_type = operator.examples[0][0]
        await page.goto(await operator.link())
        await customer.at("Overview")
        inbox = await customer.make_an_inbox()
        endpoint = await customer.add_it_as_an_endpoint(event_type)

        # it arrives while one looks, and its signature is right
        await page.goto(inbox)
        await operator.send()
        await expect(page.get_by_role("table").get_by_text("Verified", exact=True)).to_have_count(1)
        await expect(page.locator("pre")).to_contain_text("{")
        await customer.go("Messages")
        await expect(page.get_by_role("row").filter(has_text=event_type).first).to_contain_text("Delivered")

        # it breaks, and says why
        await page.goto(inbox)
        await customer.answer_with("500")
        await operator.send()
        await customer.go("Messages")
        lost = page.get_by_role("row").filter(has_text="Failed")
        await expect(lost).to_contain_text("500")  # live, without loading the page again
        await lost.get_by_role("link", name=event_type).click()
        await customer.at(event_type)
        await expect(customer.said("Given up after 2 attempts")).to_be_visible()
        await expect(page.locator(".notice.bad").first).to_contain_text("500")
        await customer.go("Overview")
        await expect(page.get_by_role("heading", name="Needs attention")).to_be_visible()
        assert await violations(page) == []

        # it is fixed, and what was lost is recovered
        await page.goto(inbox)
        await customer.answer_with("200")
        await page.goto(endpoint)
        await customer.follow("Recover")
        await customer.press("Recover it")
        await expect(customer.said("1 queued")).to_be_visible()
        await page.goto(inbox)
        await expect(page.get_by_role("table").get_by_text("Verified", exact=True)).to_have_count(4)

        # all is green, once the outcome of the last delivery is recorded
        async def both_are_delivered() -> bool:
            await customer.go("Messages")
            return await page.get_by_role("row").filter(has_text="Delivered").count() == 2

        await until(both_are_delivered)
        await expect(page.get_by_role("row").filter(has_text="Failed")).to_have_count(0)
        await customer.go("Overview")
        await expect(customer.said("All endpoints are healthy.")).to_be_visible()
        await page.goto(endpoint)
        await expect(customer.said("Healthy")).to_be_visible()
    await context.close()
    assert watch.trouble == []
