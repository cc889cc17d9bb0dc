"""Testing an endpoint: an example that can be changed, sent to it alone, and watched."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from tests.kit.receiver import Held, Receiver, Reply
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor

SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string"}},
    "examples": [{"id": "ord_1", "qty": 1.50}],
}


async def catalogue(stand: Stand) -> None:
    for name, schemas in (("a.first", None), ("order.filled", {"1": SCHEMA})):
        body = {"name": name, "description": "About it.", "schemas": schemas}
        await stand.native("POST", "//event-type", body)


async def test_the_form_offers_the_example_of_a_type_that_the_endpoint_gets(
    stand: Stand, visitor: Visitor
) -> None:
    await catalogue(stand)
    endpoint = await stand.endpoint("http://127.0.0.1:9/")
    page = await visitor.get(f"/endpoints/{endpoint}/test")
    assert "<option selected>order.filled</option>" in page
    text = unescape(page.split("<textarea")[1].split(">", 1)[1].split("</textarea>")[0])
    assert json.loads(text) == SCHEMA["examples"][0]  # type: ignore[index]
    page = await visitor.get(f"/endpoints/{endpoint}/test", type="a.first")
    assert "<option selected>a.first</option>" in page


async def test_a_test_reaches_this_endpoint_alone_as_it_was_written_and_its_end_is_told(
    stand: Stand, visitor: Visitor
) -> None:
    await catalogue(stand)
    async with Receiver() as receiver, Receiver() as other:
        endpoint = await stand.endpoint(receiver.url)
        await stand.endpoint(other.url)
        form = {"type": "order.filled", "payload": '{\n "id": "mine",\r\n "n": 12345678901234567890.10 }'}
        answer = await visitor.post(f"/endpoints/{endpoint}/test", form)
        (request,) = await receiver.wait_for(1)
        assert request.body == b'{"id":"mine","n":12345678901234567890.10}'
        await stand.until_attempts(1)
        page = await visitor.get(answer.headers["location"])
        assert "The test was sent" in page
        assert "200 OK" in page
        assert other.count == 0


async def test_while_it_is_under_way_the_page_looks_again_and_then_stops(
    stand: Stand, visitor: Visitor
) -> None:
    await catalogue(stand)
    held = Held(Reply(500))
    async with Receiver(default=held) as receiver:
        endpoint = await stand.endpoint(receiver.url)
        form = {"type": "order.filled", "payload": '{"id": "x"}'}
        answer = await visitor.post(f"/endpoints/{endpoint}/test", form)
        page = await visitor.get(answer.headers["location"])
        again = re.search(r'hx-get="([^"]+)"\s+hx-trigger="load delay', page)
        assert again
        held.release.set()
        await stand.until_attempts(1)
        part = await visitor.client.get(unescape(again[1]), headers={"hx-request": "true"})
        assert "<html" not in part.text
        assert "hx-get" not in part.text
        assert "Failed" in part.text
        assert "Tests are not retried" in part.text


async def test_what_is_wrong_with_a_payload_is_said_and_nothing_is_sent(
    stand: Stand, visitor: Visitor
) -> None:
    await catalogue(stand)
    async with Receiver() as receiver:
        endpoint = await stand.endpoint(receiver.url)
        for payload, words in (
            ('{\n"id": "x",\n}', "trailing comma in object, line 3"),
            ("", "unexpected end"),
            ("[1]", "a JSON object, in { }"),
            ('{"a": "\ud83d"}'.encode("utf-8", "backslashreplace").decode(), "not valid JSON"),
            ("[" * 1000, "nested more than 128 levels deep"),
            ("[" * 100_000, "more than 100,000 values"),
            ("{}", "&#34;id&#34; is a required property"),
            ('{"id": 3}', "id: 3 is not of type"),
        ):
            form = {"type": "order.filled", "payload": payload}
            page = (await visitor.post(f"/endpoints/{endpoint}/test", form, status=422)).text
            assert words in page, payload[:20]
        form = {"type": "no.such", "payload": "{}"}
        page = (await visitor.post(f"/endpoints/{endpoint}/test", form, status=422)).text
        assert "Choose an event type" in page
        form = {"type": "order.filled", "payload": "{}", "anyway": "1"}
        await visitor.post(f"/endpoints/{endpoint}/test", form)
        (request,) = await receiver.wait_for(1)
        assert request.body == b"{}"
        await stand.until_attempts(1)


async def test_without_a_catalogue_there_is_still_something_to_send(stand: Stand, visitor: Visitor) -> None:
    async with Receiver() as receiver:
        endpoint = await stand.endpoint(receiver.url)
        page = await visitor.get(f"/endpoints/{endpoint}/test")
        assert "webhook.test" in page
        form = {"type": "webhook.test", "payload": '{"test": true}'}
        await visitor.post(f"/endpoints/{endpoint}/test", form)
        await receiver.wait_for(1)
        await stand.until_attempts(1)


async def test_a_disabled_endpoint_is_not_tested(stand: Stand, visitor: Visitor) -> None:
    await catalogue(stand)
    endpoint = await stand.endpoint("http://127.0.0.1:9/", disabled=True)
    page = await visitor.get(f"/endpoints/{endpoint}/test")
    assert "Enable the endpoint to send it a test" in page
    assert "<textarea" not in page
    form = {"type": "order.filled", "payload": '{"id": "x"}'}
    page = await visitor.follow(f"/endpoints/{endpoint}/test", form)
    assert "did not accept events" in page


@pytest.mark.parametrize("stand", ["bluum"], indirect=True)
async def test_a_products_envelope_is_put_around_a_test(stand: Stand, visitor: Visitor) -> None:
    async with Receiver() as receiver:
        await stand.endpoint(receiver.url)
        page = await visitor.get("/endpoints")
        ref = "wh_" + page.split("/endpoints/wh_")[1][:27]
        page = await visitor.follow(
            f"/endpoints/{ref}/test", {"type": "order.filled", "payload": '{"id": "mine"}', "anyway": "1"}
        )
        (request,) = await receiver.wait_for(1)
        await stand.until_attempts(1)
    body = json.loads(request.body)
    assert body["event"] == "order.filled"
    assert body["data"] == {"id": "mine"}
    assert "evt_" in page
