"""The API reference at `/docs`, in a browser: operations are shown, and nothing is asked of another host."""

from __future__ import annotations

import pytest
from playwright.async_api import Request, Route, expect

from angarium.api.static import REDOC
from tests.portal.browser.conftest import OpenPage
from tests.portal.browser.served import Served


@pytest.mark.parametrize("product_name", ["standard", "bloom"])
async def test_the_reference_shows_every_operation_and_the_webhooks_of_the_product_and_is_searched(
    open_page: OpenPage, site: Served, product_name: str
) -> None:
    page = await open_page(None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto("/docs")
    await expect(page.locator("h2", has_text="Create a message").first).to_be_visible()
    document = await (await page.request.get("/api/v1/openapi.json")).json()
    for path in ("/api/v1/app/{app_id}/msg", "/api/v1/health"):
        for operation in document["paths"][path].values():
            await expect(page.locator("h2", has_text=operation["summary"]).first).to_be_attached()
    for webhook in list(document.get("webhooks", {}).values())[:2]:
        await expect(page.get_by_text(webhook["post"]["summary"]).first).to_be_attached()
    assert ("webhooks" in document) == (product_name != "standard")
    await page.get_by_placeholder("Search...").fill("rotate")
    await expect(page.get_by_role("menuitem", name="Rotate the signing secret").first).to_be_visible()
    assert {url.removeprefix(site.url) for url in asked if url.startswith("http")} == {
        "/docs", "/style.css", f"/docs/redoc-{REDOC}.js", "/api/v1/openapi.json", "/favicon.ico",
    } - ({"/favicon.ico"} - {url.removeprefix(site.url) for url in asked})  # fmt: skip


async def test_the_reference_works_below_a_path_of_a_proxy(open_page: OpenPage, site: Served) -> None:
    page = await open_page(None)

    async def proxy(route: Route, request: Request) -> None:
        await route.continue_(url=request.url.replace("/hooks/", "/", 1))

    await page.route("**/hooks/**", proxy)
    await page.route(
        lambda url: url.startswith(site.url) and "/hooks/" not in url, lambda route: route.abort()
    )
    await page.goto("/hooks/docs")
    await expect(page.locator("h2", has_text="Create a message").first).to_be_visible()


async def test_without_scripts_the_operations_are_listed(open_page: OpenPage) -> None:
    page = await open_page(None, java_script_enabled=False)
    await page.goto("/docs")
    # Playwright's selectors of text and roles leave out what is inside of noscript
    assert "POST /api/v1/app/{app_id}/msg Create a message\n" in await page.locator("main").inner_text()
    await expect(page.locator("main a")).to_have_attribute("href", "api/v1/openapi.json")
