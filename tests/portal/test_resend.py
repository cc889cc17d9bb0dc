"""Sending again all that matches a filter: counted, confirmed, watched, stopped."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest

from angarium.core.error_text import TASK_TEXTS
from angarium.core.nouns import TaskError
from angarium.portal.customer import resend
from angarium.portal.kit.text import t
from tests.kit.patience import until
from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor, visiting


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def failed(stand: Stand, receiver: Receiver, count: int) -> str:
    """So many messages whose first attempt failed, at a new endpoint."""
    receiver.plan(*[Reply(500)] * count)
    endpoint = await stand.endpoint(receiver.url)
    before = await stand.attempts()
    for number in range(count):
        await stand.send(f"n.{number}")
        await stand.until_attempts(before + number + 1)
    return endpoint


def fields(page: str) -> list[tuple[str, str]]:
    """What the form would post, as it is shown."""
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page)
    chosen = re.findall(r'name="rate" value="([^"]*)" checked', page)
    return [(name, unescape(value)) for name, value in found] + [("rate", one) for one in chosen]


async def begun(stand: Stand, visitor: Visitor, receiver: Receiver) -> str:
    """The page of a task that has requeued ten of twelve deliveries, and pauses for two seconds now."""
    await failed(stand, receiver, 12)
    page = await visitor.get("/messages/resend?status=retrying")
    place = (await post(visitor, page, rate="5")).partition("?")[0]
    return await until_said(visitor, place, "10 of 12 queued")


async def until_said(visitor: Visitor, place: str, words: str) -> str:
    """Look at a page until it says so; gives the place again."""

    async def said() -> bool:
        return words in await visitor.get(place)

    await until(said)
    return place


async def post(visitor: Visitor, page: str, rate: str | None = None) -> str:
    """Post the form of a confirming page, at another rate; gives the path it leads to."""
    data: dict[str, list[str]] = {}
    for name, value in fields(page.rpartition("<main")[2]):
        data.setdefault(name, []).append(value)
    if rate is not None:
        data["rate"] = [rate]
    answer = await visitor.client.post(f"{visitor.base}/messages/resend", data=data)
    assert answer.status_code == 303, answer.text[:3000]
    return answer.headers["location"]


async def test_what_matches_is_counted_confirmed_and_sent(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await failed(stand, receiver, 3)
    await stand.send("other")
    await stand.until_attempts(4)
    page = await visitor.get("/messages/resend?status=retrying&type=n.*")
    assert "3 deliveries will be sent again" in page
    assert "Retrying" in page
    assert "n.*" in page
    place = await post(visitor, page)
    assert "The resend has started." in await visitor.get(place)
    await until_said(visitor, place.partition("?")[0], "3 of 3 queued")
    await stand.until_attempts(7)
    again = {request.header("webhook-id") for request in receiver.requests[4:]}
    assert again == {request.header("webhook-id") for request in receiver.requests[:3]}
    assert "Delivered" in await visitor.get("/messages?type=n.0")


async def test_its_progress_is_seen_while_it_runs_and_it_is_found_from_the_messages(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    place = await begun(stand, visitor, receiver)
    page = await visitor.get(place)
    assert "Running" in page
    assert 'hx-trigger="every 2s"' in page
    assert "at most 5 per second" in page
    assert '<progress max="1" value="0.833"' in page
    assert f'<a href="{place}">Sending messages again</a>' in await visitor.get("/messages")
    await stand.clock.advance_to(stand.clock.now() + 2)
    await stand.run_tasks()  # maintenance's next look may be later
    await until_said(visitor, place, "12 of 12 queued")
    page = await visitor.get(place)
    assert "Done" in page
    assert "hx-trigger" not in page
    assert "Sending messages again" not in await visitor.get("/messages")


async def test_what_came_after_the_count_is_not_sent(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await failed(stand, receiver, 1)
    page = await visitor.get("/messages/resend?within=1h&status=retrying")
    await stand.clock.advance_to(stand.clock.now() + 1)
    receiver.plan(Reply(500))
    await stand.send("n.late")
    await stand.until_attempts(2)
    await until_said(visitor, (await post(visitor, page)).partition("?")[0], "Done")
    await stand.until_attempts(3)
    assert not await stand.world.fetch("select 1 from delivery where manual_at is not null")
    (row,) = await stand.world.fetch("select count(*) from attempt where manual")
    assert row[0] == 1


async def test_nothing_to_send_is_said_without_a_button(visitor: Visitor) -> None:
    page = await visitor.get("/messages/resend?status=failed")
    assert "There is nothing to send again" in page
    assert "<button>" not in page


async def test_a_filter_that_is_wrong_sends_nothing(visitor: Visitor) -> None:
    page = await visitor.get("/messages/resend?http=9", status=422)
    assert "Choose a response class from the list." in page
    answer = await visitor.post("/messages/resend", {"http": "9", "rate": "20"}, status=422)
    assert "The filter is not valid" in answer.text
    assert await tasks(visitor) == 0


async def test_a_rate_must_be_one_of_those_offered(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    await failed(stand, receiver, 1)
    for rate in ("", "0", "21", "1e9", "-5", "²", "05", "9" * 5000):
        answer = await visitor.post("/messages/resend", {"rate": rate}, status=422)
        assert "Choose a rate." in answer.text
    assert await tasks(visitor) == 0
    assert resend.RATE in resend.RATES


async def test_it_can_be_stopped(stand: Stand, visitor: Visitor, receiver: Receiver) -> None:
    place = await begun(stand, visitor, receiver)
    page = await visitor.follow(f"{place}/cancel")
    assert "Stopped. Messages that were not sent again yet are unchanged." in page
    assert "hx-trigger" not in page
    await stand.clock.advance_to(stand.clock.now() + 2)
    await stand.run_tasks()
    await stand.until_attempts(22)
    assert "10 of 12 queued" in await visitor.follow(f"{place}/cancel")  # twice does no harm


async def test_a_reader_may_watch_but_neither_begin_nor_stop(
    stand: Stand, visitor: Visitor, reader: Visitor, receiver: Receiver
) -> None:
    place = await begun(stand, visitor, receiver)
    await reader.get("/messages/resend?status=retrying", status=403)
    await reader.post("/messages/resend", {"rate": "20"}, status=403)
    page = await reader.get(place)
    assert "Running" in page
    assert "Stop</button>" not in page
    await reader.post(f"{place}/cancel", status=403)
    assert "Running" in await visitor.get(place)


async def test_a_task_of_another_application_is_not_there(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    place = await begun(stand, visitor, receiver)
    task = place.rpartition("/")[2]
    other = (await stand.native("POST", "//app", {"name": "Other"}))["id"]
    async with visiting(stand, app_id=other) as stranger:
        await stranger.get(f"/tasks/{task}", status=404)
        await stranger.post(f"/tasks/{task}/cancel", status=404)
    await visitor.get("/tasks/qtask_none", status=404)
    assert "Running" in await visitor.get(place)


async def test_htmx_gets_the_progress_alone(stand: Stand, visitor: Visitor, receiver: Receiver) -> None:
    place = await begun(stand, visitor, receiver)
    answer = await visitor.client.get(place, headers={"hx-request": "true"})
    assert answer.text.lstrip().startswith('<section id="progress"')
    assert "10 of 12 queued" in answer.text


@pytest.mark.parametrize("error", TaskError)
async def test_a_failed_task_says_why(
    stand: Stand, visitor: Visitor, receiver: Receiver, error: TaskError
) -> None:
    place = await begun(stand, visitor, receiver)
    await stand.world.fetch("update background_task set status = 'failed', error = $1", error)
    assert t(f"task.error.{error}") in await visitor.get(place)
    task = place.rpartition("/")[2]
    data = (await stand.native("GET", f"/task/{task}"))["data"]
    assert (data["errorCode"], data["error"]) == (error, TASK_TEXTS[error])


async def tasks(visitor: Visitor) -> int:
    (row,) = await visitor.stand.world.fetch("select count(*) from background_task")
    return int(row[0])
