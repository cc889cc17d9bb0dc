"""Checks the settings of alerts. An error never contains a value that may be a secret."""

from __future__ import annotations

from email.utils import parseaddr

from angarium.alert.smtp import MailServer
from angarium.core.contact import is_email, one_line
from angarium.core.inbox import ANYWHERE
from angarium.core.url import check_url


def check_server(url: str) -> None:
    """Raises ValueError unless this is the URL of a mail server."""
    MailServer.of(url)


def check_sender(text: str) -> None:
    """Raises ValueError unless this is an address, with or without a name."""
    if one_line(text, 400) != text or not is_email(parseaddr(text)[1]):
        raise ValueError(f"{text!r} is not a sender; write Name <user@example.com>")


def check_address(text: str) -> None:
    """Raises ValueError unless this is an email address."""
    if not is_email(text):
        raise ValueError(f"{text!r} is not an email address; write user@example.com")


def check_webhook(url: str) -> None:
    """Raises ValueError unless requests can be sent to this URL. Its address may be anywhere."""
    try:
        check_url(url, https_only=False, policy=ANYWHERE)
    except ValueError:
        raise ValueError("write a URL such as https://hooks.slack.com/services/…") from None
