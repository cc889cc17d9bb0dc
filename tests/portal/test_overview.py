"""The first page: charts, what needs attention, the latest failures, and the first steps."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from angarium.portal.customer import overview
from angarium.store.hourly_stats import EndpointHealth
from angarium.store.log import LogEndpoint
from tests.kit.patience import until
from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor

AT = datetime(2027, 1, 1, tzinfo=UTC)
NONE = EndpointHealth(0, 0, None, None, None, 0, None, None)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def counted(stand: Stand, attempts: int) -> None:
    """Until so many attempts are in the counts behind charts, which are written every few seconds."""

    async def all_there() -> bool:
        await stand.clock.advance_to(stand.clock.now() + 1)
        rows = await stand.world.fetch(
            "select coalesce(sum(delivered + failed), 0) from attempt_hour where endpoint_id = $1",
            UUID(int=0),
        )
        return int(rows[0][0]) >= attempts

    await until(all_there)


async def test_without_an_endpoint_it_says_how_to_begin(visitor: Visitor) -> None:
    page = await visitor.get()
    assert "First steps" in page
    assert f'href="{visitor.base}/endpoints/new"' in page
    assert "Needs attention" not in page
    assert "Latest failures" not in page


async def test_with_an_endpoint_and_no_message_the_next_step_is_a_test(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    endpoint = await stand.endpoint(receiver.url)
    page = await visitor.get()
    assert "First steps" in page
    assert f'href="{visitor.base}/endpoints/{endpoint}/test"' in page


async def test_three_charts_are_told_in_words_and_numbers(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    # the next attempt is not made while the counts are waited for
    receiver.plan(Reply(200), Reply(500, headers=[("retry-after", "3600")]))
    await stand.endpoint(receiver.url)
    for number in range(2):
        await stand.send("order.filled")
        await stand.until_attempts(number + 1)
    await counted(stand, 2)
    page = await visitor.get()
    assert page.count('role="img"') == 3
    assert "1 delivered, 1 failed" in page
    assert "50 % of attempts failed" in page
    assert "Median" in page
    assert "Last 24 hours" in page
    assert "First steps" not in page
    table = page.partition("Show the numbers")[2]
    assert table.count('<th scope="row">') == 24


@pytest.mark.parametrize(
    ("span", "points", "words"),
    [("24h", 24, "24 hours"), ("7d", 28, "7 days"), ("28d", 28, "28 days"), ("x", 24, "24 hours")],
)
async def test_the_time_of_the_charts_is_chosen_in_the_url(
    visitor: Visitor, span: str, points: int, words: str
) -> None:
    page = await visitor.get(f"?span={span}")
    assert f"Last {words}" in page
    assert page.count('<th scope="row">') == points
    assert re.search(rf'aria-current="page">{words}</a>', page)


async def test_the_latest_failures_lead_to_their_messages(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    receiver.default = Reply(500)
    await stand.endpoint(receiver.url, description="Shop")
    sent = await stand.send("order.filled")
    await stand.until_attempts(1)
    page = await visitor.get()
    failures = page.partition("Latest failures")[2]
    assert f'href="{visitor.base}/messages/{sent["id"]}"' in failures
    assert "500 Internal Server Error" in failures


async def test_an_endpoint_that_was_disabled_needs_attention_with_a_reason(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    receiver.default = Reply(410)
    endpoint = await stand.endpoint(receiver.url, description="Shop")
    await stand.send("order.filled")
    await stand.until_attempts(1)
    page = await visitor.get()
    attention = page.partition("Needs attention")[2].partition("</section>")[0]
    assert "Shop" in attention
    assert "The receiver asked for no more messages." in attention
    assert f'href="{visitor.base}/endpoints/{endpoint}"' in attention


async def test_what_somebody_disabled_by_hand_needs_no_attention(
    stand: Stand, visitor: Visitor, receiver: Receiver
) -> None:
    endpoint = await stand.endpoint(receiver.url)
    await stand.send("order.filled")
    await stand.until_attempts(1)
    await stand.native("PATCH", f"/endpoint/{endpoint}", {"disabled": True})
    page = await visitor.get()
    assert "Needs attention" not in page
    assert "All endpoints are healthy." in page


def endpoint(number: int) -> LogEndpoint:
    return LogEndpoint(
        UUID(int=number), f"https://{number}.example/", None, "", disabled=False, deleted_at=None
    )


def test_the_worst_comes_first_and_what_does_well_not_at_all() -> None:
    health = {
        1: NONE,
        2: EndpointHealth(99, 1, AT, "timeout", None, 0, None, None),
        3: EndpointHealth(50, 50, AT, "http_500", None, 0, None, None),
        4: EndpointHealth(0, 5, AT, "tls_expired", AT, 5, None, None),
        5: EndpointHealth(0, 9, AT, "dns", AT, 9, AT, "failing"),
        6: EndpointHealth(0, 9, AT, "dns", AT, 9, AT, "manual"),
        7: EndpointHealth(1, 1, AT, "dns", AT, 1, None, None),
        8: EndpointHealth(8, 8, AT, "http_500", None, 0, None, None),  # too few to judge by
    }
    found = overview.concerned(
        [endpoint(number) for number in health], {UUID(int=number): one for number, one in health.items()}
    )
    assert [one.endpoint.id.int for one in found] == [5, 4, 3]
    assert [(one.kind, one.health) for one in found] == [
        ("bad", "disabled"),
        ("bad", "failing"),
        ("warn", "unsteady"),
    ]
    assert found[1].reason.startswith("5 failures in a row, the last: ")
    assert "50 % of attempts failed in the last day" in found[2].reason
