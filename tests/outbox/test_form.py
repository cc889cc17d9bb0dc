"""The outbox and the server accept the same messages, which is tested with generated ones."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData, create_engine
from sqlalchemy.pool import NullPool

from angarium.api.native.message_in import draft_of, read_message
from angarium.client.angarium import Angarium, message_body
from angarium.core import timestamp
from angarium.core.errors import Invalid
from angarium.message_form import MAX_BODY
from angarium.outbox.forward import Forwarder, OutboxRow, row
from angarium.outbox.sqlalchemy import OutboxTable
from tests.kit.patience import PATIENCE
from tests.kit.receiver import Receiver, Reply
from tests.outbox.conftest import Served, forward

NO_PAYLOADS = {
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":[-Infinity]}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "Latin-1": '{"a":"é"}'.encode("latin-1"),
    "half a surrogate pair": b'{"a":"\\ud800"}',
    "half a surrogate pair in a name": b'{"\\uDC00":1}',
    "a list": b"[1]",
    "a text": b'"a"',
    "a number": b"1",
    "null": b"null",
    "nothing": b"",
    "two values": b"{}{}",
    "a field behind it": b'{},"eventType":"x"',
    "too large": b'{"a":"' + b"x" * MAX_BODY + b'"}',
    "a level too deep": b'{"a":' * 101 + b"1" + b"}" * 101,
    "far too deep": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
}
PAYLOADS = {
    "any number": b'{"a":[100.00,1E400,-0,' + b"9" * 5000 + b"]}",
    "blanks around": b' \r\n\t{"a" : 1} \n',
    "a name twice": b'{"a":1,"a":2}',
    "a NUL": b'{"a":"\\u0000"}',
    "a pair": b'{"a":"\\ud83d\\ude00"}',
    "nested": b'{"a":[' * 50 + b"1" + b"]}" * 50,
    "empty": b"{}",
}


class Accepting:
    """Whether the server and the outbox accept a message."""

    @staticmethod
    def outbox(payload: Any, name: str = "a.b", channels: Any = (), tags: Any = ()) -> OutboxRow | None:
        try:
            return row("customer-1", name, payload, channels, tags)
        except ValueError:
            return None

    @staticmethod
    def server(payload: bytes, name: str = "a.b", channels: Any = (), tags: Any = ()) -> bool:
        said: dict[str, Any] = {"eventType": name, "eventId": "outbox-1"}
        said |= {key: list(value) for key, value in (("channels", channels), ("tags", tags)) if value}
        try:
            body = json.dumps(said).encode()[:-1] + b', "payload":' + payload + b"}"
            draft_of(read_message(body), org_id="org_1", app="customer-1", now=0.0, key=None)
        except Invalid:
            return False
        return True


@pytest.mark.parametrize("payload", NO_PAYLOADS.values(), ids=NO_PAYLOADS)
def test_a_payload_that_is_not_a_json_object_is_refused_before_the_commit(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        row("customer-1", "order.filled", payload)


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_the_bytes_of_a_json_object_are_not_changed(payload: bytes) -> None:
    assert row("customer-1", "order.filled", payload).payload == payload
    assert row("customer-1", "order.filled", memoryview(payload)).payload == payload


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        {"a": float("inf")},
        {"a": "\ud800"},
        {"\udfff": 1},
        {"a": ...},
        [],
        "x",
        None,
        {"a": {1}},
    ],
    ids=repr,
)
def test_a_value_that_is_not_a_json_object_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        row("customer-1", "order.filled", value)


@pytest.mark.parametrize(
    "bad",
    [
        {"application": ""},
        {"application": "a/b"},
        {"application": "a" * 257},
        {"application": None},
        {"event_type": "not a type!"},
        {"event_type": ""},
        {"event_type": "é"},
        {"event_type": "a\n"},
        {"event_type": 5},
        {"channels": "abc"},
        {"channels": [""]},
        {"channels": [1]},
        {"channels": ["a b"]},
        {"channels": [f"c{n}" for n in range(11)]},
        {"tags": "abc"},
        {"tags": ["ü"]},
        {"tags": [f"t{n}" for n in range(11)]},
    ],
    ids=repr,
)
def test_an_invalid_name_is_refused_before_the_commit(bad: dict[str, Any]) -> None:
    message: dict[str, Any] = {"application": "customer-1", "event_type": "a.b", "payload": {}}
    with pytest.raises(ValueError, match=next(iter(bad)).split("_")[0]):
        row(**{**message, **bad})


def test_deliver_at_must_have_a_time_zone() -> None:
    at = datetime(2026, 11, 27, 10, 55, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    said = read_message(message_body("a", {}, deliver_at=at)).deliver_at
    assert said is not None
    assert timestamp.parse(said) == at
    with pytest.raises(ValueError, match="time zone"):
        message_body("a", {}, deliver_at=at.replace(tzinfo=None))


def test_the_largest_body_can_be_set() -> None:
    with pytest.raises(ValueError, match="100 are allowed"):
        row("customer-1", "a.b", {"a": "x" * 100}, max_body=100)
    assert row("customer-1", "a.b", {"a": "x" * MAX_BODY}, max_body=2 * MAX_BODY)
    table = OutboxTable(MetaData(), max_body=100)
    with pytest.raises(ValueError, match="100 are allowed"):
        table.insert("customer-1", "a.b", {"a": "x" * 100})


_NAMES = st.text(st.sampled_from("abcXYZ019-_.:+/\\# \n\x00é*"), max_size=5)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_TEXTS = _JSON.map(lambda value: json.dumps(value).encode())
_DAMAGE = st.sampled_from(
    [b"", *(bytes([one]) for one in b',}{"0.-e\\\n\x00\x0b\xff'), b"\\ud800", b"NaN", b"\xef\xbb\xbf"]
)


@st.composite
def _payloads(draw: st.DrawFn) -> bytes:
    text = bytearray(draw(_TEXTS))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(text)))
        text[place : place + draw(st.integers(0, 2))] = draw(_DAMAGE)
    return bytes(text)


@settings(max_examples=500, deadline=None)
@given(_payloads(), _NAMES, st.lists(_NAMES, max_size=12), st.lists(_NAMES, max_size=12))
@example(b'{"a":NaN}', "a", [], [])
@example(b'{"a":"\\udc00"}', "a", [], [])
@example(b"{}", "a", ["c"] * 11, [])
@example(b"{}", "a", [], ["t"] * 11)
def test_the_outbox_and_the_server_accept_the_same_messages(
    payload: bytes, name: str, channels: list[str], tags: list[str]
) -> None:
    given = (payload, name, channels, tags)
    assert (Accepting.outbox(*given) is not None) == Accepting.server(*given)
    assert (Accepting.outbox(payload) is not None) == Accepting.server(payload)


async def test_a_running_server_refuses_no_message_of_the_outbox(served: Served, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'business.db'}", poolclass=NullPool)
    metadata = MetaData()
    outbox = OutboxTable(metadata)
    metadata.create_all(engine)
    chosen = random.Random(14)
    seeds = [*PAYLOADS.values(), b'{"n":-12.5E+10,"s":"\\ud83d\\ude00","l":[1,[],{},null,true]}']
    damage = [b"", b" ", b"0", b"9", b",", b"}", b"NaN", b"\\ud800", b"\xff", b"e5", b"\t"]
    candidates = [*seeds, *NO_PAYLOADS.values()]
    for _ in range(600):
        text = bytearray(chosen.choice(seeds))
        place = chosen.randrange(len(text) + 1)
        text[place : place + chosen.randrange(3)] = chosen.choice(damage)
        candidates.append(bytes(text))
    taken = 0
    with engine.begin() as connection:
        for payload in candidates:
            try:
                connection.execute(
                    outbox.insert("customer-1", "a.b", payload, tags=["t/1"], channels=["c:1"])
                )
                taken += 1
            except ValueError:
                continue
    assert 20 < taken < len(candidates)
    rows = outbox.on(engine)
    await asyncio.wait_for(asyncio.to_thread(forward, served.client, rows), PATIENCE)
    assert rows.refused() == []
    assert len(await served.messages()) == taken


class Rows:
    """An outbox in memory, whose claims do not end."""

    def __init__(self, *rows: OutboxRow) -> None:
        self.waiting = {one.id: one for one in rows}
        self.claimed: dict[str, OutboxRow] = {}
        self.aside: dict[str, str] = {}

    def claim(self, limit: int, seconds: float) -> list[OutboxRow]:
        self.claimed |= self.waiting
        found, self.waiting = list(self.waiting.values()), {}
        return found

    def remove(self, ids: Any) -> None:
        for one in ids:
            del self.claimed[one]

    def release(self, ids: Any) -> None:
        for one in ids:
            self.waiting[one] = self.claimed.pop(one)

    def refuse(self, id: str, words: str) -> None:  # noqa: A002
        del self.claimed[id]
        self.aside[id] = words

    def refused(self, limit: int = 100) -> list[tuple[OutboxRow, str]]:
        raise NotImplementedError

    def restore(self, ids: Any = None) -> int:
        raise NotImplementedError


ERROR = b'{"code":"internal_error","detail":"words"}'
SENT = b'{"id": "msg_1", "eventType": "a.b"}'


async def forwarded(*replies: Reply) -> tuple[Rows, Exception | None]:
    rows = Rows(row("customer-1", "a.b", {"n": 1}), row("customer-1", "a.b", {"n": 2}))
    async with Receiver() as server:
        server.plan(*replies)
        with Angarium(server.url.rstrip("/"), "token", tries=1) as client:
            try:
                await asyncio.to_thread(Forwarder(rows, client).step)
            except Exception as error:
                return rows, error
    return rows, None


@pytest.mark.parametrize("status", [500, 501, 408, 425])
async def test_a_row_on_which_the_server_fails_keeps_its_claim_and_the_next_is_sent(
    status: int,
) -> None:
    rows, error = await forwarded(Reply(status, ERROR), Reply(202, SENT))
    assert error is None
    assert len(rows.claimed) == 1, "it is tried again when the claim ends"
    assert not rows.waiting
    assert not rows.aside


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_refused_row_is_set_aside_and_the_next_is_sent(status: int) -> None:
    rows, error = await forwarded(Reply(status, ERROR), Reply(202, SENT))
    assert error is None
    assert list(rows.aside.values()) == [f"words (HTTP {status})"]
    assert not rows.waiting
    assert not rows.claimed


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, ERROR),
        (403, ERROR),
        (429, ERROR),
        (503, ERROR),
        (404, b"<h1>nginx</h1>"),
        (413, b"{}"),
        (302, b""),
    ],
)
async def test_all_rows_wait_after_a_response_that_is_not_about_the_row(status: int, body: bytes) -> None:
    rows, error = await forwarded(Reply(status, body), Reply(202, SENT))
    assert f"HTTP {status}" in str(error)
    assert len(rows.waiting) == 2


async def test_an_invalid_row_of_an_earlier_version_is_set_aside_with_the_reason() -> None:
    old = OutboxRow("outbox-1", "customer-1", "a.b", b'{"a":NaN}')
    rows = Rows(old, row("customer-1", "a.b", {}))
    async with Receiver() as server:
        server.plan(Reply(202, SENT))
        with Angarium(server.url.rstrip("/"), "token", tries=1) as client:
            assert await asyncio.to_thread(Forwarder(rows, client).step) == 2
    assert rows.aside == {"outbox-1": "NaN is not JSON."}
    assert not rows.claimed


async def test_rows_that_were_set_aside_are_listed_and_sent_after_restore(
    served: Served, tmp_path: Path
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'business.db'}", poolclass=NullPool)
    metadata = MetaData()
    outbox = OutboxTable(metadata)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(outbox.insert("customer-2", "a.b", {"n": 1}))
    rows = outbox.on(engine)
    await asyncio.to_thread(forward, served.client, rows)
    ((one, words),) = rows.refused()
    assert one.application == "customer-2"
    assert "404" in words
    await served.api.application("second", uid="customer-2")
    assert rows.restore(["outbox-other"]) == 0
    assert rows.restore([one.id]) == 1
    await asyncio.to_thread(forward, served.client, rows)
    assert rows.refused() == []
    listed = (await served.api.get("/app/customer-2/msg"))["data"]
    assert [message["eventId"] for message in listed] == [one.id]


def test_bytes_that_are_not_one_value_cannot_change_other_fields() -> None:
    with pytest.raises(ValueError, match="Extra data"):
        message_body("a.b", b'{},"eventType":"other"')
