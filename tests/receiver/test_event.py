"""How an event is read from a body, and that nothing is lost on the way to a worker."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.receiver import Shape
from angarium.receiver.event import Event, Proof, load, moment, read

SUMMER = datetime(2025, 6, 15, 14, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("2025-06-15T14:30:15Z", SUMMER),
        ("2025-06-15T14:30:15", SUMMER),  # without a zone it is UTC
        ("2025-06-15T16:30:15+02:00", SUMMER),
        ("2025-06-15T14:30:15.250Z", SUMMER + timedelta(milliseconds=250)),
        (1_749_997_815, SUMMER),
        (1_749_997_815.5, SUMMER + timedelta(milliseconds=500)),
        (1_749_997_815_250, SUMMER + timedelta(milliseconds=250)),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (99_999_999_999, datetime(5138, 11, 16, 9, 46, 39, tzinfo=UTC)),  # the last one in seconds
        (100_000_000_000, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),  # the first one in milliseconds
        (-100_000_000_000, datetime(1966, 10, 31, 14, 13, 20, tzinfo=UTC)),
        ("yesterday", None),
        ("1749997815", None),
        (True, None),
        (None, None),
        (10**30, None),
        (float("nan"), None),
        ({}, None),
    ],
)
def test_a_time_is_iso_8601_or_epoch_seconds_or_milliseconds(value: object, wanted: datetime | None) -> None:
    found = moment(value)
    assert found == wanted
    if found is not None:
        assert found.tzinfo is UTC


def test_a_time_without_a_zone_is_utc_wherever_the_receiver_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert moment("2025-06-15T14:30:15") == SUMMER
        assert moment(1_749_997_815) == SUMMER
    finally:
        monkeypatch.undo()
        time.tzset()


def event_of(body: object, shape: Shape | None = None, **proof: Any) -> Event[Any]:
    return read(json.dumps(body).encode(), shape or Shape(), Proof(**proof))


@pytest.mark.parametrize(
    ("body", "event_type"),
    [
        ({"type": "a"}, "a"),
        ({"event": "a"}, "a"),
        ({"event_type": "a"}, "a"),
        ({"eventType": "a"}, "a"),
        ({"eventType": "b", "type": "a"}, "a"),
        ({"type": 5, "event": "a"}, "a"),
        ({"type": "", "event": "a"}, "a"),
        ({"type": 5}, ""),
        ({"type": None}, ""),
        (["type"], ""),
        ("type", ""),
    ],
)
def test_the_first_field_that_contains_text_is_the_type(body: object, event_type: str) -> None:
    assert event_of(body).type == event_type


def test_id_and_type_of_the_headers_replace_those_of_the_body() -> None:
    event = event_of({"id": "of_the_body", "type": "of.the.body"}, id="msg_1", type="order", sent_at=1000)
    assert (event.id, event.type) == ("msg_1", "order")
    assert event.sent_at == datetime.fromtimestamp(1000, UTC)
    event = event_of({"id": "of_the_body", "type": "of.the.body"})
    assert (event.id, event.type, event.sent_at) == ("of_the_body", "of.the.body", None)


@pytest.mark.parametrize("name", ["created", "createdAt", "created_at", "timestamp"])
def test_the_first_field_that_contains_a_time_is_the_timestamp(name: str) -> None:
    assert event_of({name: 1_749_997_815}).timestamp == SUMMER
    assert event_of({"timestamp": "soon", name: 1_749_997_815, "created": 1_749_997_815}).timestamp == SUMMER


def test_an_id_and_a_type_have_at_most_255_characters() -> None:
    longest = "x" * 255
    event = event_of({"id": longest, "type": longest})
    assert (event.id, event.type) == (longest, longest)
    event = event_of({"id": longest + "x", "type": longest + "x"})
    assert event.id == f"sha256:{hashlib.sha256((longest + 'x').encode()).hexdigest()}"
    assert event.type == ""


def test_the_id_of_an_event_without_one_is_the_hash_of_its_bytes() -> None:
    assert event_of({"id": 5}).id == f"sha256:{hashlib.sha256(json.dumps({'id': 5}).encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ({"type": "a", "data": 1}, 1),
        ({"type": "a", "data": None}, None),
        ({"type": "a"}, {"type": "a"}),
        ({"data": 1}, {"data": 1}),
        ([{"data": 1}], [{"data": 1}]),
    ],
)
def test_the_data_is_in_the_envelope_or_is_the_whole_body(body: object, data: object) -> None:
    assert event_of(body).data == data
    assert event_of(body, Shape(data=None)).data == body


TIMES = st.none() | st.integers(0, 4_000_000_000_000_000).map(
    lambda microseconds: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
)


@given(
    st.text(max_size=20), st.text(max_size=20), TIMES, TIMES,
    st.sampled_from([b"", b"a=1", b'{"type":"a","data":[1]}', b"[1]", b"\xff\x00"]),
)  # fmt: skip
def test_an_event_is_unchanged_after_a_queue(
    event_id: str, event_type: str, timestamp: datetime | None, sent_at: datetime | None, raw: bytes
) -> None:
    made = read(raw, Shape(), Proof())
    event = Event(event_id, event_type, timestamp, made.data, raw, made.body, sent_at)
    item = event.dump()
    assert json.loads(json.dumps(item)) == item
    assert load(item, Shape()) == event
    assert load({**item, "raw": None}, Shape()).raw == b""
