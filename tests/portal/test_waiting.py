"""What is due and waits for its endpoint's limits says so, over the API and on pages, with an estimate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from tests.kit.receiver import Held, Receiver
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor

COUNT = 30
LATE = 50.0  # seconds


@dataclass
class Queue:
    """Messages to an endpoint whose first requests hang."""

    endpoint: str
    messages: list[str]  # oldest first


@pytest.fixture
async def queue(stand: Stand) -> AsyncIterator[Queue]:
    answer = Held()
    async with Receiver(answer) as receiver:
        endpoint = await stand.endpoint(receiver.url)
        messages = [str((await stand.send("order.filled"))["id"]) for _ in range(COUNT)]
        await receiver.wait_for(1)
        await stand.clock.advance_to(stand.clock.now() + LATE)
        yield Queue(endpoint, messages)
        answer.release.set()
        await stand.until_attempts(COUNT)


def moment(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


async def log(stand: Stand) -> list[dict[str, Any]]:
    return list((await stand.native("GET", "/log"))["data"])[::-1]


async def test_the_log_says_what_waits_behind_how_many_and_when_it_may_start(
    stand: Stand, queue: Queue
) -> None:
    lines = await log(stand)
    assert [line["messageId"] for line in lines] == queue.messages
    assert all(line["waiting"] for line in lines)
    assert [line["ahead"] for line in lines] == list(range(COUNT))
    expected = [moment(line["nextAttempt"]) for line in lines]
    assert expected[0] >= stand.clock.now()
    assert expected == sorted(expected)
    assert expected[-1] > expected[0]


async def test_an_estimate_that_cannot_be_made_is_left_out_and_it_still_waits(
    stand: Stand, queue: Queue
) -> None:
    await stand.clock.advance_to(stand.clock.now() + 3600)
    line = (await log(stand))[-1]
    assert (line["waiting"], line["nextAttempt"]) == (True, None)


async def test_svixs_lists_never_name_a_time_in_the_past(stand: Stand, queue: Queue) -> None:
    owed = (await stand.native("GET", f"/endpoint/{queue.endpoint}/msg"))["data"]
    (destination,) = (await stand.native("GET", f"/msg/{queue.messages[-1]}/endpoint"))["data"]
    assert len(owed) == COUNT
    for one in (*owed, destination):
        assert one["waiting"]
        assert moment(one["nextAttempt"]) >= stand.clock.now()


async def test_the_pages_say_that_it_waits_and_until_when(
    stand: Stand, visitor: Visitor, queue: Queue
) -> None:
    listed = await visitor.get("/messages")
    assert listed.count("Delayed") == COUNT
    assert "estimated" in listed
    page = await visitor.get(f"/messages/{queue.messages[-1]}")
    assert f"behind {COUNT - 1} other deliveries of this endpoint" in page
    assert "Estimated start" in page
    endpoint = await visitor.get(f"/endpoints/{queue.endpoint}")
    assert f"{COUNT} attempts are due and wait" in endpoint


async def test_what_waits_to_be_sent_again_is_not_called_nothing(
    stand: Stand, visitor: Visitor, queue: Queue
) -> None:
    last = queue.messages[-1]
    await stand.native("POST", f"/msg/{last}/endpoint/{queue.endpoint}/resend", {})
    page = await visitor.get(f"/messages/resend?id={last}")
    assert "1 delivery is already waiting to be sent again" in page
    assert "nothing to send again" not in page.lower()


async def test_what_is_not_due_yet_keeps_its_time(stand: Stand) -> None:
    async with Receiver() as receiver:
        await stand.endpoint(receiver.url)
        later = stand.clock.now() + 3600
        at = datetime.fromtimestamp(later).astimezone().isoformat()
        await stand.send("order.filled", deliverAt=at)
        (line,) = await log(stand)
    assert (line["waiting"], line["ahead"]) == (False, None)
    assert moment(line["nextAttempt"]) == pytest.approx(later, abs=1)
