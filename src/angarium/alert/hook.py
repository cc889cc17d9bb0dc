"""Makes the bodies of the operator's alert webhook: for Slack, for Microsoft Teams, and plain JSON.

Names that customers chose cannot mention anyone, nor become links: Slack's control characters are escaped,
and Teams gets text runs, in which Markdown has no meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from angarium.alert.letter import Letter
from angarium.alert.mail import text
from angarium.core import ids
from angarium.core.alert import Digest
from angarium.core.outcome import AttemptResult

_HOSTS: Final = {
    "hooks.slack.com": "slack",
    "hooks.slack-gov.com": "slack",
    ".webhook.office.com": "teams",
    ".logic.azure.com": "teams",
    ".powerplatform.com": "teams",
}
HEADERS: Final = (("content-type", "application/json"), ("user-agent", "Angarium-Alerts"))
LONGEST: Final = 3000  # characters of one text, within the limits of both products


class HookForm(StrEnum):
    """The form of the body. `auto`: by the host of the URL."""

    AUTO = "auto"
    SLACK = "slack"
    TEAMS = "teams"
    JSON = "json"


class Post(Protocol):
    """Makes one POST. Every failure is a result."""

    async def __call__(
        self, url: str, headers: Sequence[tuple[str, str]], body: bytes, timeout: float
    ) -> AttemptResult: ...


@dataclass(frozen=True, slots=True)
class Webhook:
    """The operator's alert webhook. Its URL is a secret."""

    url: str = field(repr=False)
    form: HookForm = HookForm.AUTO


def form_of(webhook: Webhook) -> HookForm:
    """The form of the body."""
    if webhook.form is not HookForm.AUTO:
        return webhook.form
    host = (urlsplit(webhook.url).hostname or "").lower()
    return next(
        (
            HookForm(form)
            for name, form in _HOSTS.items()
            if host == name or (name.startswith(".") and host.endswith(name))
        ),
        HookForm.JSON,
    )


def body(letter: Letter, digest: Digest | None, form: HookForm) -> bytes:
    """The body of a call. `digest`: for plain JSON; None: it is a test."""
    lines = list(text(_without_footer(letter)))
    match form:
        case HookForm.SLACK:
            shown = _slack(f"*{letter.subject}*\n\n" + "\n".join(lines))
            value: Any = {"text": shown}
        case HookForm.TEAMS:
            value = _teams(letter.subject, lines)
        case _:
            value = {
                "type": "alert.test" if digest is None else "alert.digest",
                "subject": letter.subject,
                "text": "\n".join(lines).strip(),
                "data": None if digest is None else _data(digest),
            }
    return msgspec.json.encode(value)


def _without_footer(letter: Letter) -> Letter:
    return Letter(letter.subject, letter.lead, letter.groups, letter.action, letter.after)


def _slack(shown: str) -> str:
    shown = shown if len(shown) <= LONGEST else shown[:LONGEST] + "…"
    return shown.strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _teams(subject: str, lines: list[str]) -> Any:
    whole = "\n".join(lines)[:LONGEST].strip()
    blocks = [_run(subject, weight="Bolder"), *(_run(line) for line in whole.split("\n") if line)]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": blocks,
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def _run(line: str, **style: str) -> Any:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": line, **style}]}


def _data(digest: Digest) -> Any:
    return {
        "sums": {kind: {"endpoints": one.endpoints, "count": one.count} for kind, one in digest.sums.items()},
        "endpoints": [
            {
                "kind": one.kind,
                "organizationId": one.org_id,
                "applicationId": ids.text(ids.APPLICATION, one.app_id),
                "application": one.application,
                "endpointId": ids.text(ids.ENDPOINT, one.endpoint_id),
                "name": one.name,
                "count": one.count,
                "firstAt": one.first_at,
                "lastAt": one.last_at,
                "code": one.code,
            }
            for one in digest.entries
        ],
    }
