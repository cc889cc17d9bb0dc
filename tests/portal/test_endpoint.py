"""An endpoint's page: what was sent to it, why it fails, and turning it off and on."""

from __future__ import annotations

import re
from html import escape

import pytest

from angarium.core.claims import Capability
from angarium.core.outcome import explain_status
from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor, visiting


async def send_one_after_another(stand: Stand, *event_types: str) -> None:
    """Each is attempted, at a time of its own, before the next."""
    for name in event_types:
        made = await stand.attempts()
        await stand.clock.advance_to(stand.clock.now() + 0.1)
        await stand.send(name)
        await stand.until_attempts(made + 1)


async def test_attempts_are_listed_with_their_answers_and_the_next_one(
    stand: Stand, visitor: Visitor
) -> None:
    async with Receiver(default=Reply(500)) as receiver:
        endpoint = await stand.endpoint(receiver.url)
        message = await stand.send("order.filled")
        await stand.until_attempts(1)
        page = await visitor.get(f"/endpoints/{endpoint}")
    assert "500 Internal Server Error" in page
    assert "order.filled" in page
    assert f"{visitor.base}/messages/{message['id']}" in page
    assert re.search(r'data-label="Next attempt"><time', page)
    assert "Failing" in page


async def test_the_reasons_for_failures_are_counted_and_explained(stand: Stand, visitor: Visitor) -> None:
    async with Receiver(default=Reply(404)) as receiver:
        receiver.plan(Reply(401))
        endpoint = await stand.endpoint(receiver.url)
        for _ in range(3):
            await stand.send("order.filled")
        await stand.until_attempts(3)
        page = await visitor.get(f"/endpoints/{endpoint}")
    why = page.split("Why it fails")[1].split("</section>")[0]
    assert "404 Not Found</strong>, 2 times" in why
    assert "401 Unauthorized</strong>, 1 time " in why
    assert escape(explain_status(404)[1] or "") in why
    assert why.index("404") < why.index("401")


async def test_the_list_can_be_narrowed_to_failed_or_delivered_attempts(
    stand: Stand, visitor: Visitor
) -> None:
    async with Receiver() as receiver:
        receiver.plan(Reply(500))
        endpoint = await stand.endpoint(receiver.url)
        await send_one_after_another(stand, "order.filled", "order.paid")
        failed = await visitor.get(f"/endpoints/{endpoint}?status=failed")
        delivered = await visitor.get(f"/endpoints/{endpoint}?status=delivered")
        nonsense = await visitor.get(f"/endpoints/{endpoint}?status=nonsense&before=nonsense")
    rows = {"failed": failed, "delivered": delivered, "all": nonsense}
    event = r'data-label="Event"[^>]*><code>([a-z.]+)'
    types = {name: re.findall(event, page) for name, page in rows.items()}
    assert types == {
        "failed": ["order.filled"], "delivered": ["order.paid"], "all": ["order.paid", "order.filled"]
    }  # fmt: skip


async def test_many_attempts_have_pages(
    stand: Stand, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("angarium.portal.customer.endpoint.ROWS", 2)
    async with Receiver() as receiver:
        endpoint = await stand.endpoint(receiver.url)
        await send_one_after_another(stand, *(f"order.n{number}" for number in range(5)))
        page = await visitor.get(f"/endpoints/{endpoint}")
        seen = re.findall(r"order\.n\d", page)
        while older := re.search(r'href="([^"]+)" rel="next"', page):
            page = await visitor.get(older[1].replace("&amp;", "&"))
            seen += re.findall(r"order\.n\d", page)
    assert seen == [f"order.n{number}" for number in (4, 3, 2, 1, 0)]


async def test_a_look_for_rare_failures_stops_and_says_how_far_back_it_looked(
    stand: Stand, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("angarium.service.attempt.LOOKED", 3)
    async with Receiver() as receiver:
        receiver.plan(Reply(500))
        endpoint = await stand.endpoint(receiver.url)
        await send_one_after_another(stand, *(f"order.n{number}" for number in range(5)))
        page = await visitor.get(f"/endpoints/{endpoint}?status=failed")
        assert "None since" in page
        older = re.search(r'href="([^"]+)" rel="next"', page)
        assert older
        page = await visitor.get(older[1].replace("&amp;", "&"))
        assert "order.n0" in page
        assert 'rel="next"' not in page


async def test_an_endpoint_is_disabled_and_enabled_and_led_to_what_is_undelivered(
    stand: Stand, visitor: Visitor
) -> None:
    async with Receiver() as receiver:
        endpoint = await stand.endpoint(receiver.url)
        page = await visitor.follow(f"/endpoints/{endpoint}/disable", {"confirmed": "yes"})
        assert "This endpoint is disabled" in page
        assert "It was disabled manually." in page
        answer = await visitor.post(f"/endpoints/{endpoint}/enable")
        assert answer.headers["location"].endswith(f"/endpoints/{endpoint}/recover?done=enabled")
        assert "enabled again" in await visitor.get(answer.headers["location"])
    found = await stand.native("GET", f"/endpoint/{endpoint}")
    assert found["disabled"] is False


async def test_an_endpoint_that_answered_410_says_that_it_wanted_no_more(
    stand: Stand, visitor: Visitor
) -> None:
    async with Receiver(default=Reply(410)) as receiver:
        endpoint = await stand.endpoint(receiver.url)
        await stand.send("order.filled")
        await stand.until_attempts(1)
        page = await visitor.get(f"/endpoints/{endpoint}")
    assert "responded 410 Gone" in page
    assert "can recover" in page


async def test_a_reader_sees_no_buttons_and_can_do_nothing(stand: Stand, reader: Visitor) -> None:
    endpoint = await stand.endpoint("http://127.0.0.1:9/", headers={"X-Team": "books"})
    for tab in ("", "/settings", "/secret", "/code"):
        page = await reader.get(f"/endpoints/{endpoint}{tab}")
        content = page.split('<main id="main"')[1]
        assert 'method="post"' not in content, tab
        assert "/test" not in content
        assert "books" not in content
    for tab in ("test", "recover"):
        await reader.get(f"/endpoints/{endpoint}/{tab}", status=403)
    audit_events = (
        "enable", "disable", "delete", "settings", "secret", "secret/rotate", "secret/activate", "test",
        "recover", "replay-missing",
    )  # fmt: skip
    for audit_event in audit_events:
        await reader.post(f"/endpoints/{endpoint}/{audit_event}", status=403)
    await reader.get("/endpoints/new", status=403)
    await reader.post("/endpoints", {"url": "http://127.0.0.1:9/", "every": "all"}, status=403)
    assert len((await stand.native("GET", "/endpoint"))["data"]) == 1


@pytest.mark.parametrize(
    ("capability", "audit_event"),
    [
        (Capability.MANAGE_ENDPOINT, "disable"),
        (Capability.MANAGE_SECRET, "secret/rotate"),
    ],
)
async def test_a_capability_allows_what_it_names_and_no_more(
    stand: Stand, capability: Capability, audit_event: str
) -> None:
    endpoint = await stand.endpoint("http://127.0.0.1:9/")
    async with visiting(stand, capabilities=[Capability.VIEW, capability]) as visitor:
        for one in ("disable", "secret/rotate", "secret", "test"):
            sure, status = {"confirmed": "yes"}, 303 if one == audit_event else 403
            answer = await visitor.post(f"/endpoints/{endpoint}/{one}", sure, status=status)
            assert "whsec_" not in answer.text
