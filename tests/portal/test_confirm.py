"""What acts on many says how many first, and does nothing until the answer is yes."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from angarium.core import ids
from angarium.core.claims import Capability
from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import ORG, URL, Stand
from tests.portal.inbox import address, new_inbox
from tests.portal.test_operator import Operator
from tests.portal.visitor import Visitor, visiting

HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


async def asked(visitor: Visitor, path: str, data: dict[str, str] | None = None) -> str:
    """The question that a form leads to."""
    page = (await visitor.post(path, data, status=200)).text
    assert f'action="{visitor.base}{path}"' in page
    assert ">Cancel</a>" in page
    return page.rpartition("<main")[2]


async def answered(visitor: Visitor, path: str, question: str, *, status: int = 303) -> str:
    """Press the button of a question."""
    fields = {name: unescape(value) for name, value in HIDDEN.findall(question)}
    assert fields["csrf_token"] == visitor.csrf_token
    return (await visitor.post(path, fields, status=status)).text


async def test_disabling_an_endpoint_says_what_it_cancels(stand: Stand, visitor: Visitor) -> None:
    async with Receiver(default=Reply(500)) as receiver:
        endpoint = await stand.endpoint(receiver.url)
        for _ in range(3):
            await stand.send("order.filled")
        await stand.until_attempts(3)
        question = await asked(visitor, f"/endpoints/{endpoint}/disable")
        assert "3 messages of the last 28 days will be canceled" in question
        assert not (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"]
        await answered(visitor, f"/endpoints/{endpoint}/disable", question)
    assert (await stand.native("GET", f"/endpoint/{endpoint}"))["disabled"]


async def test_an_inbox_says_what_is_lost_with_it(visitor: Visitor) -> None:
    place = await new_inbox(visitor)
    url = address(await visitor.get(place))
    place = place.removeprefix(visitor.base)
    for _ in range(2):
        await visitor.client.post(urlsplit(url).path, content=b"kept")
    for audit_event in ("clear", "delete"):
        question = await asked(visitor, f"{place}/{audit_event}")
        assert ("2 requests" if audit_event == "clear" else "0 requests") in question
        if audit_event == "clear":
            assert "kept" in await visitor.get(place)
        await answered(visitor, f"{place}/{audit_event}", question)
    await visitor.get(place, status=404)


async def test_a_secret_is_not_taken_away_at_once_without_a_question(stand: Stand, visitor: Visitor) -> None:
    endpoint = await stand.endpoint("http://127.0.0.1:9/")
    path = f"/endpoints/{endpoint}/secret/rotate"
    before = await stand.native("GET", f"/endpoint/{endpoint}/secret")
    question = await asked(visitor, path, {"grace": "none"})
    assert await stand.native("GET", f"/endpoint/{endpoint}/secret") == before
    page = await answered(visitor, path, question, status=200)
    assert "The old one is no longer used" in page
    assert await stand.native("GET", f"/endpoint/{endpoint}/secret") != before


async def test_without_a_filter_everything_is_sent_again_only_when_that_is_ticked(
    stand: Stand, visitor: Visitor
) -> None:
    async with Receiver(default=Reply(500)) as receiver:
        await stand.endpoint(receiver.url)
        await stand.send("order.filled")
        await stand.until_attempts(1)
        assert 'name="all"' in await visitor.get("/messages/resend")
        assert 'name="all"' not in await visitor.get("/messages/resend?status=retrying")
        form: dict[str, Any] = {"rate": "20"}
        page = (await visitor.post("/messages/resend", form, status=422)).text
        assert "Tick this box, or go back and set a filter." in page
        assert not await _tasks(stand)
        await visitor.post("/messages/resend", {**form, "all": "yes"})
        await visitor.post("/messages/resend", {**form, "status": "retrying"})
        assert len(await _tasks(stand)) == 2


async def _tasks(stand: Stand) -> list[Any]:
    return await stand.world.fetch("select kind from background_task")


@pytest.mark.parametrize("field", ["", "confirmed="])
async def test_an_operator_is_told_how_much_is_sent_again(stand: Stand, field: str) -> None:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(stand.app), base_url=URL)
    async with client, Receiver(default=Reply(500)) as receiver:
        operator = Operator(stand, client)
        endpoint = await stand.endpoint(receiver.url)
        for _ in range(2):
            await stand.send("order.filled")
        await stand.schedule()
        await operator.enter(stand.services.token.for_organization(ORG))
        box = f"{stand.app_id}.{endpoint}"
        more = {"confirmed": ""} if field else {}
        page = (await operator.post("/dead-letters", {"endpoint": box, **more}, status=200)).text
        assert "2 messages will be sent again to 1 endpoint." in page
        assert not await _tasks(stand)
        fields = {name: unescape(value) for name, value in HIDDEN.findall(page.rpartition("<main")[2])}
        assert fields["endpoint"] == box
        await operator.post("/dead-letters", fields)
        assert len(await _tasks(stand)) == 1


async def test_who_may_not_do_it_is_not_asked(stand: Stand) -> None:
    endpoint = await stand.endpoint("http://127.0.0.1:9/")
    inbox = ids.text(ids.INBOX, ids.new(1.0, b"12345678"))
    async with visiting(stand, capabilities=[Capability.VIEW]) as reader:
        for path in (
            f"/endpoints/{endpoint}/disable",
            f"/endpoints/{endpoint}/secret/rotate",
            f"/play/{inbox}/clear",
        ):
            await reader.post(path, {"grace": "none"}, status=403)
