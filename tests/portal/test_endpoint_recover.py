"""Recovering what is undelivered at an endpoint: counted before, then done, and watched elsewhere."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape

from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor, visiting


def moment(page: str) -> str:
    found = re.search(r'name="moment" value="([^"]+)"', page)
    assert found
    return unescape(found[1])


async def test_what_is_undelivered_is_counted_and_then_sent_again(stand: Stand, visitor: Visitor) -> None:
    async with Receiver() as receiver:
        endpoint = await stand.endpoint(receiver.url)
        page = await visitor.get(f"/endpoints/{endpoint}/recover")
        assert "No undelivered messages since" in page
        assert "No messages are missing since" in page
        assert "<button>Recover" not in page
        await visitor.post(f"/endpoints/{endpoint}/disable", {"confirmed": "yes"})
        page = await visitor.get(f"/endpoints/{endpoint}/recover")
        assert "wait until it is enabled" in page
        for _ in range(3):
            await stand.send("order.filled")
        await visitor.post(f"/endpoints/{endpoint}/enable")
        await stand.clock.advance_to(stand.clock.now() + 60)
        page = await visitor.get(f"/endpoints/{endpoint}/recover", since="1h")
        assert "<strong>3</strong> messages" in page.split("Never sent to this endpoint")[1]
        answer = await visitor.post(f"/endpoints/{endpoint}/replay-missing", {"moment": moment(page)})
        assert "/tasks/qtask_" in answer.headers["location"]
        await visitor.get(answer.headers["location"])
        await stand.run_tasks()
        await receiver.wait_for(3)
        await stand.until_attempts(3)


async def test_failed_messages_are_recovered_from_a_time_of_ones_own(stand: Stand) -> None:
    async with Receiver(default=Reply(500)) as receiver:
        endpoint = await stand.endpoint(receiver.url)
        await stand.send("order.filled")
        await stand.schedule()
        receiver.default = Reply(200)
        made = receiver.count
        start = datetime.fromtimestamp(stand.clock.now() - 2 * 86400, UTC)
        async with visiting(stand) as visitor:
            page = await visitor.get(
                f"/endpoints/{endpoint}/recover?since=custom&from={start:%Y-%m-%dT%H:%M}"
            )
            assert "<strong>1</strong> message " in page
            answer = await visitor.post(f"/endpoints/{endpoint}/recover", {"moment": moment(page)})
            assert answer.headers["location"].endswith("?done=started")
        await stand.run_tasks()
        await receiver.wait_for(made + 1)
        await stand.until_attempts(made + 1)


async def test_a_time_that_makes_no_sense_is_refused_in_words(stand: Stand, visitor: Visitor) -> None:
    endpoint = await stand.endpoint("http://127.0.0.1:9/")
    for given, words in (
        ("yesterday", "Enter a time, such as"),
        ("0001-01-01T00:00", "more than 14 days old"),
        ("2000-01-01T00:00", "more than 14 days old"),
    ):
        path = f"/endpoints/{endpoint}/recover?since=custom&from={given}"
        assert words in await visitor.get(path, status=422)
    for audit_event in ("recover", "replay-missing"):
        page = (await visitor.post(f"/endpoints/{endpoint}/{audit_event}", {"moment": "x"}, status=422)).text
        assert "Enter a time, such as" in page
