"""What is in a mail: headers of automatic mail, both parts, and nothing that a name could inject."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest

from angarium.alert.letter import Letter, confirmation, for_contact, for_operator, trial
from angarium.alert.mail import mail
from angarium.core.alert import AlertKind, Digest, Entry, Sum
from angarium.core.contact import one_line
from angarium.core.email import is_email, masked
from tests.kit.mail import html, plain

NOW = 1_800_000_000.0
SENDER = "Acme webhooks <alerts@acme.example>"
UNSUBSCRIBE = "https://hooks.example.com/alerts/unsubscribe/" + "a" * 160
NASTY = "Acme\r\nBcc: all@example.com\r\n\r\n<script>\u202e\x00é</script>"


def entry(number: int = 1, **fields: Any) -> Entry:
    values: dict[str, Any] = {
        "org_id": "org_a", "app_id": UUID(int=7), "application": "Acme", "endpoint_id": UUID(int=number),
        "name": "orders", "kind": AlertKind.EXHAUSTED, "count": 3, "first_at": NOW, "last_at": NOW + 300,
        "code": "connect_refused",
    }  # fmt: skip
    return Entry(**(values | fields))


def digest(*entries: Entry, more: int = 0) -> Digest:
    sums = {}
    for kind in AlertKind:
        counts = [one.count for one in entries if one.kind is kind]
        if counts:
            sums[kind] = Sum(len(counts) + more, sum(counts) + more)
    return Digest(list(entries), sums)


def parsed(letter: Letter) -> EmailMessage:
    made = mail(letter, SENDER, ["dev@example.com"], UUID(int=5), NOW)
    return read(made.message.as_bytes())


def read(raw: bytes) -> EmailMessage:
    found = message_from_bytes(raw, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def test_a_mail_has_the_headers_of_automatic_mail() -> None:
    made = mail(trial(), SENDER, ["dev@example.com"], UUID(int=5), NOW)
    head = dict(made.message.items())
    assert head["Auto-Submitted"] == "auto-generated"
    assert head["Message-ID"] == f"<{UUID(int=5)}@acme.example>"
    assert head["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
    assert "List-Unsubscribe" not in head
    assert made.sender == "alerts@acme.example"


def test_a_digest_can_be_unsubscribed_from_with_one_click() -> None:
    found = for_contact(digest(entry()), "ep_", UNSUBSCRIBE, None)
    raw = mail(found, SENDER, ["dev@example.com"], UUID(int=5), NOW).message.as_bytes()
    # a header that the library would encode or break is not one that a mail program posts to
    assert f"\r\nList-Unsubscribe: <{UNSUBSCRIBE}>\r\n".encode() in raw
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw


def test_a_digest_says_what_happened_and_what_to_do() -> None:
    shown = for_contact(digest(entry(), more=4), "we_", UNSUBSCRIBE, "https://hooks.example.com/portal/app_1")
    text = plain(parsed(shown))
    assert shown.subject == "7 messages were not delivered · Acme"
    assert "* orders (we_" in text
    assert "3 messages, 2027-01-15 08:00 to 2027-01-15 08:05 UTC" in text
    assert "Connection refused. Check that your server is running and that the port in the URL is" in text
    assert "and 4 more endpoints" in text
    assert "Open the portal: https://hooks.example.com/portal/app_1" in text
    assert f"Unsubscribe: {UNSUBSCRIBE}" in text
    page = html(parsed(shown))
    assert "<b>orders (we_" in page
    assert f'<a href="{UNSUBSCRIBE}">Unsubscribe</a>' in page


def test_the_most_severe_kind_is_the_subject() -> None:
    found = digest(
        entry(),
        entry(2, kind=AlertKind.FAILING, count=1),
        entry(3, kind=AlertKind.DISABLED, count=1, code="gone"),
    )
    shown = for_operator(found, None)
    assert shown.subject == "1 endpoint was disabled · Acme"
    assert [group.title for group in shown.groups] == [
        "1 disabled endpoint", "1 failing endpoint", "1 endpoint with undelivered messages"
    ]  # fmt: skip
    assert "The endpoint responded 410 Gone." in shown.groups[0].items[0].lines
    assert shown.groups[0].items[0].title.startswith("Acme: orders (ep_")


def limit(kind: AlertKind, code: str, app: int = 7, **fields: Any) -> Entry:
    return entry(app, app_id=UUID(int=app), name="", kind=kind, code=code, **({"count": 1} | fields))


def test_a_contact_reads_which_limit_was_reached_and_what_is_refused() -> None:
    hard, soft = limit(AlertKind.QUOTA_HARD, "messages"), limit(AlertKind.QUOTA_SOFT, "endpoints")
    shown = for_contact(digest(hard, soft), "we_", UNSUBSCRIBE, "https://hooks.example.com/portal/app_1")
    assert shown.subject == "A hard limit was reached · Acme"
    text = plain(parsed(shown))
    for words in (
        "New messages are refused until the month ends (UTC), or new endpoints until one is deleted.",
        "* Acme\n  2027-01-15 08:00 to 2027-01-15 08:05 UTC\n  Limit: messages in a month.",
        "Nothing is refused at a soft limit. The portal shows usage and limits.",
        "  Limit: endpoints.",
    ):
        assert words in text, text
    assert "we_" not in text, "a limit is not about an endpoint"
    both = for_contact(digest(limit(AlertKind.QUOTA_SOFT, "messages", count=2)), "we_", UNSUBSCRIBE, None)
    assert "Limits: messages in a month, and endpoints." in both.groups[0].items[0].lines


def test_an_operator_reads_which_applications_reached_a_limit() -> None:
    found = digest(
        limit(AlertKind.QUOTA_HARD, "messages"),
        limit(AlertKind.QUOTA_HARD, "endpoints", 8, application="Other"),
        more=3,
    )
    shown = for_operator(found, None)
    assert shown.subject == "5 applications reached a hard limit"
    (group,) = shown.groups
    assert [one.title.partition(" (app_")[0] for one in group.items] == ["Acme", "Other"]
    assert group.more == "and 3 more applications"


@pytest.mark.parametrize(
    "shown",
    [
        for_contact(digest(entry(application=NASTY, name=NASTY)), "ep_", UNSUBSCRIBE, None),
        for_operator(digest(entry(application=NASTY, name=NASTY)), None),
        confirmation(NASTY, NASTY, "https://hooks.example.com/alerts/confirm/a"),
    ],
)
def test_names_inject_neither_headers_nor_markup(shown: Letter) -> None:
    made = mail(shown, SENDER, ["dev@example.com"], UUID(int=5), NOW)
    raw = made.message.as_bytes()
    assert b"\nBcc:" not in raw
    found = read(raw)
    assert found["Bcc"] is None
    assert "\u202e" not in str(found["Subject"])
    assert "Bcc: all@example.com" in str(found["Subject"])
    assert not any(line.startswith("Bcc") for line in plain(found).splitlines())
    assert "<script>" not in html(found)
    assert "&lt;script&gt;" in html(found)


def test_a_line_break_in_a_header_is_refused_whatever_let_it_through() -> None:
    with pytest.raises(ValueError, match="Header values"):
        mail(trial(), SENDER, ["dev@example.com\r\nBcc: all@example.com"], UUID(int=5), NOW)


@pytest.mark.parametrize("text", ["dev@example.com", "a.b+c@sub.example.co", "o'hara@xn--bcher-kva.example"])
def test_ordinary_addresses_are_addresses(text: str) -> None:
    assert is_email(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "dev", "dev@", "@example.com", "dev@localhost", "dev@example.com\n", "a b@example.com",
        "dev@1.2.3.4",
        "dev@example..com", ".dev@example.com", "dev@example.com,all@example.com", "Dev <dev@example.com>",
        "d\u00e9v@example.com", '"a b"@example.com', "a" * 65 + "@example.com", "a@" + "b." * 130 + "com",
        "dev@exa\r\nmple.com",
    ],
)  # fmt: skip
def test_other_texts_are_not(text: str) -> None:
    assert not is_email(text)


def test_an_address_is_masked_for_the_audit_log() -> None:
    assert masked("someone@example.com") == "s…@example.com"


def test_a_name_becomes_one_line() -> None:
    assert one_line(" a\r\n\tb\u2028c\u202ed\x00e ") == "a b c d e"
    assert one_line("a" * 200) == "a" * 99 + "…"
