"""axe, the outside judge of accessibility, run in a page."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Page

SOURCE = Path(__file__).parents[2] / "node/node_modules/axe-core/axe.min.js"
RUN = """() => axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"],
    rules: {"target-size": {enabled: true}},
    resultTypes: ["violations"],
})"""


async def violations(page: Page) -> list[str]:
    """What breaks WCAG 2.0 to 2.2, A and AA, or axe's own good practice; one line for each element.

    The script goes in through the debugging protocol, which a Content-Security-Policy does not bind.
    """
    await page.evaluate(_source())
    found = await page.evaluate(RUN)
    return [_told(rule, node) for rule in found["violations"] for node in rule["nodes"]]


def _told(rule: dict[str, Any], node: dict[str, Any]) -> str:
    place = " ".join(map(str, node["target"]))
    why = "; ".join(line.strip() for line in node["failureSummary"].splitlines()[1:])
    return f"{rule['id']} ({rule['impact']}): {place}: {node['html']}: {why}"


@cache
def _source() -> str:
    return SOURCE.read_text()
