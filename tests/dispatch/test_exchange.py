"""However an answer is cut into pieces on its way, it is read as the same one."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.dispatch.dial import Origin
from angarium.dispatch.exchange import AnswerTooLarge, Connection, Exchange, HungUp, NotHttp

ORIGIN = Origin("example.test", 80, False, False)
LIMIT = 20

# what comes, and what it is: the error's kind, status, body, and whether the connection serves again
# (None: that depends on whether the end had come when there was enough)
ANSWERS: dict[str, tuple[bytes, type[Exception] | None, int, bytes, bool | None]] = {
    "length": (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", None, 200, b"abc", True),
    "chunks": (
        b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nt: 1\r\n\r\n",
        None, 500, b"abc", True,
    ),
    "hints": (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
        None, 204, b"", True,
    ),
    "closing": (
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
        None, 200, b"a", False,
    ),
    "old": (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", False),
    "too long": (b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n" + b"a" * 90, None, 200, b"a" * 20, None),
    "until the end": (b"HTTP/1.1 201 OK\r\n\r\nabc", None, 201, b"abc", False),
    "broken off": (b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\nabc", HungUp, 200, b"abc", False),
    "no answer": (b"HTTP/1.1 20", HungUp, 0, b"", False),
    "nonsense": (b"SSH-2.0-OpenSSH_9.6\r\n", NotHttp, 0, b"", False),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        NotHttp, 0, b"", False,
    ),
    "many fields": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", AnswerTooLarge, 0, b"", False),
    "long field": (b"HTTP/1.1 200 OK\r\na: " + b"b" * 9000 + b"\r\n\r\n", AnswerTooLarge, 0, b"", False),
}  # fmt: skip


class Wire(asyncio.Transport):
    """A transport that takes everything and goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.gone = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def abort(self) -> None:
        self.gone = True

    def is_closing(self) -> bool:
        return self.gone

    def get_write_buffer_size(self) -> int:
        return 0


def read(pieces: list[bytes]) -> tuple[type[Exception] | None, int, bytes, bool]:
    """What an exchange makes of these pieces and the end of the connection."""
    ends: list[tuple[Exception | None, bool]] = []
    lost: list[Connection] = []
    connection = Connection(
        ORIGIN, LIMIT, lambda _, __, error, reusable: ends.append((error, reusable)), lost.append
    )
    wire = Wire()
    connection.connection_made(wire)
    exchange = Exchange(ORIGIN, b"POST / HTTP/1.1\r\n\r\n", b"body", 1.0)
    connection.begin(exchange)
    assert wire.sent == b"POST / HTTP/1.1\r\n\r\nbody"
    for piece in pieces:
        if not wire.gone:
            connection.data_received(piece)
    if not wire.gone:
        connection.eof_received()
    connection.connection_lost(None)
    ((error, reusable),) = ends
    return (None if error is None else type(error)), exchange.status, exchange.body[:LIMIT], reusable


@pytest.mark.parametrize("name", ANSWERS)
@given(data=st.data())
def test_however_it_is_cut_an_answer_is_the_same(name: str, data: st.DataObject) -> None:
    wire, *expected = ANSWERS[name]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=12)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    error, status, body, reusable = read(pieces)
    if error is not None and expected[0] is not None:
        assert error is expected[0]
        # of a status that was refused as a whole nothing is kept; of one that came, what came
        assert status in (0, expected[1])
    else:
        assert [error, status, body] == expected[:3]
    assert expected[3] in (reusable, None)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_whatever_comes_there_is_one_end(noise: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(noise)) for cut in cuts})
    pieces = [noise[a:b] for a, b in zip([0, *places], [*places, len(noise)], strict=True) if a < b]
    for start in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"):
        error, status, _, reusable = read([start, *pieces] if start else pieces)
        assert error is None or isinstance(error, type)
        assert status == 0 or 100 <= status <= 999
        assert not (reusable and error)


def test_a_connection_that_speaks_while_it_rests_is_closed() -> None:
    ended: list[bool] = []
    connection = Connection(ORIGIN, LIMIT, lambda *_: ended.append(True), lambda _: None)
    wire = Wire()
    connection.connection_made(wire)
    connection.begin(Exchange(ORIGIN, b"", b"", 1.0))
    connection.data_received(ANSWERS["length"][0])
    assert ended == [True]
    assert not wire.gone
    connection.data_received(b"HTTP/1.1 200 OK\r\n")
    assert wire.gone
