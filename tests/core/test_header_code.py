"""The encoding of headers: lossless for any headers, short for usual ones, and readable by later releases."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from angarium.core import header_code, ids

MESSAGE = UUID("01a22530-e627-7d58-9230-18066b344222")
ATTEMPT = UUID("01a22530-e701-7d58-9230-18066b344222")
OTHER = UUID("01a22530-e702-7d58-9230-18066b344222")
PUBLIC = ids.text(ids.MESSAGE, MESSAGE)
SECOND = (ATTEMPT.int >> 80) // 1000
SIGNATURE = "v1," + b64encode(bytes(range(32))).decode()
SENT = (
    ("content-type", "application/json"),
    ("user-agent", "Angarium-Webhooks/1.0"),
    ("svix-id", PUBLIC),
    ("svix-timestamp", str(SECOND)),
    ("svix-signature", SIGNATURE),
    ("webhook-id", PUBLIC),
    ("webhook-timestamp", str(SECOND)),
    ("webhook-signature", SIGNATURE),
)
RECEIVED = (
    ("Server", "nginx/1.22.1"),
    ("Date", "Sun, 29 Nov 2026 02:44:51 GMT"),
    ("Connection", "keep-alive"),
)
PINNED = (
    "0a010203312e30030405000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f07080a5e0137"
    "0005782d6f776e02c3a92006312e32322e310c000e"
)
ENTRIES = 184  # of the table when this was written; more may follow them
TABLE = "a2a597240ea71293"

Headers = tuple[tuple[str, str], ...]


def code(sent: Headers, received: Headers = ()) -> bytes:
    return header_code.encode(sent, received, message_id=MESSAGE, attempt_id=ATTEMPT)


def read(data: bytes) -> tuple[Headers, Headers]:
    return header_code.decode(data, message_id=MESSAGE, attempt_id=ATTEMPT)


ALL_KINDS = (*SENT, ("X-Request-Id", "7"), ("x-own", "\u00e9"))

NAMES = st.one_of(
    st.sampled_from([name for name, _ in (*SENT, *RECEIVED)]),
    st.sampled_from(["X-Request-Id", "x-own-signature", "DATE", "Webhook-Id", "set-cookie"]),
    st.text(st.characters(codec="utf-8"), max_size=200),
)
VALUES = st.one_of(
    st.sampled_from([value for _, value in (*SENT, *RECEIVED)]),
    st.sampled_from(
        ["", "v1,", f"evt_{ids.text('', MESSAGE)}", ids.text(ids.MESSAGE, OTHER), "nginx", "(hidden)"]
    ),
    st.binary(min_size=31, max_size=33).map(lambda raw: "v1," + b64encode(raw).decode()),
    st.text(st.characters(codec="utf-8"), max_size=300),
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=40).map(tuple)


@given(HEADERS, HEADERS)
@example(SENT, RECEIVED)
@example((), ())
def test_headers_are_decoded_as_they_were_encoded(sent: Headers, received: Headers) -> None:
    assert read(code(sent, received)) == (sent, received)


@pytest.mark.parametrize(
    "value",
    [
        SIGNATURE[:-1],  # without padding
        SIGNATURE[:-2] + "9=",  # bits that say nothing are set
        SIGNATURE + " " + SIGNATURE,
        SIGNATURE + "\n",
        "v1,é" + SIGNATURE[4:],
        "Mon, 29 Nov 2026 02:44:51 GMT",  # it is a Sunday
        "Sun, 29 Nov 2026 02:44:51 UTC",
        "sun, 29 nov 2026 02:44:51 gmt",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "0" + str(SECOND),
        str(SECOND + 1),
        PUBLIC + " ",
        ids.text("", MESSAGE),
    ],
)
def test_a_value_similar_to_a_usual_one_is_not_changed(value: str) -> None:
    headers = tuple(
        (name, value) for name in ("webhook-signature", "date", "webhook-id", "x-own", "Webhook-Id")
    )
    assert read(code(headers, headers)) == (headers, headers)


def test_usual_headers_take_few_bytes() -> None:
    assert len(code(SENT, RECEIVED)) <= 60


def test_a_repeated_signature_takes_no_bytes() -> None:
    other = "v1," + b64encode(bytes(range(1, 33))).decode()
    same = code((("webhook-signature", SIGNATURE), ("svix-signature", SIGNATURE)))
    different = code((("webhook-signature", SIGNATURE), ("svix-signature", other)))
    assert len(different) - len(same) == 32


def test_rows_of_earlier_releases_stay_readable() -> None:
    """Numbers of the table are stored: it is added to at its end only."""
    assert sha256(repr(header_code.TABLE[:ENTRIES]).encode()).hexdigest()[:16] == TABLE
    kept = bytes.fromhex(PINNED)
    assert code(ALL_KINDS, RECEIVED) == kept
    assert read(kept) == (ALL_KINDS, RECEIVED)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x00",  # free for another format
        b"\x00\xff\x7f",  # a number of a larger table
        b"\x02\x01",  # fewer headers than were sent
        b"\x01\x00\x01a\x02\xff\xfe",  # no UTF-8
        code((("date", "Fri, 31 Dec 9999 23:59:59 GMT"),))[:2] + b"\xff" * 12 + b"\x01",  # no date
    ],
)
def test_unreadable_data_raises_one_error(data: bytes) -> None:
    with pytest.raises(header_code.UnreadableError):
        read(data)


@pytest.mark.parametrize("cut", range(1, len(code(SENT)) + 1))
def test_truncated_data_is_not_decoded(cut: int) -> None:
    whole = code(SENT)
    with pytest.raises(header_code.UnreadableError):
        read(whole[:-cut])
