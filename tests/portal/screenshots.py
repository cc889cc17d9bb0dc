"""Pictures of every page: in light and dark, on a desktop and on a phone, for each product.

    python -m tests.portal.screenshots [folder] [product ...]       make screenshots

They show a day in virtual time, so that charts and lists have something in them.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

import asyncpg
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from angarium import telemetry
from angarium.store.embedded import EmbeddedPostgres
from angarium.store.migrate import migrate
from tests.conftest import TEMPLATE, Clones
from tests.kit import chromium
from tests.kit.schemas import find_tables
from tests.portal.browser.history import History, history
from tests.portal.browser.place import PLACES, Place

FOLDER: Final = Path(".screenshots")
PRODUCTS: Final = ("standard", "bluum", "bluma", "bloom")
MESSAGES: Final = 90
SIZES: Final[dict[str, ViewportSize]] = {
    "desktop": {"width": 1280, "height": 800},
    "phone": {"width": 375, "height": 812},
}


async def take(page: Page, day: History, place: Place, folder: Path) -> None:
    """One page in all its looks."""
    for size, viewport in SIZES.items():
        await page.set_viewport_size(viewport)
        await page.goto(place.url(day))
        if place.prepare is not None:
            await place.prepare(page)
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            await page.screenshot(path=folder / f"{place.name}-{size}-{scheme}.png", full_page=True)


async def visit(browser: Browser, day: History, folder: Path) -> None:
    """Every page of one product."""
    context = await browser.new_context(device_scale_factor=1.5)
    await day.site.sign_in(context)
    await day.site.sign_in_operator(context)
    page = await context.new_page()
    for place in PLACES:
        try:
            await take(page, day, place, folder)
        except Exception as error:  # the others are still worth having
            print(f"{folder.name}: {place.name}: {error}", file=sys.stderr)  # noqa: T201
    await context.close()


async def main(folder: Path, products: tuple[str, ...]) -> None:
    directory = Path(tempfile.mkdtemp(prefix="angarium-pictures-"))
    server = await EmbeddedPostgres.start(directory, durable=False)
    try:
        owner = await asyncpg.connect(server.url("postgres"))
        await owner.execute(f"create database {TEMPLATE}")
        await find_tables(owner)
        await owner.close()
        await migrate(server.url(TEMPLATE))
        clones = Clones(server)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=chromium.find(), args=list(chromium.FLAGS)
            )
            for name in products:
                (folder / name).mkdir(parents=True, exist_ok=True)
                with clones.of(TEMPLATE) as url:
                    async with history(url, name, MESSAGES) as day:
                        await visit(browser, day, folder / name)
            await browser.close()
        clones.close()
    finally:
        await server.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    telemetry.configure("console", "error")
    wanted = sys.argv[1:]
    asyncio.run(main(Path(wanted[0]) if wanted else FOLDER, tuple(wanted[1:]) or PRODUCTS))
