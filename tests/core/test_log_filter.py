"""What the log of an application can be asked for, and the filter as JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.core import ids
from angarium.core.errors import FieldError, Invalid
from angarium.core.log_filter import FAILING, LogFilter, LogKey, LogStatus, log_status
from angarium.core.nouns import State

MESSAGE, ENDPOINT = UUID(int=5), UUID(int=7)
SINCE = datetime(2026, 11, 28, 12, 30, 0, 250_000, UTC)
FULL = LogFilter(
    statuses=frozenset({LogStatus.WAITING, LogStatus.FAILED}),
    event_type="order.*",
    endpoint_id=ENDPOINT,
    http_class=5,
    error_kind="tls",
    message="own-1",
    tag="red",
    channel="east",
    since=SINCE,
    until=SINCE + timedelta(hours=1),
)
DOCUMENT = {
    "statuses": ["failed", "waiting"],
    "event_type": "order.*",
    "endpoint": str(ENDPOINT),
    "http_class": 5,
    "error_kind": "tls",
    "message": "own-1",
    "tag": "red",
    "channel": "east",
    "since": "2026-11-28T12:30:00.250000+00:00",
    "until": "2026-11-28T13:30:00.250000+00:00",
}


@pytest.mark.parametrize(
    ("state", "failures", "status"),
    [
        (State.DELIVERED, 0, "delivered"),
        (State.DELIVERED, 3, "delivered"),
        (State.PENDING, 0, "waiting"),
        (State.PENDING, 1, "retrying"),
        (State.EXHAUSTED, 0, "failed"),
        (State.EXHAUSTED, 8, "failed"),
        (State.CANCELED, 0, "canceled"),
        (State.CANCELED, 2, "canceled"),
    ],
)
def test_the_status_of_a_delivery_in_the_log(state: State, failures: int, status: str) -> None:
    assert log_status(state, failures) == status


def test_a_filter_as_json() -> None:
    """A background task keeps it, so its keys are fixed."""
    assert FULL.document() == DOCUMENT
    assert LogFilter.of(DOCUMENT) == FULL
    assert LogFilter().document() == {}
    assert LogFilter.of({}) == LogFilter()
    assert LogFilter(http_class=0).document() == {"http_class": 0}


@given(
    st.builds(
        LogFilter,
        st.frozensets(st.sampled_from(LogStatus)),
        st.none() | st.just("a.b"),
        st.none() | st.uuids(),
        st.none() | st.integers(0, 5),
        st.none() | st.just("http"),
        st.none() | st.text(max_size=5),
        st.none() | st.just("t"),
        st.none() | st.just("c"),
        st.none() | st.datetimes(timezones=st.just(UTC)),
        st.none() | st.datetimes(timezones=st.just(UTC)),
    )
)
def test_a_filter_is_read_from_its_json(made: LogFilter) -> None:
    assert LogFilter.of(made.document()) == made
    assert made.empty == (made.document() == {})


@pytest.mark.parametrize(
    "document",
    [
        {"statuses": ["lost"]},
        {"endpoint": "ep_1"},
        {"since": "yesterday"},
        {"until": "2026-11-28"},
    ],
)
def test_an_unknown_document_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        LogFilter.of(document)


def test_a_filter_contains_only_set_fields() -> None:
    assert LogFilter().empty
    for name, value in vars_of(FULL).items():
        assert not replace(LogFilter(), **{name: value}).empty


def vars_of(made: LogFilter) -> dict[str, Any]:
    return {name: getattr(made, name) for name in LogFilter.__dataclass_fields__}


@pytest.mark.parametrize(
    ("made", "failing"),
    [
        (LogFilter(), False),
        (LogFilter(http_class=2), False),
        (LogFilter(http_class=0), True),
        (LogFilter(http_class=3), True),
        (LogFilter(http_class=5), True),
        (LogFilter(error_kind="tls"), True),
        (LogFilter(statuses=FAILING), True),
        (LogFilter(statuses=frozenset({LogStatus.FAILED})), True),
        (LogFilter(statuses=frozenset({LogStatus.RETRYING})), True),
        (LogFilter(statuses=frozenset({LogStatus.CANCELED})), True),
        (LogFilter(statuses=frozenset({LogStatus.FAILED, LogStatus.WAITING})), False),
        (LogFilter(statuses=frozenset({LogStatus.DELIVERED})), False),
        (LogFilter(statuses=frozenset({LogStatus.WAITING})), False),
        (LogFilter(statuses=frozenset({LogStatus.DELIVERED}), http_class=2), False),
        (LogFilter(statuses=frozenset({LogStatus.DELIVERED}), http_class=5), True),
        (LogFilter(event_type="a", tag="t", channel="c", message="m"), False),
    ],
)
def test_failing_is_what_is_undelivered_retried_or_failed_last(made: LogFilter, failing: bool) -> None:
    assert made.failing is failing


EVENT_TYPE = FieldError(("query", "event_type"), "Must be an event type, or a wildcard such as order.*")
HTTP_CLASS = FieldError(("query", "http_class"), "Must be 1 to 5 for 1xx to 5xx, or 0 for no response.")
ERROR_KIND = FieldError(("query", "error_kind"), "Not a valid error kind.")
MESSAGE_ID = FieldError(("query", "message"), "Not a valid message id.")
TAG = FieldError(("query", "tag"), "Not a valid tag.")
CHANNEL = FieldError(("query", "channel"), "Not a valid channel.")
UNTIL = FieldError(("query", "until"), "The end must not be before the start.")


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (LogFilter(event_type=""), EVENT_TYPE),
        (LogFilter(event_type="a b"), EVENT_TYPE),
        (LogFilter(event_type="order*"), EVENT_TYPE),
        (LogFilter(http_class=6), HTTP_CLASS),
        (LogFilter(http_class=-1), HTTP_CLASS),
        (LogFilter(error_kind=""), ERROR_KIND),
        (LogFilter(error_kind="_"), ERROR_KIND),
        (LogFilter(error_kind="a b"), ERROR_KIND),
        (LogFilter(error_kind="a%"), ERROR_KIND),
        (LogFilter(error_kind="x" * 129), ERROR_KIND),
        (LogFilter(message="x" * 257), MESSAGE_ID),
        (LogFilter(tag=""), TAG),
        (LogFilter(tag="a b"), TAG),
        (LogFilter(channel=""), CHANNEL),
        (LogFilter(channel="a/b"), CHANNEL),
        (LogFilter(since=SINCE, until=SINCE - timedelta(microseconds=1)), UNTIL),
    ],
)
def test_a_filter_that_can_match_nothing_is_refused_at_its_field(made: LogFilter, fault: FieldError) -> None:
    with pytest.raises(Invalid) as refused:
        made.check()
    assert refused.value.faults == (fault,)


def test_all_errors_are_reported_together() -> None:
    with pytest.raises(Invalid) as refused:
        LogFilter(
            event_type="a b",
            http_class=9,
            error_kind="!",
            message="x" * 300,
            tag="a b",
            channel="a b",
            since=SINCE,
            until=SINCE - timedelta(1),
        ).check()
    assert refused.value.faults == (EVENT_TYPE, HTTP_CLASS, ERROR_KIND, MESSAGE_ID, TAG, CHANNEL, UNTIL)


@pytest.mark.parametrize(
    "made",
    [
        FULL,
        LogFilter(),
        LogFilter(event_type="order.filled"),
        LogFilter(event_type="*"),
        *(LogFilter(http_class=one) for one in range(6)),
        LogFilter(error_kind="tls_expired_2"),
        LogFilter(error_kind="x" * 128),
        LogFilter(message=""),
        LogFilter(message="x" * 256),
        LogFilter(tag="a/b#c"),
        LogFilter(channel="a:b+c"),
        LogFilter(since=SINCE, until=SINCE),
        LogFilter(since=SINCE),
        LogFilter(until=SINCE),
    ],
)
def test_a_filter_that_can_match_is_accepted(made: LogFilter) -> None:
    made.check()


@given(st.builds(LogKey, st.uuids(), st.uuids()))
def test_a_place_in_the_log_is_read_from_its_text(key: LogKey) -> None:
    assert LogKey.parse(key.text()) == key


def test_the_text_of_a_place_in_the_log() -> None:
    zeros = "0" * 27
    assert LogKey(UUID(int=0), UUID(int=0)).text() == f"msg_{zeros}.ep_{zeros}"
    assert LogKey(MESSAGE, ENDPOINT) < LogKey(UUID(int=6), UUID(int=0)) < LogKey(UUID(int=6), UUID(int=1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ids.text(ids.MESSAGE, MESSAGE),
        f"{ids.text(ids.MESSAGE, MESSAGE)}.",
        f".{ids.text(ids.ENDPOINT, ENDPOINT)}",
        f"{ids.text(ids.ENDPOINT, ENDPOINT)}.{ids.text(ids.MESSAGE, MESSAGE)}",
        f"{ids.text(ids.MESSAGE, MESSAGE)}.{ids.text(ids.ENDPOINT, ENDPOINT)}.",
        f"{ids.text(ids.MESSAGE, MESSAGE)}:{ids.text(ids.ENDPOINT, ENDPOINT)}",
    ],
)
def test_an_invalid_text_is_not_a_place_in_the_log(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        LogKey.parse(text)
    assert refused.value.faults == (FieldError(("query", "cursor"), "Not a valid position in the log."),)
