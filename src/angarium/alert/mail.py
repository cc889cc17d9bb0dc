"""Makes mails of letters: plain text and simple HTML, with the headers of automatic mail.

The library refuses line breaks in headers, and `one_line` has removed them from names. The Message-ID is that
of the stored mail, so a mail that is sent twice can be recognized.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from html import escape
from typing import Final
from uuid import UUID

from angarium.alert.letter import Group, Letter, LetterLink

# the library encodes a word that is longer than a line, such as the link to unsubscribe
_POLICY: Final = policy.SMTP.clone(max_line_length=900)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail and whom it is for."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage


def mail(letter: Letter, sender: str, to: Sequence[str], mail_id: UUID, at: float) -> Mail:
    """The letter as a mail. `sender`: an address, with or without a name. `at`: for the Date header."""
    name, address = parseaddr(sender)
    user, _, domain = address.rpartition("@")
    message = EmailMessage(_POLICY)
    message["From"] = Address(name, user, domain)
    message["To"] = ", ".join(to)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(int(at), UTC))
    message["Message-ID"] = f"<{mail_id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    if letter.unsubscribe is not None:
        message["List-Unsubscribe"] = f"<{letter.unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content("\n".join(text(letter)) + "\n", cte="quoted-printable")
    message.add_alternative("\n".join(_html(letter)) + "\n", subtype="html", cte="quoted-printable")
    return Mail(address, tuple(to), message)


def text(letter: Letter) -> Iterator[str]:
    """The lines of the plain text."""
    for paragraph in letter.lead:
        yield from (paragraph, "")
    for group in letter.groups:
        yield from _group_text(group)
    if letter.action is not None:
        yield from (f"{letter.action.label}: {letter.action.url}", "")
    for paragraph in letter.after:
        yield from (paragraph, "")
    if letter.footer:
        yield "-- "  # the sign before a signature
        for one in letter.footer:
            yield f"{one.label}: {one.url}" if isinstance(one, LetterLink) else one


def _group_text(group: Group) -> Iterator[str]:
    yield group.title
    yield group.step
    yield ""
    for item in group.items:
        yield f"* {item.title}"
        yield from (f"  {line}" for line in item.lines)
    if group.more is not None:
        yield f"* {group.more}"
    yield ""


def _html(letter: Letter) -> Iterator[str]:
    yield "<!doctype html>"
    yield f'<html lang="en"><head><meta charset="utf-8"><title>{escape(letter.subject)}</title></head><body>'
    yield from (f"<p>{escape(one)}</p>" for one in letter.lead)
    for group in letter.groups:
        yield f"<h2>{escape(group.title)}</h2>"
        yield f"<p>{escape(group.step)}</p>"
        yield "<ul>"
        for item in group.items:
            lines = "".join(f"<br>{escape(line)}" for line in item.lines)
            yield f"<li><b>{escape(item.title)}</b>{lines}</li>"
        if group.more is not None:
            yield f"<li>{escape(group.more)}</li>"
        yield "</ul>"
    if letter.action is not None:
        yield f"<p>{_link(letter.action)}</p>"
    yield from (f"<p>{escape(one)}</p>" for one in letter.after)
    if letter.footer:
        yield "<hr>"
        yield from (
            f"<p>{_link(one) if isinstance(one, LetterLink) else escape(one)}</p>" for one in letter.footer
        )
    yield "</body></html>"


def _link(action: LetterLink) -> str:
    return f'<a href="{escape(action.url)}">{escape(action.label)}</a>'
