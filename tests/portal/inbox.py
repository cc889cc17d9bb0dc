"""An inbox of Play as its visitor has it: its page, its URL, and how it answers."""

from __future__ import annotations

import html
import re
from urllib.parse import urlsplit

from tests.portal.visitor import Visitor


async def new_inbox(visitor: Visitor) -> str:
    """The path of its page."""
    answer = await visitor.post("/play")
    return urlsplit(answer.headers["location"]).path


def address(page: str) -> str:
    """The URL of an inbox, from its page."""
    found = re.search(r'id="inbox-url">([^<]+)<', page)
    assert found
    return html.unescape(found[1])


def text(page: str) -> str:
    """What a page says, without its marks."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


async def say(visitor: Visitor, place: str, **form: str) -> None:
    """Have an inbox answer so."""
    await visitor.post(place, {"status": "200", "delay": "0", "failures": "0"} | form)
