"""axe, the outside judge of accessibility, run in a page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from playwright.async_api import Page

SOURCE = Path(__file__).parents[2] / "node/node_modules/axe-core/axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
COLOUR = ("color-contrast", "link-in-text-block")  # the rules that light and dark decide
SPACE = (
    "target-size",
    "scrollable-region-focusable",
    "label",
    "button-name",
    "link-name",
)  # and a small screen


async def violations(page: Page, rules: Sequence[str] = ()) -> list[str]:
    """What breaks WCAG 2.0 to 2.2, A and AA, or axe's own good practice; one line for each element.

    With `rules` only those are judged. The script goes in through the debugging protocol, which a
    Content-Security-Policy does not bind.
    """
    if await page.evaluate("typeof axe === 'undefined'"):
        await page.evaluate(_source())
    wanted = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": TAGS}
    options = {"runOnly": wanted, "resultTypes": ["violations"]}
    if not rules:
        options["rules"] = {"target-size": {"enabled": True}}  # part of WCAG 2.2, and left out by default
    found = await page.evaluate("options => axe.run(document, options)", options)
    return [_told(rule, node) for rule in found["violations"] for node in rule["nodes"]]


def _told(rule: dict[str, Any], node: dict[str, Any]) -> str:
    place = " ".join(map(str, node["target"]))
    why = "; ".join(line.strip() for line in node["failureSummary"].splitlines()[1:])
    return f"{rule['id']} ({rule['impact']}): {place}: {node['html']}: {why}"


@cache
def _source() -> str:
    return SOURCE.read_text()
