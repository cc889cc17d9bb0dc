"""Pages of usage and limits: what customers and operators read, and what operators set."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape

import httpx
import pytest

from angarium.clock import datetime_at
from angarium.core.quota import QuotaLimits, month_of, next_month
from angarium.portal.customer.usage import limit_rows
from angarium.service.quota import QuotaState
from angarium.service.usage import month_text
from angarium.store.usage import Used
from tests.kit.access import Crowd
from tests.kit.clock import ManualClock
from tests.kit.stand import URL, Stand
from tests.portal.test_operator import Operator, operator
from tests.portal.visitor import Visitor, visiting

__all__ = ["operator"]


def words(page: str) -> str:
    """What is there to read, without tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page)))


async def use(stand: Stand, messages: int) -> None:
    for _ in range(messages):
        await stand.send("order.filled")


async def set_limits(stand: Stand, **limits: object) -> None:
    await stand.native("PATCH", "/quota", limits)


async def test_a_customer_reads_use_limits_and_what_they_mean_in_words(
    visitor: Visitor, stand: Stand
) -> None:
    await stand.native("POST", "//event-type", {"name": "order.filled", "description": ""})
    assert "Messages 0 none none No limit" in words(await visitor.get("/usage"))
    await set_limits(stand, messagesSoft=2, messagesHard=3, endpointsHard=1)
    await use(stand, 1)
    page = words(await visitor.get("/usage"))
    assert "Messages 1 2 3 Within limits 2 messages left in this month." in page
    assert "Endpoints 0 none 1 Within limits 1 endpoint left." in page
    assert "limit" not in words(await visitor.get()), "the overview names only what is reached"
    await use(stand, 1)
    assert "Messages 2 2 3 Soft limit reached 1 message left in this month." in words(
        await visitor.get("/usage")
    )
    assert "Soft limit reached Messages: 1 message left in this month. View usage" in words(
        await visitor.get()
    )
    await use(stand, 1)
    await stand.endpoint("http://127.0.0.1:9/hook")
    page = words(await visitor.get("/usage"))
    month = month_of(datetime_at(stand.clock.now()))
    end = f"{next_month(month):%Y-%m-%d} 00:00:00 UTC"
    assert f"Messages 3 2 3 Hard limit reached New messages are refused until {end} ." in page
    assert "Endpoints 1 none 1 Hard limit reached No endpoint can be added." in page
    overview = words(await visitor.get())
    assert "Hard limit reached Messages: New messages are refused" in overview
    assert "Hard limit reached Endpoints: No endpoint can be added." in overview


async def test_earlier_months_are_listed_newest_first(stand: Stand) -> None:
    await stand.native("POST", "//event-type", {"name": "order.filled", "description": ""})
    await stand.endpoint("http://127.0.0.1:9/hook")
    other = (await stand.native("POST", "//app", {"name": "Other"}))["id"]
    await stand.native("POST", f"//app/{other}/msg", {"eventType": "order.filled", "payload": {}})
    await use(stand, 2)
    await stand.native("GET", "//usage")  # adds up
    clock = stand.world.clock
    assert isinstance(clock, ManualClock)
    first = month_of(datetime_at(clock.now()))
    await clock.advance_to(next_month(first).timestamp() + 60)
    await use(stand, 1)
    await stand.native("GET", "//usage")
    async with visiting(stand) as visitor:
        page = words(await visitor.get("/usage"))
    assert f"This month: {month_text(next_month(first))}" in page
    _, _, months = page.partition("Attempts")
    assert re.findall(r"(\d{4}-\d\d) (\d+) ", months) == [
        (month_text(next_month(first)), "1"), (month_text(first), "2")
    ]  # fmt: skip


async def test_another_application_sees_its_own_use_only(visitor: Visitor, stand: Stand) -> None:
    other = (await stand.native("POST", "//app", {"name": "Other"}))["id"]
    await stand.native("POST", "//event-type", {"name": "order.filled", "description": ""})
    await stand.native("POST", f"//app/{other}/msg", {"eventType": "order.filled", "payload": {}})
    await stand.native("GET", "//usage")  # adds up
    assert "Messages 0 none none No limit" in words(await visitor.get("/usage"))


@pytest.mark.parametrize(
    ("used", "soft", "hard", "state"),
    [
        (0, None, None, "No limit"),
        (0, 0, None, "Soft limit reached"),
        (0, 1, None, "Within limits"),
        (0, None, 0, "Hard limit reached"),
        (4, None, 5, "Within limits"),
        (4, 4, 5, "Soft limit reached"),
        (6, 4, 5, "Hard limit reached"),
    ],
)
def test_a_state_has_words(used: int, soft: int | None, hard: int | None, state: str) -> None:
    quota = QuotaLimits(soft, hard, soft, hard)
    made = QuotaState(quota, {}, Used(messages=used), used, datetime(2026, 12, 1, tzinfo=UTC))
    assert [one.state for one in limit_rows(made)] == [state, state]


async def test_an_operator_sees_and_sets_the_limits_of_an_application(operator: Operator) -> None:
    stand = operator.stand
    assert f"/admin/quota/{stand.app_id}" in await operator.get()
    place = f"/quota/{stand.app_id}"
    page = await operator.get(place)
    assert "Usage and limits of Customer" in page
    assert "Default: no limit." in page
    form = {"messages_soft": " 80,000 ", "messages_hard": "100000", "endpoints_hard": "Unlimited"}
    answer = await operator.post(place, form)
    assert answer.headers["location"] == f"/admin{place}?done=saved"
    assert (await stand.native("GET", "/quota"))["own"] == {
        "messagesSoft": 80000, "messagesHard": 100000, "endpointsHard": "unlimited"
    }  # fmt: skip
    page = await operator.get(place)
    for value in ("80000", "100000", "unlimited"):
        assert f'value="{value}"' in page
    assert "Within limits 100,000 messages left in this month." in words(page)
    assert "Limits changed" in await operator.get("/audit", what="application")
    await operator.post(place, {"messages_hard": "200000"})
    assert (await stand.native("GET", "/quota"))["own"] == {"messagesHard": 200000}


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({"messages_hard": "many"}, "Enter a whole number or unlimited ."),
        ({"messages_hard": "-1"}, "Enter a whole number or unlimited ."),
        ({"messages_hard": "1.5"}, "Enter a whole number or unlimited ."),
        ({"messages_hard": "9" * 30}, "Enter a whole number or unlimited ."),
        ({"messages_soft": "3", "messages_hard": "2"}, "Must be at most the hard limit, 2; it is 3."),
        ({"endpoints_hard": "1000001"}, "Must be a number from 0 to 1,000,000"),
    ],
)
async def test_what_is_no_limit_is_named_at_its_field_and_nothing_changes(
    operator: Operator, form: dict[str, str], fault: str
) -> None:
    answer = await operator.post(f"/quota/{operator.stand.app_id}", form, status=422)
    (name,) = re.findall(r'id="(\w+)-fault"', answer.text)
    assert name == next(iter(form))
    assert fault in words(answer.text)
    assert f'value="{form[name]}"' in answer.text
    assert (await operator.stand.native("GET", "/quota"))["own"] == {}


async def test_the_limits_of_another_organization_are_not_there(operator: Operator) -> None:
    stand = operator.stand
    async with httpx.AsyncClient(transport=Crowd(stand.app), base_url=URL) as client:
        stranger = Operator(stand, client)
        await stranger.enter(stand.services.token.for_organization("org_stranger"))
        await stranger.get(f"/quota/{stand.app_id}", status=404)
        await stranger.post(f"/quota/{stand.app_id}", {"messages_hard": "0"}, status=404)
    assert (await stand.native("GET", "/quota"))["own"] == {}


async def test_a_customer_cannot_set_limits(visitor: Visitor, stand: Stand) -> None:
    assert 'name="messages_hard"' not in await visitor.get("/usage")
    answer = await visitor.client.post(
        f"/admin/quota/{stand.app_id}", data={"csrf_token": visitor.csrf_token, "messages_hard": "unlimited"}
    )
    assert answer.status_code == 401
