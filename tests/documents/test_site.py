"""The site of the documents: complete, without broken links, and searched without a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from tests import site
from tests.kit import chromium
from tests.kit.patience import PATIENCE


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.build(tmp_path_factory.mktemp("site"))


def test_every_link_leads_to_a_page_and_its_heading_and_no_other_host_is_asked(built: Path) -> None:
    assert len(list(built.rglob("*.html"))) > 40
    assert list(site.broken(built)) == []


def test_a_broken_link_a_missing_heading_and_another_host_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="top"></h1><a href="b.html"></a><a href="#none"></a><a href="#top"></a>'
        '<script src="https://example.com/x.js"></script>'
    )
    assert list(site.broken(tmp_path)) == [
        "a.html: b.html leads nowhere",
        "a.html: #none names no heading",
        "a.html: https://example.com/x.js is on another host",
    ]


def test_a_link_to_a_file_outside_the_site_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text("[code](../../src/angarium/clock.py)")
    monkeypatch.setattr(site, "place", lambda source: source.name)
    monkeypatch.setattr(site, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=re.escape("../../src/angarium/clock.py, which is not in the site")):
        site.moved(page)


def test_the_groups_of_the_site_are_those_of_the_index() -> None:
    groups = [next(iter(group)) for group in site.navigation()]
    assert groups == [
        "Home", "Tutorials", "How-to guides", "Reference", "Explanation", "Decisions", "Changes"
    ]  # fmt: skip
    assert all(next(iter(group.values())) for group in site.navigation())


async def test_pages_opened_as_files_are_searched_without_a_network(built: Path) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.find(), args=[*chromium.FLAGS])
        context = await browser.new_context(offline=True)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await page.goto((built / "index.html").as_uri())
        await page.keyboard.press("/")
        await page.keyboard.type("dead letters")
        found = page.locator("a[href*='operating.html']", has_text="Dead letters").last
        await found.wait_for()
        await browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
