"""The operator's webhook: the form that each product expects, and names that mean nothing in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from angarium.alert.hook import HEADERS, HookForm, Webhook, body, form_of
from angarium.alert.letter import for_operator, trial
from angarium.core.inbox import ANYWHERE
from angarium.dispatch.url_check_transport import UrlCheckTransport
from tests.alert.test_mail import digest, entry
from tests.kit.receiver import Receiver

FOUND = digest(entry(application="<!channel> & <https://evil.example|click>", name="**bold** [a](https://b)"))
SHOWN = for_operator(FOUND, "https://hooks.example.com/admin")


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("https://hooks.slack.com/services/T0/B0/secret", HookForm.SLACK),
        ("https://acme.webhook.office.com/webhookb2/secret", HookForm.TEAMS),
        ("https://prod-1.westus.logic.azure.com:443/workflows/secret", HookForm.TEAMS),
        ("https://default1.2.environment.api.powerplatform.com/secret", HookForm.TEAMS),
        ("https://hooks.slack.com.evil.example/", HookForm.JSON),
        ("https://evilwebhook.office.com/", HookForm.JSON),
        ("https://alerts.example.com/", HookForm.JSON),
    ],
)
def test_the_form_follows_from_the_host(url: str, form: HookForm) -> None:
    assert form_of(Webhook(url)) is form
    assert form_of(Webhook(url, HookForm.SLACK)) is HookForm.SLACK
    assert "secret" not in repr(Webhook(url))


async def received(form: HookForm) -> Any:
    """What a real receiver gets."""
    transport = UrlCheckTransport(policy=ANYWHERE, response_limit=100)
    async with Receiver() as receiver:
        result = await transport.post(receiver.url, HEADERS, body(SHOWN, FOUND, form), 30.0)
        await transport.close()
        assert result.kind is None
        (request,) = receiver.requests
    assert request.header("content-type") == "application/json"
    return json.loads(request.body)


async def test_slack_gets_a_text_in_which_names_mention_nobody() -> None:
    found = await received(HookForm.SLACK)
    assert found.keys() == {"text"}
    assert found["text"].startswith("*3 messages were not delivered · ")
    assert "<" not in found["text"]
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;" in found["text"]
    assert "Open the operator pages: https://hooks.example.com/admin" in found["text"]


async def test_teams_gets_a_card_of_text_runs_without_markdown() -> None:
    found = await received(HookForm.TEAMS)
    (attachment,) = found["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    blocks = attachment["content"]["body"]
    assert {block["type"] for block in blocks} == {"RichTextBlock"}
    runs = [run for block in blocks for run in block["inlines"]]
    assert {run["type"] for run in runs} == {"TextRun"}
    assert any("**bold** [a](https://b)" in run["text"] for run in runs)


async def test_others_get_json_with_ids() -> None:
    found = await received(HookForm.JSON)
    assert found["type"] == "alert.digest"
    assert found["subject"] == SHOWN.subject
    assert found["data"]["sums"] == {"message.exhausted": {"endpoints": 1, "count": 3}}
    (one,) = found["data"]["endpoints"]
    assert one["applicationId"].startswith("app_")
    assert one["endpointId"].startswith("ep_")
    assert (one["kind"], one["count"], one["code"]) == ("message.exhausted", 3, "connect_refused")


def test_a_test_says_that_it_is_one() -> None:
    assert json.loads(body(trial(), None, HookForm.JSON))["type"] == "alert.test"


def test_a_long_text_is_cut() -> None:
    many = for_operator(digest(*(entry(number, name="n" * 100) for number in range(60))), None)
    assert len(json.loads(body(many, None, HookForm.SLACK))["text"]) < 3100
    assert len(body(many, None, HookForm.TEAMS)) < 20_000
