"""The URLs of Play inboxes, and how inboxes respond by default."""

from __future__ import annotations

from uuid import UUID

import pytest

from angarium.core import ids, inbox
from angarium.core.inbox import InboxAnswer, InboxUrls

MADE = ids.at(1_764_334_500_123_456, bytes(range(8)))
NAME = ids.text(ids.INBOX, MADE)


@pytest.mark.parametrize(
    ("base", "prefix"),
    [
        ("https://hooks.example.com", "https://hooks.example.com/play/in/"),
        ("https://hooks.example.com/", "https://hooks.example.com/play/in/"),
        ("https://HOOKS.example.com:443//", "https://hooks.example.com/play/in/"),
        ("https://example.com/hooks/", "https://example.com/hooks/play/in/"),
        ("http://127.0.0.1:8071", "http://127.0.0.1:8071/play/in/"),
        ("http://[::1]:8071", "http://[::1]:8071/play/in/"),
        ("http://169.254.169.254", "http://169.254.169.254/play/in/"),
    ],
)
def test_inboxes_are_below_the_address_of_the_server(base: str, prefix: str) -> None:
    """A private address, and one without https, is allowed here and nowhere else."""
    urls = InboxUrls(base)
    assert urls.prefix == prefix
    assert urls.of(MADE) == prefix + NAME
    assert urls.includes(prefix + NAME)


@pytest.mark.parametrize(
    "base",
    [
        "",
        "hooks.example.com",
        "ftp://hooks.example.com",
        "https://",
        "https:///x",
        "https://us:pw@hooks.example.com",
        "https://hooks.example.com?a",
        "https://hooks.example.com/?a",
        "https://hooks.example.com#a",
        "https://hooks.example.com/#a",
        "https://hooks.example.com/a@b#c",
        " https://hooks.example.com",
    ],
)
def test_the_address_of_the_server_has_no_login_query_or_fragment(base: str) -> None:
    with pytest.raises(ValueError, match="must be like https:"):
        InboxUrls(base)


def test_an_invalid_host_is_refused() -> None:
    with pytest.raises(ValueError, match="the host is not a valid domain name"):
        InboxUrls("https://-.example.com")


@pytest.mark.parametrize(
    "url",
    [
        "",
        NAME,
        "https://hooks.example.com/play/in",
        "https://hooks.example.com/play/in/",
        f"https://hooks.example.com/play/in/{NAME}/",
        f"https://hooks.example.com/play/in/{NAME}?a",
        f"https://hooks.example.com/play/in//{NAME}",
        f"https://hooks.example.com/play/in/x/{NAME}",
        f"https://hooks.example.com/play/{NAME}",
        f"http://hooks.example.com/play/in/{NAME}",
        f"https://hooks.example.com:8443/play/in/{NAME}",
        f"https://HOOKS.example.com/play/in/{NAME}",
        f"https://example.com/play/in/{NAME}",
        f"https://hooks.example.com/play/in/{ids.text(ids.ENDPOINT, MADE)}",
        f"https://hooks.example.com/play/in/{NAME[:-1]}",
    ],
)
def test_only_the_exact_url_of_an_inbox_is_exempt_from_the_rules(url: str) -> None:
    assert not InboxUrls("https://hooks.example.com").includes(url)


def test_requests_are_kept_for_a_day() -> None:
    now = 1_764_334_500.0
    oldest = inbox.oldest_kept(now)
    assert oldest <= ids.new(now - 86_400, b"\0" * 8)
    assert oldest > ids.new(now - 86_400.001, b"\xff" * 8)
    assert isinstance(oldest, UUID)


def test_an_inbox_responds_with_200_at_once_by_default() -> None:
    assert InboxAnswer() == InboxAnswer(status_code=200, delay=0.0, failure_percent=0)
