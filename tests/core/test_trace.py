"""The rules of W3C Trace Context for the header `traceparent`."""

from __future__ import annotations

import pytest

from angarium.core.trace import OpenSpan, RemoteSpan, caller_of, read

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
IDS = f"{TRACE}-{SPAN}"


def caller(sampled: bool) -> RemoteSpan:
    return RemoteSpan(bytes.fromhex(TRACE), bytes.fromhex(SPAN), sampled)


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (f"00-{IDS}-01", True),
        (f"00-{IDS}-00", False),
        (f"00-{IDS}-02", False),  # other flags say nothing
        (f"00-{IDS}-ff", True),
        (f" \t00-{IDS}-01 ", True),  # HTTP ignores whitespace around a value
        (f"cc-{IDS}-01", True),  # a later version
        (f"cc-{IDS}-01-what-the-future-holds", True),
        (f"fe-{IDS}-01-", True),
    ],
)
def test_a_valid_header_names_the_callers_span(value: str, sampled: bool) -> None:
    assert read(value.encode()) == caller(sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"ff-{IDS}-01",  # not allowed
        f"00-{IDS}-01-more",  # version 00 has four fields
        f"00-{IDS}-01-",
        f"00-{IDS}-01.",
        f"cc-{IDS}-01.more",
        f"cc-{IDS}-011",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"0-{IDS}-01",
        f"000-{IDS}-01",
        f"0g-{IDS}-01",
        f"00-{IDS}-0g",
        f"00-{IDS}-1",
        f"00-{IDS}",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00 {TRACE} {SPAN} 01",
        f"00-{IDS}-01\n",
        f"00-{IDS}-01,00-{IDS}-01",
        f"00-{TRACE}-" + "\u0661" * 16 + "-01",
    ],
)
def test_a_header_that_is_not_valid_counts_as_none(value: str) -> None:
    assert read(value.encode()) is None


def test_several_headers_count_as_none() -> None:
    one = (b"traceparent", f"00-{IDS}-01".encode())
    assert caller_of([(b"host", b"x"), one]) == caller(True)
    assert caller_of([one, one]) is None
    assert caller_of([one, (b"traceparent", b"")]) is None
    assert caller_of([(b"host", b"x")]) is None


def test_a_span_that_is_passed_on_is_read_as_itself() -> None:
    span = OpenSpan(bytes.fromhex(TRACE), bytes.fromhex(SPAN), None, 0)
    assert read(span.traceparent.encode()) == caller(True)
    assert span.context == bytes.fromhex(TRACE + SPAN)
