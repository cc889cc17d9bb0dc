"""The watch that every page is under sees what it is there for."""

from __future__ import annotations

import pytest
from playwright.async_api import Page

from tests.portal.browser.axe import violations
from tests.portal.browser.watch import Watch

PROBE = "data:text/html,<html lang=en><title>A page</title><main><h1>A page</h1>"

TROUBLE = {
    "an error in the console": ("console.error('so it is')", "console error: so it is"),
    "an error nobody caught": ("setTimeout(() => { throw new Error('so it is') })", "uncaught: .*so it is"),
    "a promise nobody caught": ("setTimeout(() => Promise.reject(new Error('so')))", "uncaught: .*so"),
    "a request to another origin": (
        "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.2:9/a.png'}))",
        "a request to another origin: GET http://127.0.0.2:9/a.png",
    ),
    "a violated Content-Security-Policy": (
        "document.head.append(Object.assign(document.createElement('meta'),"
        " {httpEquiv: 'Content-Security-Policy', content: \"style-src 'none'\"}));"
        "document.body.append(Object.assign(document.createElement('style'), {textContent: 'p {}'}))",
        "console error: .*Content Security Policy",
    ),
}


@pytest.mark.parametrize(("script", "seen"), TROUBLE.values(), ids=TROUBLE)
async def test_trouble_is_seen(page: Page, watch: Watch, script: str, seen: str) -> None:
    await page.goto(PROBE)
    assert watch.trouble == []
    await page.evaluate(f"() => {{ {script} }}")
    await watch.until(seen)
    watch.expect("")  # it was the test's own


async def test_an_error_that_belongs_to_a_test_is_none(page: Page, watch: Watch) -> None:
    watch.expect("status of 404")  # and its icon
    await page.goto("/nowhere")


async def test_axe_tells_what_is_wrong_and_where(page: Page) -> None:
    await page.goto(PROBE)
    assert await violations(page) == []
    await page.set_content(
        "<html lang=en><title>A page</title><main><h1>A page</h1><p style='color: #ccc'>Pale"
    )
    (found,) = await violations(page)
    assert found.startswith("color-contrast (serious): ")
    assert ": p: <p " in found
