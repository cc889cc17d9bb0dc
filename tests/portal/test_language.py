"""Another language is another catalogue: with one, no page has an English text left, except data.

The catalogue is made from the English one. Its letters are full-width, so that a text that does not come from
it is found by its ordinary letters.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from html import unescape
from http import HTTPStatus
from typing import Final

import httpx
import pytest
import pytest_asyncio

from angarium.core import failure
from angarium.core.nouns import DisabledReason
from angarium.portal.customer.code_sample import FRAMEWORKS
from angarium.portal.kit import text
from angarium.portal.kit.text import Text, catalogue
from tests.conftest import TEMPLATE, Clones
from tests.portal.browser.history import OWN_TYPES, History, history
from tests.portal.browser.place import PLACES

MESSAGES: Final = 12
WIDE: Final = {ord(one): ord(one) + 0xFEE0 for one in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}
KEPT: Final = re.compile(r"(<[^<>]*>|\{\w*\})")  # tags and values
HIDDEN: Final = re.compile(r"<(code|pre|script|style|datalist|textarea)\b.*?</\1>", re.DOTALL)
HEADERS: Final = re.compile(r'<table class="headers">.*?</table>', re.DOTALL)
MONO: Final = re.compile(r'<(\w+) class="[^"]*mono[^"]*">.*?</\1>', re.DOTALL)
SPOKEN: Final = re.compile(r'\b(?:alt|title|placeholder|aria-label|data-label)="([^"]*)"')
# what is not a text of the portal: ids, URLs, event types, methods, and the texts that the API has too
DATA: Final = re.compile(
    r"https?://\S+|\b\w+_\w+\b|\b127\.0\.0\.1\S*|\b[a-z]+(?:\.[a-z*]+)+\b|\b(?:POST|GET|DNS|TLS|HTTPS?)\b"
)
# pages and actions besides those of PLACES: parts, and what a wrong or large form is answered with
PARTS: Final = (
    "/endpoints/check?url=https://localhost/",
    "/endpoints/matches?types=order.placed",
    "/endpoints?before=ep_1",
    "/messages?id=xx.xx",
    "/messages?before=1",
    "/messages/resend",
    "/event-types?q=xx.xx",
    "/endpoints/{failing}?status=failed",
    "/endpoints/{working}/recover?since=custom&from=never",
)
FORMS: Final[Mapping[str, Mapping[str, str]]] = {
    "/endpoints": {"url": "x", "every": "some", "rate": "x", "channels": "/", "header-value-0": "x"},
    "/endpoints/{working}/settings": {"url": "https://example.com/", "every": "some", "more": "not.known"},
    "/endpoints/{working}/disable": {},
    "/endpoints/{working}/delete": {},
    "/endpoints/{working}/secret": {},
    "/endpoints/{working}/secret/rotate": {"grace": "none"},
    "/endpoints/{working}/test": {"type": "order.placed", "payload": "[]"},
    "/messages/resend": {},
    "/play/{inbox}": {"status": "x", "delay": "x", "failures": "x"},
    "/play/{inbox}/clear": {},
    "//admin/dead-letters": {},
    "//admin/quota/{application}": {"messages_hard": "x"},
}


def wide(entry: Text) -> Text:
    if isinstance(entry, dict):
        return {form: str(wide(one)) for form, one in entry.items()}
    return "".join(one if KEPT.fullmatch(one) else one.translate(WIDE) for one in KEPT.split(entry))


@pytest.fixture(scope="module")
def spoken() -> Iterator[None]:
    """All pages are in the other language."""
    other = {name: wide(entry) for name, entry in catalogue("en").items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "catalogue", lambda _: other)
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def day(clones: Clones, spoken: None) -> AsyncIterator[History]:
    with clones.of(TEMPLATE) as url:
        async with history(url, "standard", MESSAGES) as found:
            yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(day: History) -> AsyncIterator[httpx.AsyncClient]:
    """A browser with the sessions of a customer and of an operator."""
    async with httpx.AsyncClient() as found:
        key = (await day.site.link()).partition("#key=")[2]
        await found.post(f"{day.site.url}/login/session", json={"key": key})
        await found.post(f"{day.site.url}/admin/login", data={"token": day.site.operator_token})
        yield found


async def known(day: History) -> list[str]:
    """What is on pages that is no text of the portal: data, and texts that the API gives too."""
    stand = day.site.stand
    found = [one.title for one in failure.KINDS.values()] + list(failure.FAMILIES.values())
    for error, code in await stand.world.fetch("select distinct error, error_code from attempt"):
        found += [] if error is None else [error, failure.kind_of(code).advice]
    found += [row[0] for row in await stand.world.fetch("select distinct finding from play_request")]
    found += [one.phrase for one in HTTPStatus]
    found += [one.title for one in FRAMEWORKS.values()]
    found += [f"Our {name.replace('-', ' ')}" for name in day.endpoints]
    found += [description for description, _ in OWN_TYPES.values()]
    found += [f" {name.partition('.')[0]} " for name in OWN_TYPES]  # their groups
    return [*found, stand.product.profile.title, "Customer", "customer", DisabledReason.GONE]


def left(html: str, data: Sequence[str]) -> list[str]:
    """The words of a page that are in no catalogue and are no data."""
    shown = HEADERS.sub(" ", MONO.sub(" ", HIDDEN.sub(" ", html)))
    visible = " ".join([re.sub(r"<[^<>]*>", " ", shown), *SPOKEN.findall(shown)])
    visible = unescape(visible).replace("<!doctype html>", "")
    for one in sorted(data, key=len, reverse=True):
        visible = visible.replace(one, " ")
    return re.findall(r"\b[A-Za-z]{2,}\b(?: \w+)*", DATA.sub(" ", visible))


def url_of(day: History, path: str) -> str:
    named = path.format(**day.names)
    return day.site.url + (named[1:] if named.startswith("//") else f"/portal/{day.site.app_id}{named}")


@pytest.mark.asyncio(loop_scope="session")
async def test_no_page_has_a_text_of_its_own(day: History, client: httpx.AsyncClient) -> None:
    found, data = {}, await known(day)
    for url in [*(place.url(day) for place in PLACES), *(url_of(day, path) for path in PARTS)]:
        answer = await client.get(url)
        assert answer.status_code < 500, url
        found[url.removeprefix(day.site.url)] = left(answer.text, data)
    assert [(place, words) for place, words in found.items() if words] == []


@pytest.mark.asyncio(loop_scope="session")
async def test_no_answer_to_a_form_has_a_text_of_its_own(day: History, client: httpx.AsyncClient) -> None:
    found, data = {}, await known(day)
    for path, form in FORMS.items():
        url = url_of(day, path)
        start = url_of(day, "//admin" if path.startswith("//") else "")
        (csrf_token, *_) = re.findall(
            r'name="csrf_token" value="([0-9a-f]+)"', (await client.get(start)).text
        )
        answer = await client.post(url, data={"csrf_token": csrf_token, **form})
        assert 200 <= answer.status_code < 500, f"{url}: {answer.status_code}"
        found[path] = left(answer.text, data)
    assert [(place, words) for place, words in found.items() if words] == []
