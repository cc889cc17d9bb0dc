"""The filter of the message log as it stands in a URL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core import ids
from angarium.core.log_filter import LogFilter, LogStatus
from angarium.portal.customer import message_filter
from angarium.portal.customer.message_filter import RequestedFilter
from angarium.portal.kit.form import Form
from angarium.portal.kit.words import answered, failure_title, kind_words

NOW = 1_800_000_000.0
AT = datetime.fromtimestamp(NOW, UTC)
ENDPOINT = UUID(int=7)


def read(*pairs: tuple[str, str], prefix: str = "msg_", now: float = NOW) -> RequestedFilter:
    return message_filter.read(Form(list(pairs)), now, prefix, {"ep_1": ENDPOINT}.get)


def test_nothing_asked_for_is_everything() -> None:
    asked = read(("status", ""), ("type", " "), ("within", ""))
    assert asked.wanted == LogFilter()
    assert not asked.narrow
    assert not asked.faults


def test_every_field_is_understood() -> None:
    asked = read(
        ("status", "failed"),
        ("status", "retrying"),
        ("type", "order.*"),
        ("endpoint", "ep_1"),
        ("http", "5"),
        ("error", "tls"),
        ("id", "order-17"),
        ("tag", "eu"),
        ("channel", "vip"),
        ("since", "2027-01-01T10:00"),
        ("until", "2027-01-02T10:00:30+02:00"),
    )
    assert not asked.faults
    assert asked.wanted == LogFilter(
        statuses=frozenset({LogStatus.FAILED, LogStatus.RETRYING}),
        event_type="order.*",
        endpoint_id=ENDPOINT,
        http_class=5,
        error_kind="tls",
        message="order-17",
        tag="eu",
        channel="vip",
        since=datetime(2027, 1, 1, 10, tzinfo=UTC),
        until=datetime(2027, 1, 2, 8, 0, 30, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("preset", "back"), [("1h", 1), ("5h", 5), ("1d", 24), ("7d", 7 * 24), ("30d", 30 * 24)]
)
def test_a_preset_looks_back_from_now(preset: str, back: int) -> None:
    assert read(("within", preset)).wanted.since == AT - timedelta(hours=back)


def test_a_time_of_ones_own_goes_before_a_preset() -> None:
    asked = read(("within", "1h"), ("since", "2026-12-01T00:00"))
    assert asked.wanted.since == datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "lost"),
        ("type", "order*"),
        ("endpoint", "ep_2"),
        ("http", "6"),
        ("http", "x"),
        ("error", "a b"),
        ("id", "a b"),
        ("id", "\x00"),
        ("tag", "é"),
        ("channel", "<"),
        ("within", "2h"),
        ("since", "yesterday"),
        ("until", "0001-01-01T00:00+14:00"),
    ],
)
def test_a_field_that_means_nothing_is_kept_and_said(name: str, value: str) -> None:
    asked = read((name, value))
    assert list(asked.faults) == [name]
    assert asked.faults[name]


def test_an_end_before_the_beginning_is_said_at_the_end() -> None:
    faults = read(("since", "2027-01-02T00:00"), ("until", "2027-01-01T00:00")).faults
    assert list(faults) == ["until"]


def test_a_products_own_message_id_is_found() -> None:
    message_id = ids.new(NOW, bytes(8))
    asked = read(("id", ids.text("evt_", message_id)), prefix="evt_")
    assert asked.wanted.message == ids.text(ids.MESSAGE, message_id)


def test_a_fixed_filter_asks_for_the_same_later() -> None:
    fixed = read(("within", "1h"), ("status", "failed")).fixed(NOW)
    pairs = [
        (name, one)
        for name, value in fixed.query.items()
        for one in ([value] if isinstance(value, str) else value)
    ]
    again = read(*pairs, now=NOW + 86400)
    assert again.wanted == fixed.wanted
    assert again.wanted.since == AT - timedelta(hours=1)
    assert again.wanted.until == AT + timedelta(microseconds=999)  # the millisecond of now is over


def test_a_filter_is_said_in_words() -> None:
    asked = read(("status", "failed"), ("status", "canceled"), ("endpoint", "ep_1"), ("error", "http_401"))
    assert message_filter.described(asked.wanted, {ENDPOINT: "https://a.example"}) == [
        ("Status", "Failed or Canceled"),
        ("Endpoint", "https://a.example"),
        ("Failure", "401 Unauthorized"),
    ]


@given(st.lists(st.tuples(st.sampled_from(["status", *message_filter._FIELDS]), st.text(max_size=300))))
def test_whatever_a_url_says_is_understood_or_refused_in_words(pairs: list[tuple[str, str]]) -> None:
    asked = read(*pairs)
    assert all(asked.faults.values())
    if not asked.faults:
        asked.wanted.check()
        assert LogFilter.of(asked.wanted.document()) == asked.wanted


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (None, None, ""),
        (200, None, "200 OK"),
        (404, "http_404", "404 Not Found"),
        (0, "timeout", "Response timed out"),
        (0, "of_another_release", "Internal error on our side"),
        (0, None, "No response"),
        (799, "http_799", "799"),
    ],
)
def test_an_answer_is_said_in_few_words(status: int | None, code: str | None, words: str) -> None:
    assert answered(status, code) == words


def test_a_kind_that_no_filter_offers_is_said_too() -> None:
    assert kind_words("tls") == "Certificate or TLS handshake"
    assert kind_words("tls_expired") == "Certificate expired"
    assert failure_title("http_418") == "418 I'm a Teapot"
