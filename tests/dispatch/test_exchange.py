"""However an answer is cut into pieces on its way, it is read as the same one."""

from __future__ import annotations

import asyncio
import socket
import time
from select import select

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angarium.dispatch.transport.connection import LARGE_BODY, MAX_FIELDS, HttpConnection
from angarium.dispatch.transport.dial import Origin
from angarium.dispatch.transport.exchange import HttpExchange, HungUp, NotHttp
from tests.kit.patience import wait_until

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
    "many fields": (
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"content-length: 1\r\n\r\na",
        None, 200, b"a", False,
    ),
    "long field": (
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 9000 + b"\r\ncontent-length: 1\r\n\r\na",
        None, 200, b"a", False,
    ),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", True),
    "upgrade offered": (
        b"HTTP/1.1 200 OK\r\nupgrade: h2, h2c\r\nconnection: upgrade\r\ncontent-length: 1\r\n\r\na",
        None, 200, b"a", True,
    ),
    "high bytes": (b"HTTP/1.1 200 \xd6k\r\na: \xe4\xff\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", True),
    "small letters": (b"http/1.1 200 ok\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", False),
    "bare LF": (b"HTTP/1.1 200 OK\ncontent-length: 1\n\na", None, 200, b"a", False),
    "bare LF once": (b"HTTP/1.1 200 OK\r\na: b\ncontent-length: 1\r\n\r\na", None, 200, b"a", False),
    "LF before": (b"\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", None),
    "folded": (b"HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", False),
    "folded at once": (b"HTTP/1.1 200 OK\r\n b\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", False),
    "no colon": (b"HTTP/1.1 200 OK\r\nbad header\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", False),
    "no name": (b"HTTP/1.1 200 OK\r\n: b\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", False),
    "blank in name": (b"HTTP/1.1 200 OK\r\na b: c\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", False),
    "blank before colon": (b"HTTP/1.1 200 OK\r\ncontent-length : 1\r\n\r\na", None, 200, b"a", False),
    "NUL": (b"HTTP/1.1 200 OK\r\na: b\0c\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", False),
    "bare CR": (b"HTTP/1.1 200 OK\r\na: b\rc\r\ncontent-length: 1\r\n\r\na", None, 200, b"a", False),
    "wrong length": (b"HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\nab", None, 200, b"ab", False),
    "length below 0": (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nab", None, 200, b"ab", False),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        None, 200, b"ab", False,
    ),
    "one length twice": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nab",
        None, 200, b"a", False,
    ),
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        None, 200, b"a", False,
    ),
    "junk after chunks": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx\0: \1\r\n\r\n",
        NotHttp, 200, b"a", False,
    ),
    "no chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", NotHttp, 200, b"", False),
    "body after 204": (b"HTTP/1.1 204 No\r\ncontent-length: 2\r\n\r\nab", None, 204, b"", None),
    "body after 304": (b"HTTP/1.1 304 No\r\n\r\nab", None, 304, b"", None),
    "hints in bare LF": (
        b"HTTP/1.1 103 Early\nlink: </a>\n\nHTTP/1.1 200 OK\ncontent-length: 1\n\na",
        None, 200, b"a", False,
    ),
    "status line alone": (b"HTTP/1.1 200 OK\r\n", None, 200, b"", False),
    "no empty line": (b"HTTP/1.1 202 OK\r\na: b\r\n", None, 202, b"", False),
    "header cut off": (b"HTTP/1.1 200 OK\r\ncontent-le", HungUp, 0, b"", False),
    "hints alone": (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", HungUp, 0, b"", False),
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
    lost: list[HttpConnection] = []
    connection = HttpConnection(
        ORIGIN, LIMIT, lambda _, __, error, reusable: ends.append((error, reusable)), lost.append
    )
    wire = Wire()
    connection.connection_made(wire)
    exchange = HttpExchange(ORIGIN, b"POST / HTTP/1.1\r\n\r\n", b"body", 1.0)
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
def test_a_response_is_the_same_however_it_is_split(name: str, data: st.DataObject) -> None:
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
def test_an_exchange_ends_exactly_once(noise: bytes, cuts: list[int]) -> None:
    places = sorted({min(cut, len(noise)) for cut in cuts})
    pieces = [noise[a:b] for a, b in zip([0, *places], [*places, len(noise)], strict=True) if a < b]
    for start in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"):
        error, status, _, reusable = read([start, *pieces] if start else pieces)
        assert error is None or isinstance(error, type)
        assert status == 0 or 100 <= status <= 999
        assert not (reusable and error)


def test_significant_headers_are_kept_among_many() -> None:
    many = b"set-cookie: a=b\r\n" * 200 + b"retry-after: 7\r\n"
    connection = HttpConnection(ORIGIN, LIMIT, lambda *_: None, lambda _: None)
    connection.connection_made(Wire())
    exchange = HttpExchange(ORIGIN, b"", b"", 1.0)
    connection.begin(exchange)
    connection.data_received(b"HTTP/1.1 503 No\r\n" + many + b"content-length: 0\r\n\r\n")
    assert exchange.status == 503
    assert len(exchange.fields) == MAX_FIELDS + 1
    assert exchange.fields[-1] == (b"retry-after", b"7")


@pytest.mark.parametrize("line", [b"a\n", b" b\n", b"a: b\n", b"\t\n"])
def test_a_hostile_head_is_cheap_to_parse(line: bytes) -> None:
    """A head in bare LF that comes in many pieces is not gone through again for each."""
    connection = HttpConnection(ORIGIN, LIMIT, lambda *_: None, lambda _: None)
    wire = Wire()
    connection.connection_made(wire)
    connection.begin(HttpExchange(ORIGIN, b"", b"", 1.0))
    connection.data_received(b"HTTP/1.1 200 OK\n")
    started = time.process_time()
    for _ in range(600 * 1024 // len(line)):
        if wire.gone:
            break
        connection.data_received(line)
    assert wire.gone
    assert time.process_time() - started < 30


@pytest.mark.parametrize("status", [200, 413])
def test_an_answer_is_read_although_writing_failed(status: int) -> None:
    """The receiver answers on the first bytes and closes without having read the others: the kernel resets
    the connection, and a write fails while the answer waits to be read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.sendall(b"POST / HTTP/1.1\r\n")
    wait_until(lambda: select([theirs], [], [], 0)[0])
    theirs.sendall(b"HTTP/1.1 %d Status\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno" % status)
    theirs.close()

    def reset() -> bool:
        try:
            return not ours.send(b"more")
        except OSError:
            return True

    wait_until(reset)
    connection = HttpConnection(ORIGIN, LIMIT, lambda *_: None, lambda _: None, ours)
    connection.connection_made(Wire())
    exchange = HttpExchange(ORIGIN, b"", b"", 1.0)
    connection.begin(exchange)
    connection.connection_lost(BrokenPipeError())
    ours.close()
    assert (exchange.status, exchange.body) == (status, b"no")


def test_a_large_body_is_written_in_pieces_and_no_further_than_the_receiver_reads() -> None:
    loop = asyncio.new_event_loop()

    async def write() -> None:
        wire = Wire()
        connection = HttpConnection(ORIGIN, LIMIT, lambda *_: None, lambda _: None)
        connection.connection_made(wire)
        connection.begin(HttpExchange(ORIGIN, b"head", b"x" * (5 * LARGE_BODY), 1.0))
        assert wire.sent == b"head"
        await asyncio.sleep(0)
        assert len(wire.sent) == 4 + LARGE_BODY
        connection.pause_writing()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(wire.sent) == 4 + LARGE_BODY
        connection.resume_writing()
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(wire.sent) == 4 + 5 * LARGE_BODY

    loop.run_until_complete(write())
    loop.close()


def test_an_idle_connection_that_receives_data_is_closed() -> None:
    ended: list[bool] = []
    connection = HttpConnection(ORIGIN, LIMIT, lambda *_: ended.append(True), lambda _: None)
    wire = Wire()
    connection.connection_made(wire)
    connection.begin(HttpExchange(ORIGIN, b"", b"", 1.0))
    connection.data_received(ANSWERS["length"][0])
    assert ended == [True]
    assert not wire.gone
    connection.data_received(b"HTTP/1.1 200 OK\r\n")
    assert wire.gone
