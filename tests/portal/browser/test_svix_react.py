"""A customer's own page, made with svix-react's hooks as they come from npm, works against our server.

The page is of another origin and holds an application token, as in a real product; see tests/node/hooks.jsx.
It may be built with either version of Svix's client; with the second, svix-react itself cannot set all
headers of an endpoint or update it (the calls have other names), and asks for a message without its payload.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.api.serving import serving
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver, Reply
from tests.node.npm import BIN
from tests.portal.browser.conftest import DEADLINE
from tests.portal.browser.served import Served, served
from tests.portal.browser.watch import Watch

NODE = Path(__file__).parents[2] / "node"
HTML = "<!doctype html><link rel=icon href=data:,><title>Shop</title><body><script src=/hooks.js></script>"
HEADERS = {"x-first": "1", "x-second": "2"}


async def bundle(client: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(str(BIN / "node"), "bundle.mjs", client), cwd=NODE, stdout=asyncio.subprocess.PIPE
    )
    script, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0
    return script.decode()


class Shop:
    """The customer's page, by the names of its sections."""

    def __init__(self, page: Page, client: str) -> None:
        self.page = page
        self.client = client

    def section(self, name: str) -> Locator:
        return self.page.get_by_role("region", name=name, exact=True)

    async def click(self, section: str, button: str, row: str | None = None) -> None:
        place = self.section(section)
        if row is not None:
            place = place.get_by_role("listitem").filter(has_text=row).first
        await place.get_by_role("button", name=button, exact=True).click()

    def output(self, section: str) -> Locator:
        return self.section(section).locator("output")

    async def value(self, section: str) -> Any:
        """What a section shows as JSON."""
        output = self.output(section)
        await expect(output).not_to_be_empty()
        return json.loads(await output.inner_text())

    async def rows(self, section: str, count: int) -> list[str]:
        """The lines of a list once it has so many; looks again and again, as hooks do not by themselves."""
        items = self.section(section).get_by_role("listitem")

        async def all_there() -> bool:
            if await items.count() == count:
                return True
            await self.click(section, "Reload")
            await expect(self.section(section).get_by_text("loading")).to_have_count(0)
            return False

        await until(all_there, f"{count} lines in {section}")
        return await items.all_inner_texts()


@pytest_asyncio.fixture(loop_scope="session")
async def site(database_url: str) -> AsyncIterator[Served]:
    """A server of its own, for the event types are."""
    async with served(database_url, "standard", retries="100ms", jitter=(0.0, 0.0)) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest_asyncio.fixture(loop_scope="session", params=["svix1", "svix"], ids=["svix 1", "svix 2"])
async def shop(request: pytest.FixtureRequest, browser: Browser, site: Served) -> AsyncIterator[Shop]:
    script = await bundle(request.param)

    async def html(_: Request) -> Response:
        return Response(HTML, media_type="text/html")

    async def hooks(_: Request) -> Response:
        return Response(script, media_type="text/javascript")

    async with serving(Starlette(routes=[Route("/", html), Route("/hooks.js", hooks)])) as origin:
        made = await site.stand.native("POST", f"//auth/app-portal-access/{site.app_id}", {})
        access = {"token": made["token"], "appId": site.app_id, "serverUrl": site.url}
        for name in ("order.canceled", "order.filled", "order.placed"):
            await site.stand.native("POST", "//event-type", {"name": name, "description": f"About {name}."})
        context = await browser.new_context(base_url=origin)
        context.set_default_timeout(DEADLINE)
        watch = Watch(origin, site.url)
        watch.follow(context)
        await context.add_init_script(f"window.access = {json.dumps(access)}")
        page = await context.new_page()
        await page.goto("/")
        yield Shop(page, request.param)
        assert await page.get_by_role("alert").all_inner_texts() == []
        await context.close()
        assert not watch.trouble, "\n".join(watch.trouble)


async def test_every_hook_works(shop: Shop, site: Served, receiver: Receiver) -> None:
    await expect(shop.page.get_by_role("heading", level=1)).to_have_text(site.app_id)  # useSvix
    await see_the_catalogue(shop)
    endpoint_id = await add_an_endpoint(shop, receiver.url)
    await see_and_rotate_its_secret(shop)
    await change_its_headers(shop, site, endpoint_id)
    message_id = await send_one_that_arrives_and_two_that_fail(site, receiver)
    await see_messages(shop, message_id, receiver.url)
    await see_attempts(shop)
    await send_again(shop, site, receiver)
    await mend_and_delete(shop)


async def see_the_catalogue(shop: Shop) -> None:
    """useEventTypes, page by page."""
    first = ["order.canceled: About order.canceled.", "order.filled: About order.filled."]
    assert await shop.rows("Event types", 2) == first
    await shop.click("Event types", "Next")
    assert await shop.rows("Event types", 1) == ["order.placed: About order.placed."]
    await shop.click("Event types", "Previous")
    assert await shop.rows("Event types", 2) == first


async def add_an_endpoint(shop: Shop, url: str) -> str:
    """useNewEndpoint, useEndpoints, useEndpoint."""
    new = shop.section("New endpoint")
    for field, value in {
        "URL": url,
        "Description": "The shop",
        "Types": "order.filled order.canceled",
        "Rate": "100",
    }.items():
        await new.get_by_label(field).fill(value)
    await shop.click("New endpoint", "Add")
    made = await shop.value("New endpoint")
    assert (made["url"], made["description"]) == (url, "The shop")
    (row,) = await shop.rows("Endpoints", 1)
    assert row.startswith(url)
    await shop.click("Endpoints", "Open", url)
    assert (await shop.value("Endpoint"))["id"] == made["id"]
    return str(made["id"])


async def see_and_rotate_its_secret(shop: Shop) -> None:
    """useEndpointSecret."""
    secret = (await shop.value("Secret"))["key"]
    assert secret.startswith("whsec_")
    await shop.click("Secret", "Rotate")
    await expect(shop.output("Secret")).not_to_contain_text(secret)
    assert (await shop.value("Secret"))["key"].startswith("whsec_")


async def change_its_headers(shop: Shop, site: Served, endpoint_id: str) -> None:
    """useEndpointHeaders."""
    assert (await shop.value("Headers"))["headers"] == {}
    if shop.client == "svix1":
        await shop.click("Headers", "Set headers")
    else:
        await site.stand.native("PUT", f"/endpoint/{endpoint_id}/headers", {"headers": HEADERS})
        await shop.click("Headers", "Reload")
    await expect(shop.output("Headers")).to_contain_text('"x-first":"1"')
    await shop.click("Headers", "Change headers")
    await expect(shop.output("Headers")).to_contain_text('"x-second":"3"')
    assert (await shop.value("Headers"))["headers"] == {"x-first": "1", "x-second": "3"}


async def send_one_that_arrives_and_two_that_fail(site: Served, receiver: Receiver) -> str:
    """Five attempts, as each is tried once more; gives the id of what arrived."""
    delivered = await site.stand.send("order.filled", {"n": 1})
    (got,) = await receiver.wait_for(1)
    assert (got.header("x-second"), got.header("webhook-id")) == ("3", delivered["id"])
    receiver.default = Reply(500, b"out of order")
    for n in (2, 3):
        await site.stand.send("order.canceled", {"n": n})
    await receiver.wait_for(5)
    await site.stand.until_attempts(5)
    receiver.default = Reply(200, b"thanks")
    return str(delivered["id"])


async def see_messages(shop: Shop, message_id: str, url: str) -> None:
    """useMessages, useMessage, useMessageEndpoints, useMessageAttempts."""
    newest, next_newest = await shop.rows("Messages", 2)
    assert newest.startswith('order.canceled {"n":3}')
    assert next_newest.startswith('order.canceled {"n":2}')
    await shop.click("Messages", "Next")
    await shop.rows("Messages", 1)
    await shop.click("Messages", "Open", 'order.filled {"n":1}')
    message = await shop.value("Message")
    assert (message["id"], message["eventType"]) == (message_id, "order.filled")
    assert shop.client != "svix1" or message["payload"] == {"n": 1}
    assert await shop.rows("Message's endpoints", 1) == [f"{url} 0 no next attempt"]
    (attempt,) = await shop.rows("Message's attempts", 1)
    assert attempt.startswith("200 0")  # delivered, by schedule


async def see_attempts(shop: Shop) -> None:
    """useEndpointStats, useEndpointMessageAttempts with its filters, useAttemptedMessages."""
    await shop.click("Stats", "Reload")
    await expect(shop.output("Stats")).to_contain_text('"success":1')
    assert (await shop.value("Stats"))["fail"] == 4
    await shop.rows("Endpoint's attempts", 5)
    await shop.click("Endpoint's attempts", "Only delivered")
    (arrived,) = await shop.rows("Endpoint's attempts", 1)
    assert arrived.startswith("order.filled 200 ok")
    await shop.click("Endpoint's attempts", "Only failed")
    failed = await shop.rows("Endpoint's attempts", 4)
    assert all(row.startswith("order.canceled 500 out of order") for row in failed)
    statuses = [row.rsplit(" ", 1)[1] for row in await shop.rows("Attempted messages", 3)]
    assert statuses == ["2", "2", "0"]


async def send_again(shop: Shop, site: Served, receiver: Receiver) -> None:
    """useAttemptFunctions and useEndpointFunctions: resend one, recover two."""
    await shop.click("Message's attempts", "Resend", "200")
    await receiver.wait_for(6)
    await shop.rows("Message's attempts", 2)
    await shop.click("Functions", "Recover")
    await receiver.wait_for(8)
    await site.stand.until_attempts(8)
    await shop.click("Stats", "Reload")
    await expect(shop.output("Stats")).to_contain_text('"success":4')


async def mend_and_delete(shop: Shop) -> None:
    """useEndpointFunctions."""
    if shop.client == "svix1":
        await shop.click("Functions", "Update")
        await expect(shop.output("Functions")).to_contain_text("The shop mended")
    await shop.click("Functions", "Delete")
    await expect(shop.output("Functions")).to_contain_text('"name":"Delete"')
    await shop.rows("Endpoints", 0)
