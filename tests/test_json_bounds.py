"""JSON from outside is bounded before anything is made of it: in depth, in values, and in work."""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium import json_bounds
from angarium.api.body import parse_json
from angarium.api.native.message_in import read_batch, read_item, read_message
from angarium.core.errors import AngariumError, Invalid
from angarium.core.token_key import TokenKey
from angarium.json_bounds import MAX_DEPTH, MAX_VALUES, check, has_half_pair, measure
from angarium.portal.kit.words import pretty
from angarium.service.listener import Receipt

SOURCE = Path(json_bounds.__file__).parent
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=40,
)
# an escaped emoji makes the parser look at all texts
DEEP_AND_DENSE = b'{"e":"\\ud83d\\ude00","b":' + b"[" * 900 + b",".join([b"1"] * 50_000) + b"]" * 900 + b"}"
DENSE = b'{"e":"\\ud83d\\ude00","b":[' + b",".join([b"[]"] * 600_000) + b"]}"


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@given(JSON)
def test_what_json_holds_is_counted_from_its_text(value: object) -> None:
    def depth(one: object) -> int:
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    def count(one: object) -> int:
        if isinstance(one, dict):
            return 1 + sum(1 + count(inner) for inner in one.values())
        return 1 + sum(map(count, one)) if isinstance(one, list) else 1

    for ascii_only in (True, False):
        found = measure(json.dumps(value, ensure_ascii=ascii_only).encode())
        assert found[0] == depth(value)
        assert count(value) <= found[1] <= 2 * count(value)


@given(st.text(st.characters(codec="utf-16", categories=["L", "Cs", "So", "Po"]) | st.just("\\"), max_size=8))
def test_half_a_pair_is_found_in_the_text(text: str) -> None:
    written = json.dumps({text: [text]})
    read = json.dumps(json.loads(written), ensure_ascii=False)
    try:
        read.encode()
    except UnicodeEncodeError:
        assert has_half_pair(written.encode())
    else:
        assert not has_half_pair(written.encode())


@pytest.mark.parametrize("text", [rb'"\ud800"', rb'"\uDC00\uD800"', rb'"\\\ud8FFx"', rb'"\ud83d\n"'])
def test_half_a_pair_in_every_spelling(text: bytes) -> None:
    assert has_half_pair(text)
    assert not has_half_pair(text.replace(b"\\u", b"\\\\u"))


@pytest.mark.parametrize(
    ("fits", "too_much"),
    [
        (nested(MAX_DEPTH), nested(MAX_DEPTH + 1)),
        (b"[" + b",".join([b"1"] * (MAX_VALUES - 1)) + b"]", b"[" + b",".join([b"1"] * MAX_VALUES) + b"]"),
        (b'["' + b"[" * MAX_VALUES + b'"]', b"[" * MAX_VALUES),
    ],
    ids=["depth", "values", "in a text"],
)
def test_a_bound_is_named(fits: bytes, too_much: bytes) -> None:
    check(fits)
    with pytest.raises(ValueError, match=r"128 levels|100,000 values"):
        check(too_much)


@pytest.mark.parametrize("text", [DEEP_AND_DENSE, DENSE], ids=["deep", "dense"])
@pytest.mark.parametrize(
    "read",
    [
        parse_json,
        lambda text: read_message(b'{"eventType":"a","payload":' + text + b"}"),
        lambda text: read_item(
            read_batch(b'{"messages":[{"eventType":"a","payload":' + text + b"}]}").messages[0], 0
        ),
    ],
    ids=["a body", "a message", "a batch"],
)
def test_no_body_costs_much_more_than_its_size(read: object, text: bytes) -> None:
    tracemalloc.start()
    begun = time.process_time()
    try:
        with pytest.raises(Invalid, match=r"levels|values"):
            read(text)  # type: ignore[operator]
        assert tracemalloc.get_traced_memory()[1] < 8 * len(text) + 1_000_000
        assert time.process_time() - begun < 5
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "piece", [rb"\"", b'"', rb"\\", b'"a",', rb"\ud83d", b"[", b"[]", b'{"', rb"\u", rb"\n"], ids=str
)
def test_the_work_goes_with_the_length_whatever_the_text_is(piece: bytes) -> None:
    """Where it goes with the square, two megabytes take minutes."""
    text = b'"' + piece * (2 * 1024 * 1024 // len(piece))
    begun = time.process_time()
    measure(text, values=10 * MAX_VALUES)
    has_half_pair(text)
    assert time.process_time() - begun < 10


def test_a_page_does_not_grow_with_the_depth_of_what_it_shows() -> None:
    inner = b",".join([b"1"] * 50_000)
    assert len(pretty(b"[" * 900 + inner + b"]" * 900)) < 200_000
    assert len(pretty(b"[" * 100 + inner + b"]" * 100)) < 200_000
    assert pretty(b'{"a":[1]}') == '{\n  "a": [\n    1\n  ]\n}'


def test_small_texts_that_are_packed_into_others_are_bounded_too() -> None:
    deep = nested(5000)
    with pytest.raises(Invalid):
        Receipt.read(urlsafe_b64encode(b'{"x":' + deep + b"}").decode())
    head = urlsafe_b64encode(deep).decode().rstrip("=")
    with pytest.raises(AngariumError, match="token"):
        TokenKey.of("s" * 64).open(f"{head}.e30.AAAA")


def test_whatever_parses_what_comes_in_knows_the_bounds() -> None:
    """A new parser of JSON in these folders is listed here with its reason, or checks the bounds first."""
    ours = {
        "api/dialects/bluum_form.py",  # a payload that was checked when it was accepted, and is only scanned
        "portal/customer/event_type.py",  # a schema that was, written again
        "service/export.py",  # a cursor, read as a tuple of texts, so nothing in it is nested
        "api/route.py",  # the id of an application in a response of our own
    }
    parsing = re.compile(r"json\.loads\(|json\.decode\(|json\.format\(")
    unbounded = {
        str(path.relative_to(SOURCE))
        for folder in ("api", "portal", "service", "dispatch")
        for path in (SOURCE / folder).rglob("*.py")
        if parsing.search(path.read_text()) and "json_bounds" not in path.read_text()
    }
    assert unbounded == ours
