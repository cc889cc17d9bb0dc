"""Adding an endpoint: its URL is checked and tried first, its events are chosen, its secret is shown."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html import escape
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from angarium.core.claims import Capability
from angarium.core.outcome import explain_status
from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import ORG, Stand
from tests.portal.visitor import Visitor, visiting

EVERY = {"every": "all"}


async def catalogue(stand: Stand) -> None:
    """Three event types of two domains, one with an example."""
    for name in ("order.filled", "order.canceled", "transfer.done"):
        example = {"id": "ord_1"} if name == "order.filled" else None
        schema = {"1": {"type": "object", "examples": [example]}} if example else None
        await stand.native(
            "POST", "//event-type", {"name": name, "description": f"About {name}.", "schemas": schema}
        )


async def endpoints(stand: Stand) -> list[dict[str, Any]]:
    return list((await stand.native("GET", "/endpoint"))["data"])


async def test_a_saved_form_makes_the_endpoint_it_describes(stand: Stand, visitor: Visitor) -> None:
    await catalogue(stand)
    page = await visitor.follow(
        "/endpoints",
        {
            "url": "http://127.0.0.1:9/hook",
            "description": "For the books",
            "every": "some",
            "types": "order.filled",
        },
    )
    assert "The endpoint was added" in page
    assert "For the books" in page


async def test_a_pattern_that_no_event_type_has_is_refused(stand: Stand, visitor: Visitor) -> None:
    await catalogue(stand)
    form = {"url": "http://127.0.0.1:9/hook", "every": "some", "more": "acount.*"}
    page = (await visitor.post("/endpoints", form, status=422)).text
    assert "No event type starts with acount." in page
    assert not await endpoints(stand)


async def test_what_was_chosen_is_what_the_endpoint_has(stand: Stand, visitor: Visitor) -> None:
    await catalogue(stand)
    await visitor.post(
        "/endpoints",
        {
            "url": "http://127.0.0.1:9/hook",
            "every": "some",
            "types": ["order.*", "order.filled", "transfer.done"],
            "rate": "5",
            "fifo": "1",
            "channels": "eu, us",
            "header-name-0": "X-Team",
            "header-value-0": "books",
        },
    )
    (made,) = await endpoints(stand)
    assert made["filterTypes"] == ["order.*", "transfer.done"]  # what a wildcard covers is not named twice
    assert made["rateLimit"] == 5
    assert made["fifo"] is True
    assert made["channels"] == ["eu", "us"]
    headers = await stand.native("GET", f"/endpoint/{made['id']}/headers")
    assert headers["headers"] == {"X-Team": "books"}


FAULTS: list[tuple[dict[str, str], str]] = [
    ({"url": "", **EVERY}, "The URL is empty"),
    ({"url": "ftp://example.com", **EVERY}, "must start with https:// or http://"),
    ({"url": "http://10.0.0.1/", **EVERY}, "is not public"),
    ({"url": "http://127.0.0.1:9/", "every": "some"}, "Choose at least one event type"),
    (
        {"url": "http://127.0.0.1:9/", "every": "some", "types": "no.such"},
        "Unknown event type: no.such",
    ),
    ({"url": "http://127.0.0.1:9/", "rate": "0", **EVERY}, "Enter a whole number from 1"),
    ({"url": "http://127.0.0.1:9/", "rate": "²", **EVERY}, "Enter a whole number from 1"),
    ({"url": "http://127.0.0.1:9/", "channels": "a b$", **EVERY}, "A channel may contain letters"),
    (
        {"url": "http://127.0.0.1:9/", "header-name-0": "Host", "header-value-0": "x", **EVERY},
        "Host: This header is set by the server",
    ),
    (
        {"url": "http://127.0.0.1:9/", "header-name-0": "", "header-value-0": "x", **EVERY},
        "Each header needs a name",
    ),
    ({"url": "http://127.0.0.1:9/", "description": "x" * 1001, **EVERY}, "At most 1000 characters"),
]


async def test_a_fault_is_said_at_its_field_and_nothing_that_was_entered_is_lost(
    stand: Stand, visitor: Visitor
) -> None:
    for form, words in FAULTS:
        page = (await visitor.post("/endpoints", {"channels": "kept", **form}, status=422)).text
        assert words in page
        assert 'class="fault"' in page
        assert form.get("channels", "kept") in page
    assert not await endpoints(stand)


async def test_without_a_catalogue_any_wildcard_is_taken(stand: Stand, visitor: Visitor) -> None:
    form = {"url": "http://127.0.0.1:9/hook", "every": "some", "more": "order.*"}
    await visitor.post("/endpoints", form)
    (made,) = await endpoints(stand)
    assert made["filterTypes"] == ["order.*"]


async def test_the_tree_offers_whole_domains_where_the_product_knows_wildcards(
    stand: Stand, visitor: Visitor
) -> None:
    await catalogue(stand)
    page = await visitor.get("/endpoints/new")
    assert 'value="order.*"' in page
    assert 'value="transfer.done"' in page
    assert "Matches <strong>3</strong> of 3 event types" in page


@pytest.mark.parametrize("stand", ["bluma"], indirect=True)
async def test_a_product_without_wildcards_offers_none_and_takes_none(stand: Stand, visitor: Visitor) -> None:
    page = await visitor.get("/endpoints/new")
    assert ".*" not in page
    assert 'value="video.completed"' in page
    for form in ({"every": "some", "more": "video.*"}, {"every": "some", "types": "*"}):
        answer = await visitor.post("/endpoints", {"url": "http://127.0.0.1:9/", **form}, status=422)
        assert "full names" in answer.text


async def test_of_many_types_only_the_groups_with_something_chosen_are_unfolded(
    stand: Stand, visitor: Visitor
) -> None:
    for number in range(42):
        name = f"area{number % 3}.thing{number}"
        await stand.native("POST", "//event-type", {"name": name, "description": "Something."})
    page = await visitor.get("/endpoints/new", types=["area0.*", "area1.thing1"])
    assert re.findall(r"data-filter-group( open)?>\s*<summary>(\w+)", page) == [
        (" open", "area0"), (" open", "area1"), ("", "area2")
    ]  # fmt: skip


async def test_how_many_types_match_is_told_while_choosing(stand: Stand, visitor: Visitor) -> None:
    await catalogue(stand)
    for query, count in (
        ({"every": "all"}, 3),
        ({"every": "some"}, 0),
        ({"every": "some", "types": ["order.*", "transfer.done"]}, 3),
        ({"every": "some", "more": "transfer.*"}, 1),
    ):
        assert f"<strong>{count}</strong> of 3" in await visitor.get("/endpoints/matches", **query)


async def test_event_types_behind_a_flag_are_neither_offered_nor_taken_without_it(stand: Stand) -> None:
    await catalogue(stand)
    await stand.native(
        "POST", "//event-type", {"name": "beta.thing", "description": "Soon.", "featureFlags": ["beta"]}
    )
    async with visiting(stand) as visitor:
        assert "beta.thing" not in await visitor.get("/endpoints/new")
        assert "beta.thing" not in await visitor.get("/event-types")
        await visitor.get("/event-types/beta.thing", status=404)
        form = {"url": "http://127.0.0.1:9/", "every": "some", "types": "beta.thing"}
        assert "Unknown event type" in (await visitor.post("/endpoints", form, status=422)).text


URLS = [
    ("htp://example.com", "must start with https:// or http://"),
    ("http://127.0.0.1:9/hook", "Not encrypted"),
    ("https://127.0.0.1/hook", "Good"),
    ("https://10.1.2.3/hook", "is not public"),
    ("https://no-such-host.invalid/hook", "no-such-host.invalid"),
]


async def test_the_url_is_checked_while_it_is_typed(visitor: Visitor) -> None:
    for url, words in URLS:
        part = await visitor.get("/endpoints/check", url=url)
        assert words in part
        assert "<html" not in part


async def test_a_url_that_was_not_looked_up_is_not_called_known(visitor: Visitor) -> None:
    for _ in range(60):
        assert "Good" in await visitor.get("/endpoints/check", url="https://127.0.0.1/hook")
    part = await visitor.get("/endpoints/check", url="https://127.0.0.1/hook")
    assert "Good" not in part
    assert "Well-formed" in part


async def test_a_trial_sends_one_signed_example_and_saves_nothing(stand: Stand, visitor: Visitor) -> None:
    await catalogue(stand)
    async with Receiver() as receiver:
        answer = await visitor.post("/endpoints/try", {"url": receiver.url, **EVERY}, status=200)
        (request,) = receiver.requests
    assert "It works" in answer.text
    assert 'value="' + receiver.url in answer.text  # the form is still filled in
    assert json.loads(request.body) == {"id": "ord_1"}
    assert request.header("webhook-signature")
    assert not await endpoints(stand)
    assert await stand.attempts() == 0


async def test_a_trial_is_told_in_the_words_of_a_failed_attempt(stand: Stand, visitor: Visitor) -> None:
    await catalogue(stand)
    async with Receiver(default=Reply(404)) as receiver:
        answer = await visitor.post("/endpoints/try", {"url": receiver.url, **EVERY}, status=200)
        assert "Failed" in answer.text
        assert escape(explain_status(404)[1] or "") in answer.text
        receiver.default = Reply(401)
        answer = await visitor.post("/endpoints/try", {"url": receiver.url, **EVERY}, status=200)
        assert "a receiver that verifies signatures" in answer.text
    answer = await visitor.post("/endpoints/try", {"url": "http://127.0.0.1:9/", **EVERY}, status=200)
    assert "no response" in answer.text
    answer = await visitor.post("/endpoints/try", {"url": "http://10.0.0.1/", **EVERY}, status=200)
    assert "is not public" in answer.text


async def test_only_ten_trials_a_minute_are_made_for_one_application(stand: Stand, visitor: Visitor) -> None:
    await catalogue(stand)
    async with Receiver() as receiver:
        for _ in range(10):
            await visitor.post("/endpoints/try", {"url": receiver.url}, status=200)
        answer = await visitor.post("/endpoints/try", {"url": receiver.url}, status=200)
        assert "Limit of 10 trial requests per minute reached" in answer.text
        assert receiver.count == 10
        await stand.clock.advance_to(stand.clock.now() + 61)
        await visitor.post("/endpoints/try", {"url": receiver.url}, status=200)
        assert receiver.count == 11


async def test_a_trial_of_an_endpoints_new_url_is_signed_with_its_secret(
    stand: Stand, visitor: Visitor
) -> None:
    await catalogue(stand)
    endpoint = await stand.endpoint("http://127.0.0.1:9/", secret="whsec_" + "A" * 32)
    async with Receiver() as receiver:
        form = {"url": receiver.url, "endpoint": endpoint, **EVERY}
        answer = await visitor.post("/endpoints/try", form, status=200)
        assert "It works" in answer.text
        await visitor.post("/endpoints/try", {"url": receiver.url, **EVERY}, status=200)
        known, unknown = receiver.requests
    verifier = Webhook("whsec_" + "A" * 32)
    assert verifier.sign(
        known.header("webhook-id") or "", _time(known.header("webhook-timestamp")), known.body.decode()
    ) == known.header("webhook-signature")
    with pytest.raises(WebhookVerificationError):
        verifier.verify(unknown.body, dict(unknown.headers))


@pytest.mark.parametrize("status", [200, 204, 299, 302, 400, 401, 403, 410, 500, 503])
async def test_a_trial_is_green_for_a_2xx_alone(stand: Stand, visitor: Visitor, status: int) -> None:
    async with Receiver(default=Reply(status)) as receiver:
        page = (await visitor.post("/endpoints/try", {"url": receiver.url, **EVERY}, status=200)).text
    green = "notice good" in page or "badge good" in page
    assert green == (200 <= status <= 299)


SECRET = {"header-name-0": "X-Api-Key", "header-value-0": ""}
READABLE = {"header-name-1": "X-Team", "header-value-1": "books"}


async def test_a_trial_sends_a_secret_header_to_its_own_host_only(stand: Stand, visitor: Visitor) -> None:
    async with Receiver() as own, Receiver() as other:
        endpoint = await stand.endpoint(own.url, headers={"X-Api-Key": "hunter2", "X-Team": "books"})
        form = {"endpoint": endpoint, **EVERY, **SECRET, **READABLE}
        await visitor.post("/endpoints/try", {**form, "url": own.url}, status=200)
        (request,) = own.requests
        assert (request.header("x-api-key"), request.header("x-team")) == ("hunter2", "books")

        page = (await visitor.post("/endpoints/try", {**form, "url": other.url}, status=200)).text
        assert "X-Api-Key: The host of the URL changed" in page
        assert not other.requests

        bare = {"endpoint": endpoint, "url": other.url}
        again = {**form, "url": other.url, "header-value-0": "new"}
        for tried in (bare, again, {**again, "header-name-0": ""}):
            await visitor.post("/endpoints/try", tried, status=200)
        assert [one.header("x-api-key") for one in other.requests] == [None, "new"]


async def test_a_trial_sends_the_headers_that_the_form_holds(stand: Stand, visitor: Visitor) -> None:
    async with Receiver() as receiver:
        await visitor.post("/endpoints/try", {"url": receiver.url, **EVERY, **READABLE}, status=200)
        refused = {**EVERY, "url": receiver.url, "header-name-0": "Host", "header-value-0": "x"}
        page = (await visitor.post("/endpoints/try", refused, status=200)).text
        (request,) = receiver.requests
    assert request.header("x-team") == "books"
    assert "Host: This header is set by the server" in page


def _time(stamp: str | None) -> datetime:
    return datetime.fromtimestamp(int(stamp or "0"), UTC)


async def test_who_may_not_change_endpoints_cannot_have_a_url_tried(stand: Stand) -> None:
    async with Receiver() as receiver:
        for capabilities in (
            [Capability.VIEW],
            [Capability.VIEW, Capability.CREATE_ATTEMPTS],
            [Capability.VIEW, Capability.MANAGE_ENDPOINT],
        ):
            async with visiting(stand, capabilities=capabilities) as visitor:
                await visitor.post("/endpoints/try", {"url": receiver.url}, status=403)
        assert receiver.count == 0


@pytest.mark.parametrize("stand", ["bluma", "bluum"], indirect=True)
async def test_a_secret_that_is_shown_once_is_shown_when_the_endpoint_is_made(
    stand: Stand, visitor: Visitor
) -> None:
    name = stand.product.profile.events[0].name
    form = {"url": "http://127.0.0.1:9/", "every": "some", "types": name}
    answer = await visitor.post("/endpoints", form, status=200)
    shown = re.search(r"whsec_[A-Za-z0-9+/]{32}", answer.text)
    assert shown
    application = await stand.services.application.find(ORG, stand.app_id)
    (made,) = await stand.services.endpoint.page(application.id, None, ascending=True, limit=10)
    assert made.keys[0].secret == shown[0]
    ref = stand.product.profile.ids.endpoint
    page = await visitor.get(f"/endpoints/{ref}{answer.text.split(ref, 1)[1][:27]}/secret")
    assert "whsec_" not in page


async def test_a_secret_that_can_be_revealed_is_not_shown_at_once(stand: Stand, visitor: Visitor) -> None:
    page = await visitor.follow("/endpoints", {"url": "http://127.0.0.1:9/", **EVERY})
    assert "whsec_" not in page
