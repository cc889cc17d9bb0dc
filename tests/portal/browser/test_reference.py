"""The API reference at `/docs`, in a browser: operations are shown, and nothing is asked of another host."""

from __future__ import annotations

import pytest
from playwright.async_api import Request, Route, expect

from angarium.api.static import REDOC
from tests.portal.browser.conftest import OpenPage
from tests.portal.browser.served import Served

DOCUMENT = "/api/v1/openapi.json"
SHOWN = ("/api/v1/app/{app_id}/msg", "/api/v1/health")
SEARCHED = "/api/v1/app/{app_id}/endpoint/{endpoint_id}/secret/rotate"


async def answer_with_few_operations(route: Route, url: str | None = None) -> None:
    """Drawing all of them takes Redoc seconds of computing."""
    answer = await route.fetch(url=url)
    document = await answer.json()
    document["paths"] = {path: document["paths"][path] for path in (*SHOWN, SEARCHED)}
    await route.fulfill(response=answer, json=document)


@pytest.mark.parametrize("product_name", ["standard", "bloom"])
async def test_the_reference_shows_every_operation_and_the_webhooks_of_the_product_and_is_searched(
    open_page: OpenPage, site: Served, product_name: str
) -> None:
    page = await open_page(None)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    document = await (await page.request.get(DOCUMENT)).json()
    if product_name != "standard":  # the operations are those of the standard product
        await page.route(f"**{DOCUMENT}", lambda route: answer_with_few_operations(route))
    await page.goto("/docs")
    await expect(page.locator("h2", has_text="Create a message").first).to_be_visible()
    for path in SHOWN:
        for operation in document["paths"][path].values():
            await expect(page.locator("h2", has_text=operation["summary"]).first).to_be_attached()
    for webhook in list(document.get("webhooks", {}).values())[:2]:
        await expect(page.get_by_text(webhook["post"]["summary"]).first).to_be_attached()
    assert ("webhooks" in document) == (product_name != "standard")
    await page.get_by_placeholder("Search...").fill("rotate")
    await expect(page.get_by_role("menuitem", name="Rotate the signing secret").first).to_be_visible()
    assert {url.removeprefix(site.url) for url in asked if url.startswith("http")} == {
        "/docs", "/style.css", f"/docs/redoc-{REDOC}.js", DOCUMENT, "/favicon.ico",
    } - ({"/favicon.ico"} - {url.removeprefix(site.url) for url in asked})  # fmt: skip


async def test_the_reference_works_below_a_path_of_a_proxy(open_page: OpenPage, site: Served) -> None:
    page = await open_page(None)

    async def proxy(route: Route, request: Request) -> None:
        at = request.url.replace("/hooks/", "/", 1)
        if at.endswith(DOCUMENT):
            await answer_with_few_operations(route, at)
        else:
            await route.continue_(url=at)

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
