"""One message: what it is, what became of it, and sending it again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest

from angarium.core import ids
from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor, link, visiting

_VIEWS = ("raw", "pretty")
WAITS = """
insert into fan_out (message_id, app_id, seq, due_at)
select id, app_id, 1, expires_at from message where id = $1
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def links(page: str) -> list[str]:
    return [unescape(found) for found in re.findall(r'href="([^"]*)"', page)]


async def test_a_message_says_what_it_is(stand: Stand, visitor: Visitor, receiver: Receiver) -> None:
    await stand.endpoint(receiver.url, description="Shop", channels=["vip"])
    sent = await stand.send(
        "order.filled", {"price": 5, "who": "<b>"}, eventId="order-1", tags=["eu"], channels=["vip"]
    )
    page = await visitor.get(f"/messages/{sent['id']}")
    for words in (sent["id"], "order-1", "order.filled", ">eu</a>", ">vip</a>", "kept until"):
        assert words in page
    assert f"{visitor.base}/messages?tag=eu" in links(page)
    assert unescape(re.findall(r'<pre id="raw"[^>]*>(.*?)</pre>', page, re.S)[0]) == (
        '{"price":5,"who":"<b>"}'
    )
    assert '"price": 5,\n' in unescape(re.findall(r'<pre id="pretty"[^>]*>(.*?)</pre>', page, re.S)[0])


async def test_numbers_names_and_escapes_of_a_payload_are_shown_as_they_were_sent(
    stand: Stand, visitor: Visitor
) -> None:
    payload = '{"amount":100.00,"big":1E400,"id":12345678901234567890,"k":1,"k":2,"s":"\\u00e9\\/"}'
    sent = await stand.send("order.filled")
    await stand.world.fetch("update payload set body = $1", payload.encode())
    page = await visitor.get(f"/messages/{sent['id']}")
    shown = {one: unescape(re.findall(rf'<pre id="{one}"[^>]*>(.*?)</pre>', page, re.S)[0]) for one in _VIEWS}
    assert shown["raw"].strip() == payload
    assert "".join(shown["pretty"].split()) == payload


async def test_an_attempt_shows_what_was_sent_and_answered_and_hides_passwords(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    receiver.plan(Reply(401, b"who are <you>?", headers=(("x-proxy", "front"), ("set-cookie", "a=b"))))
    endpoint = await stand.endpoint(receiver.url)
    await stand.native("PATCH", f"/endpoint/{endpoint}/headers", {"headers": {"x-api-token": "very secret"}})
    sent = await stand.send("order.filled")
    await stand.until_attempts(1)
    page = await visitor.get(f"/messages/{sent['id']}")
    for words in (
        "401 Unauthorized",
        "The receiver answered 401",
        "webhook-signature",
        "x-proxy",
        "who are &lt;you&gt;?",
        "attempt 1",
        "(hidden) replaces a value that may be a credential",
        "Next attempt",
    ):
        assert words in page, words
    assert "very secret" not in page
    assert "a=b" not in page


async def test_what_is_still_to_come_is_counted_down(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    receiver.default = Reply(503)
    await stand.endpoint(receiver.url)
    sent = await stand.send("order.filled")
    await stand.until_attempts(1)
    page = await visitor.get(f"/messages/{sent['id']}")
    assert "Retrying" in page
    assert re.search(r"next attempt <time [^>]*data-relative>(now|in \d+ seconds)<", page)
    assert "more follow" in page
    assert "data-live=" in page
    await stand.schedule()
    await visitor.enter(link(stand))  # a session does not last so long
    page = await visitor.get(f"/messages/{sent['id']}")
    assert f"Given up after {receiver.count} attempts" in page
    assert "data-live=" not in page


async def test_it_is_sent_to_one_endpoint_again(stand: Stand, visitor: Visitor, receiver: Receiver) -> None:
    one = await stand.endpoint(receiver.url)
    await stand.endpoint(f"{receiver.url}/other")
    sent = await stand.send("order.filled")
    await stand.until_attempts(2)
    page = await visitor.follow(f"/messages/{sent['id']}/resend", {"endpoint": one})
    assert "The message is being sent again." in page
    await stand.until_attempts(3)
    assert [request.path for request in receiver.requests].count("/hook") == 2
    page = await visitor.get(f"/messages/{sent['id']}")
    assert ", manual" in page
    assert "2 attempts were made" in page


async def test_why_it_cannot_be_sent_again_is_said(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    endpoint = await stand.endpoint(receiver.url)
    sent = await stand.send("order.filled")
    await stand.until_attempts(1)
    await visitor.post(f"/messages/{sent['id']}/resend", {"endpoint": "ep_none"}, status=404)
    await stand.native("DELETE", f"/msg/{sent['id']}/content")
    answer = await visitor.post(f"/messages/{sent['id']}/resend", {"endpoint": endpoint}, status=400)
    assert "payload of this message has been deleted" in answer.text
    page = await visitor.get(f"/messages/{sent['id']}")
    assert "The payload was deleted" in page
    assert "Send again" not in page
    await visitor.get(f"/messages/{sent['id']}/payload", status=400)


async def test_what_is_sent_again_to_a_disabled_endpoint_waits_and_says_so(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    endpoint = await stand.endpoint(receiver.url)
    sent = await stand.send("order.filled")
    await stand.until_attempts(1)
    await stand.native("PATCH", f"/endpoint/{endpoint}", {"disabled": True})
    assert "Messages that you send again wait until you" in await visitor.get(f"/messages/{sent['id']}")
    await visitor.post(f"/messages/{sent['id']}/resend", {"endpoint": endpoint})
    page = await visitor.get(f"/messages/{sent['id']}")
    assert "Waiting for the endpoint" in page
    assert "It is sent when the endpoint is enabled." in page
    assert "Waiting for the endpoint" in await visitor.get("/messages")
    assert receiver.count == 1
    await stand.native("PATCH", f"/endpoint/{endpoint}", {"disabled": False})
    await receiver.wait_for(2)
    await stand.until_attempts(2)
    assert "Waiting for the endpoint" not in await visitor.get(f"/messages/{sent['id']}")


async def test_a_reader_sees_no_button_and_cannot_press_it(
    stand: Stand, reader: Visitor, receiver: Receiver
) -> None:
    endpoint = await stand.endpoint(receiver.url)
    sent = await stand.send("order.filled")
    await stand.until_attempts(1)
    page = await reader.get(f"/messages/{sent['id']}")
    assert "Send again" not in page
    assert "since this one" not in page
    await reader.post(f"/messages/{sent['id']}/resend", {"endpoint": endpoint}, status=403)
    assert await stand.attempts() == 1


async def test_all_that_failed_since_leads_to_a_count_of_it(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    receiver.default = Reply(410)
    endpoint = await stand.endpoint(receiver.url)
    first = await stand.send("order.filled")
    await stand.until_attempts(1)
    await stand.native("PATCH", f"/endpoint/{endpoint}", {"disabled": False})
    page = await visitor.get(f"/messages/{first['id']}")
    (path,) = [path for path in links(page) if "/messages/resend?" in path]
    page = await visitor.get(path)
    assert "1 delivery will be sent again" in page
    assert "Failed or Canceled" in page


async def test_a_payload_is_downloaded_byte_by_byte_and_never_opened(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await stand.endpoint(receiver.url)
    sent = await stand.send("order.filled", {"html": "<script>alert(1)</script>", "é": [1, 2]})
    (request,) = await receiver.wait_for(1)
    answer = await visitor.client.get(f"{visitor.base}/messages/{sent['id']}/payload")
    assert answer.content == request.body
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{sent["id"]}.json"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


async def test_of_a_large_payload_the_beginning_is_shown(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await stand.endpoint(receiver.url)
    sent = await stand.send("order.filled", {"text": "é" * 400_000})
    page = await visitor.get(f"/messages/{sent['id']}")
    assert len(page) < 100_000
    assert "Only the first part is shown" in page
    whole = await visitor.client.get(f"{visitor.base}/messages/{sent['id']}/payload")
    assert len(whole.content) > 800_000


@pytest.mark.parametrize("depth", [300, 900, 20_000])
async def test_a_payload_nested_too_deep_for_line_breaks_is_still_shown(
    stand: Stand, visitor: Visitor, receiver: Receiver, depth: int
) -> None:
    await stand.endpoint(receiver.url)
    sent = await stand.send("order.filled")
    await stand.world.fetch("update payload set body = $1", b"[" * depth + b"]" * depth)
    page = await visitor.get(f"/messages/{sent['id']}")
    assert "[" * depth in page
    assert len(page) < 400_000


async def test_a_message_of_another_application_is_not_there(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    other = (await stand.native("POST", "//app", {"name": "Other"}))["id"]
    sent = await stand.send("order.filled")
    async with visiting(stand, app_id=other) as stranger:
        for path in ("", "/payload", "/live"):
            await stranger.get(f"/messages/{sent['id']}{path}", status=404)
        await stranger.post(f"/messages/{sent['id']}/resend", {"endpoint": "ep_x"}, status=404)


async def test_a_message_whose_deliveries_are_being_written_says_so(stand: Stand, visitor: Visitor) -> None:
    sent = await stand.send("order.filled")
    await stand.world.fetch(WAITS, ids.parse(ids.MESSAGE, sent["id"]))
    page = await visitor.get(f"/messages/{sent['id']}")
    assert "are still being created" in page
    assert "data-live" in page
    assert "No endpoint was subscribed" not in page
    listed = await visitor.get(f"/messages?id={sent['id']}")
    assert "its deliveries are still being created" in listed
    assert "no endpoint was subscribed" not in listed


async def test_a_message_that_nobody_wanted_says_so(stand: Stand, visitor: Visitor) -> None:
    sent = await stand.send("order.filled")
    assert "No endpoint was subscribed to this message" in await visitor.get(f"/messages/{sent['id']}")
