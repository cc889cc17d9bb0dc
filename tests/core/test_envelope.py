"""The headers of an attempt."""

from __future__ import annotations

from typing import Any

import pytest
import svix
from standardwebhooks import Webhook

from angarium.core.envelope import FORBIDDEN_HEADERS, check_content_type, check_header, request_headers
from angarium.core.signature import Signer, new_secret, verify

OLD, NEW = new_secret(b"o" * 24), new_secret(b"n" * 24)
BODY = b'{"a":1}'


def made(
    *secrets: str, at: int = 1_750_000_000, custom: dict[str, str] | None = None, **more: Any
) -> list[tuple[str, str]]:
    return request_headers(
        message_id="msg_1",
        timestamp=at,
        body=BODY,
        signers=[Signer(secret) for secret in secrets],
        custom=custom or {},
        user_agent="Angarium-Webhooks/1",
        **more,
    )


def test_both_families_carry_the_same_values() -> None:
    headers = dict(made(NEW))
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "Angarium-Webhooks/1"
    for part in ("id", "timestamp", "signature"):
        assert headers[f"webhook-{part}"] == headers[f"svix-{part}"]
    assert headers["webhook-timestamp"] == "1750000000"


def test_one_family_can_be_chosen() -> None:
    names = [name for name, _ in made(NEW, families=("webhook",))]
    assert not any(name.startswith("svix") for name in names)


def test_each_key_signs_during_rotation_the_current_first() -> None:
    headers = dict(made(NEW, OLD))
    assert headers["webhook-signature"].split(" ") == [
        Signer(NEW).sign("msg_1", 1_750_000_000, BODY),
        Signer(OLD).sign("msg_1", 1_750_000_000, BODY),
    ]
    for secret in (OLD, NEW):
        verify(BODY, headers, [secret], now=1_750_000_000)


def test_outside_libraries_accept_it() -> None:
    import time

    headers = dict(made(NEW, OLD, at=int(time.time())))
    for secret in (OLD, NEW):
        # Both raise unless the signature fits.
        Webhook(secret).verify(BODY, headers)
        svix.Webhook(secret).verify(BODY, headers)


def test_custom_headers_come_last_and_cannot_replace_angariums() -> None:
    custom = {
        "X-Token": "1",
        "User-Agent": "evil",
        "WEBHOOK-ID": "x",
        "Svix-Anything": "x",
        "Host": "x",
        "Transfer-Encoding": "chunked",
    }
    headers = made(NEW, custom=custom)
    assert headers[-1] == ("X-Token", "1")
    assert len(headers) == 9


@pytest.mark.parametrize("name", [*sorted(FORBIDDEN_HEADERS), "Svix-Id", "X-Amz-Date", "x-google-a"])
def test_forbidden_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be changed"):
        check_header(name, "x")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ä", "a" * 257])
def test_invalid_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a valid header name"):
        check_header(name, "x")


@pytest.mark.parametrize("value", ["a\nb", "a\r\nx: y", "\x00", " a", "a ", "\x7f", "x" * 4097])
def test_invalid_values_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="A header value"):
        check_header("X-A", value)


def test_ordinary_headers_are_accepted() -> None:
    for name, value in (
        ("Authorization", "Bearer x"),
        ("X-Api-Key", "k\tv"),
        ("x-a", ""),
        ("x" * 256, "v" * 4096),
    ):
        check_header(name, value)


@pytest.mark.parametrize(
    "value",
    [
        "application/xml",
        "text/plain; charset=utf-8",
        "text/plain\t ;charset=utf-8",
        "application/vnd.a+json;v=1",
        "a/" + "b" * 254,
        "a/b;" + "c" * 252,
    ],
)
def test_a_content_type_is_a_media_type_with_parameters(value: str) -> None:
    check_content_type(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        *((value, "such as application/xml") for value in ("", "text", "/", "a/b/c", " a/b", "a/b ", "a/b;")),
        *(
            (value, "such as application/xml")
            for value in ("a b/c", "a/b\r\nx: y", "ä/b", "a/b; \x00", "a/b c")
        ),
        ("a/b;" + "c" * 253, "at most 256 characters"),
    ],
)
def test_another_content_type_is_refused(value: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_content_type(value)


def test_a_content_type_and_headers_of_no_endpoint_are_sent_as_given() -> None:
    assert made(NEW, content_type="text/plain")[:2] == [
        ("content-type", "text/plain"),
        ("user-agent", "Angarium-Webhooks/1"),
    ]
    assert made(NEW, families=()) == [
        ("content-type", "application/json"),
        ("user-agent", "Angarium-Webhooks/1"),
    ]
