"""A plain message create takes the fast path with the same result: its response, what it stores, and how
the connection continues equal those of the ordinary path, which a trailing slash in the path forces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import Response

from angarium.api.edge import Edge
from angarium.api.fast_path import FastPath
from angarium.api.native.message_in import draft_of, read_message
from angarium.core.errors import Invalid
from angarium.store.database import Database
from tests.api.conftest import Api, Backend
from tests.api.serving import serving
from tests.api.world import uuid_of
from tests.kit.patience import PATIENCE, until

PLAIN = {"eventType": "order.paid", "payload": {"n": 1}}


@pytest.fixture(autouse=True)
def _standing_still(backend: Backend) -> None:
    """What is known of a token must be looked up again after a second."""
    backend.clock.stop()


class Wire:
    """One connection, and answers read off it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.002)  # so that it is a read of its own

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.strip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(status.split(" ")[1]), headers, json.loads(body)

    async def ended(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read(1) == b""


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


@contextmanager
def watched(backend: Backend) -> Iterator[list[bool]]:
    """Whether each request that was offered to the fast path was taken."""
    assert isinstance(backend.app, Edge)
    fast_path, taken = backend.app.fast_path, []

    class Watching(FastPath):
        def take(self, url: bytes, headers: Any, body: bytes, answer: Callable[[Response], None]) -> bool:
            taken.append(fast_path.take(url, headers, body, answer))
            return taken[-1]

    backend.app.fast_path = Watching(backend.services, "", 0, fast_path.headers)  # type: ignore[misc]
    try:
        yield taken
    finally:
        backend.app.fast_path = fast_path  # type: ignore[misc]


def request(api: Api, path: str, body: Any, *, version: str = "1.1", **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = {
        "host": "x",
        "authorization": f"Bearer {api.token}",
        "content-length": str(len(content)),
        **headers,
    }
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items() if value)
    return f"POST /api/v1{path} HTTP/{version}\r\n{head}\r\n".encode() + content


def shape(answer: tuple[int, dict[str, str], Any]) -> tuple[int, dict[str, str], Any]:
    """An answer without what differs from message to message."""
    status, headers, body = answer
    body = {k: v for k, v in body.items() if k not in ("id", "timestamp")} if status == 202 else body
    return status, {k: v for k, v in headers.items() if k != "date"}, body


CASES: dict[str, tuple[Any, dict[str, str], str, bool]] = {
    # body, headers, query, whether it is to be taken
    "plain": (PLAIN, {}, "", True),
    "without content": (PLAIN, {}, "?with_content=false", True),
    "with content": (PLAIN, {}, "?with_content=true", True),
    "another query": (PLAIN, {}, "?with_content=perhaps", False),
    "everything": (
        {**PLAIN, "channels": ["c"], "tags": ["t", "u"], "payloadRetentionPeriod": 5},
        {},
        "",
        True,
    ),
    "null in all that is optional": (
        {
            **PLAIN,
            "eventId": None,
            "channels": None,
            "tags": None,
            "payloadRetentionPeriod": None,
            "payloadRetentionHours": None,
            "transformationsParams": None,
            "application": None,
            "deliverAt": None,
        },
        {},
        "",
        True,
    ),
    "the payload by both names": ({**PLAIN, "data": {"n": 1}}, {}, "", True),
    "two payloads": ({**PLAIN, "data": {"n": 2}}, {}, "", False),
    "raw payload": ({**PLAIN, "transformationsParams": {"rawPayload": "a=1"}}, {}, "", True),
    "raw payload of a type": (
        {**PLAIN, "transformationsParams": {"rawPayload": "a=1", "headers": {"content-type": "text/plain"}}},
        {},
        "",
        True,
    ),
    "unknown parameters": ({**PLAIN, "transformationsParams": {"a": 1}}, {}, "", False),
    "a browser": (PLAIN, {"origin": "https://example.com"}, "", False),
    "no token": (PLAIN, {"authorization": ""}, "", False),
    "a bad token": (PLAIN, {"authorization": "Bearer nonsense"}, "", False),
    "another scheme": (PLAIN, {"authorization": "Basic YTpi"}, "", False),
    "an empty token before a good one": (PLAIN, {"host": "x\r\nauthorization:"}, "", False),
    "a good token before another": (PLAIN, {"content_type": "a\r\nauthorization: Bearer no"}, "", False),
    "two keys": (PLAIN, {"idempotency_key": "\r\nidempotency-key: twice"}, "", False),
    "no JSON": (b"{", {}, "", False),
    "no object": ({**PLAIN, "payload": [1]}, {}, "", False),
    "no type": ({"payload": {}}, {}, "", False),
    "several faults": ({"eventType": "a b", "payload": 1, "tags": [""]}, {}, "", False),
    "half a pair": (b'{"eventType":"a","payload":{"a":"\\ud800"}}', {}, "", False),
    "too soon": ({**PLAIN, "deliverAt": "2020-01-01T00:00:00Z"}, {}, "", False),
}


@pytest.mark.parametrize("case", CASES)
async def test_both_paths_respond_alike(api: Api, backend: Backend, case: str) -> None:
    body, headers, query, plain = CASES[case]
    app = await api.application()
    async with serving(backend.app) as url, wire(url) as warm:
        await warm.send(request(api, f"/app/{app}/msg", PLAIN))  # the token and the product are known now
        assert (await warm.answer())[0] == 202
    with watched(backend) as taken:
        async with serving(backend.app) as url, wire(url) as one, wire(url) as other:
            await one.send(request(api, f"/app/{app}/msg{query}", body, **headers))
            await other.send(request(api, f"/app/{app}/msg/{query}", body, **headers))
            assert shape(await one.answer()) == shape(await other.answer())
    assert taken[:1] == [plain]
    assert not any(taken[1:])


async def test_refusals_by_intake_are_the_same_on_both_paths(api: Api, backend: Backend) -> None:
    app = await api.application()
    named = {**PLAIN, "eventId": "e-1"}
    large = {**PLAIN, "payload": {"x": "y" * 300_000}}  # more than one read
    with watched(backend) as taken:
        async with serving(backend.app) as url, wire(url) as one, wire(url) as other:
            for path, body, status in (
                (f"/app/{app}/msg", named, 202),
                (f"/app/{app}/msg", named, 409),
                ("/app/app_unknown/msg", PLAIN, 404),
                (f"/app/{app}/msg", large, 202),
            ):
                await one.send(request(api, path, body))
                mine = await one.answer()
                await other.send(request(api, path + "/", body))
                theirs = await other.answer()
                assert mine[0] == status
                if body is not named or status == 409:
                    assert shape(mine) == shape(theirs)
    # each request of the ordinary way is offered, too, but for the one that is too long
    assert taken == [False, False, True, False, True, False]


async def test_an_idempotency_key_applies_on_both_paths(api: Api, backend: Backend) -> None:
    app = await api.application()
    async with serving(backend.app) as url, wire(url) as connection:
        ids = []
        for path in (f"/app/{app}/msg", f"/app/{app}/msg", f"/app/{app}/msg/", f"/app/{app}/msg"):
            await connection.send(request(api, path, PLAIN, idempotency_key="once"))
            status, _, body = await connection.answer()
            assert status == 202
            ids.append(body["id"])
    assert len(set(ids)) == 1


async def test_invalid_application_and_revoked_tokens_are_refused_on_both_paths(
    api: Api, backend: Backend, new_organization: Any
) -> None:
    app = await api.application()
    stranger, customer = new_organization(), api.as_application(app)
    async with serving(backend.app) as url, wire(url) as connection:
        for _ in range(2):  # the second time everything is remembered
            for who, status in ((api, 202), (stranger, 404), (customer, 403)):
                await connection.send(request(who, f"/app/{app}/msg", PLAIN))
                assert (await connection.answer())[0] == status
        claims = backend.services.token.verify(api.token)
        await backend.services.token.organization.refuse(api.org_id, claims.digest, claims.expires_at)
        await connection.send(request(api, f"/app/{app}/msg", PLAIN))
        assert (await connection.answer())[0] == 401


async def test_of_two_headers_the_first_counts_on_both_paths(api: Api, backend: Backend) -> None:
    """An empty one too."""
    app = await api.application()
    twice = f"\r\nauthorization: Bearer {api.token}"
    async with serving(backend.app) as url, wire(url) as connection:
        await connection.send(request(api, f"/app/{app}/msg", PLAIN))  # the token is known now
        assert (await connection.answer())[0] == 202
        for slash in ("", "/"):
            data = request(api, f"/app/{app}/msg{slash}", PLAIN, authorization=f" {twice}")
            await connection.send(data)
            assert (await connection.answer())[0] == 401


async def test_a_message_can_create_its_application(api: Api, backend: Backend) -> None:
    async with serving(backend.app) as url, wire(url) as connection:
        for _ in range(2):
            body = {**PLAIN, "application": {"name": "New", "uid": "new-one"}}
            await connection.send(request(api, "/app/new-one/msg", body))
            assert (await connection.answer())[0] == 202


async def test_the_connection_continues_as_on_the_ordinary_path(api: Api, backend: Backend) -> None:
    app = await api.application()
    path = f"/app/{app}/msg"
    async with serving(backend.app) as url:
        async with wire(url) as piped:  # the second comes while the first is being stored, and waits
            await piped.send(*[request(api, path, {**PLAIN, "eventId": f"p-{n}"}) for n in range(2)])
            await piped.send(b"".join(request(api, path, {**PLAIN, "eventId": f"q-{n}"}) for n in range(5)))
            told = [await piped.answer() for _ in range(7)]
            assert [body["eventId"] for _, _, body in told] == ["p-0", "p-1", *(f"q-{n}" for n in range(5))]
        async with wire(url) as closing:
            await closing.send(request(api, path, PLAIN, connection="close"))
            _, headers, _ = await closing.answer()
            assert headers["connection"] == "close"
            assert await closing.ended()
        async with wire(url) as old:
            await old.send(request(api, path, PLAIN, version="1.0", connection="keep-alive"))
            status, headers, _ = await old.answer()
            assert (status, headers["connection"]) == (202, "close")
            assert await old.ended()
        async with wire(url) as careful:
            head, _, body = request(api, path, PLAIN, expect="100-continue").partition(b"\r\n\r\n")
            await careful.send(head + b"\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                assert (await careful.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
            await careful.send(body)
            assert (await careful.answer())[0] == 202
        async with wire(url) as broken:
            await broken.send(request(api, path, PLAIN)[:-5] + b"\r\n\r\n\x00\x01 / HTTP/9\r\n\r\n")
            assert [(await broken.answer())[0] for _ in range(2)] == [422, 400]
            assert await broken.ended()
        async with wire(url) as gone:
            await gone.send(request(api, path, {**PLAIN, "eventId": "gone"}))
        async with wire(url) as after:  # a client that disconnected affects no other
            await after.send(request(api, path, PLAIN))
            assert (await after.answer())[0] == 202


async def test_accepted_requests_get_a_response_when_intake_stops(
    api: Api, backend: Backend, database: Database
) -> None:
    app = await api.application()
    path = f"/app/{app}/msg"
    with watched(backend) as taken:

        async def all_taken() -> bool:
            return len(taken) == 3

        async with serving(backend.app) as url, wire(url) as one, wire(url) as other:
            await one.send(request(api, path, PLAIN))
            assert (await one.answer())[0] == 202
            async with database.transaction() as holding:  # nothing can be stored meanwhile
                await holding.execute("lock table message in exclusive mode")
                await one.send(request(api, path, PLAIN))
                await other.send(request(api, path, PLAIN))
                await until(all_taken)
                stopping = asyncio.create_task(backend.services.intake.stop())
            assert [(await connection.answer())[0] for connection in (one, other)] == [202, 202]
            await stopping
            await one.send(request(api, path, PLAIN))
            assert (await one.answer())[0] == 503
    assert taken == [False, True, True, False]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(cuts=st.lists(st.integers(1, 400), max_size=4))
async def test_splitting_a_request_never_changes_the_response(
    api: Api, backend: Backend, cuts: list[int]
) -> None:
    app = await api.application()
    whole = request(api, f"/app/{app}/msg", {**PLAIN, "tags": ["cut"]})
    places = [0, *sorted({min(cut, len(whole) - 1) for cut in cuts}), len(whole)]
    async with serving(backend.app) as url, wire(url) as connection:
        for _ in range(2):
            await connection.send(*[whole[a:b] for a, b in pairwise(places)])
            status, headers, body = await connection.answer()
            assert (status, headers["content-type"], body["tags"]) == (202, "application/json", ["cut"])


# good and bad values of each field
_FIELDS: dict[str, tuple[Any, ...]] = {
    "eventType": ("order.paid", "", "a b", 7, None),
    "payload": ({"n": 1}, {}, {"é": [1.5, None, "\\ud83d\\ude00"]}, [1], "text", None),
    "data": ({"n": 1}, {"n": 2}),
    "channels": (["a"], [], ["a", "a"], ["not good"], "a", None),
    "tags": (["t"], [], ["x" * 129], [7], None),
    "payloadRetentionPeriod": (1, 90, 91, "1", None),
    "payloadRetentionHours": (1, 0, None),
    "transformationsParams": ({"rawPayload": "<a/>"}, {"other": 1}, {}, None),
    "deliverAt": ("2001-01-01T00:00:00Z", "soon", None),
    "unknown": (1,),
}


@st.composite
def _messages(draw: st.DrawFn) -> bytes:
    """A body of message create: mostly with one fault or none."""
    body: dict[str, Any] = {"eventType": "order.paid", "payload": {"n": 1}}
    for name in draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=3, unique=True)):
        body[name] = draw(st.sampled_from(_FIELDS[name]))
    text = json.dumps(
        body, indent=draw(st.sampled_from([None, 2])), ensure_ascii=draw(st.booleans())
    ).encode()
    return text[: draw(st.sampled_from([len(text), len(text), len(text), len(text) - 1]))]


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=_messages())
async def test_both_paths_and_the_model_accept_the_same_messages_and_store_the_same_bytes(
    api: Api, backend: Backend, database: Database, body: bytes
) -> None:
    try:
        draft = draft_of(read_message(body), org_id="o", app="a", now=backend.clock.now(), key=None)
    except Invalid:
        draft = None
    app = await api.application()
    with watched(backend) as taken:
        async with serving(backend.app) as url, wire(url) as connection:
            answers = []
            await connection.send(request(api, f"/app/{app}/msg", PLAIN))  # the token is known now
            await connection.answer()
            for slash in ("", "/"):
                await connection.send(request(api, f"/app/{app}/msg{slash}", body))
                answers.append(await connection.answer())
    assert shape(answers[0]) == shape(answers[1])
    assert taken[1:] == [draft is not None, False]
    assert answers[0][0] == (422 if draft is None else 202)
    async with database.connection() as conn:
        rows = await conn.fetch(
            "select m.event_type, m.event_id, m.channels, m.tags, m.expires_at, p.body"
            " from message m join payload p on p.message_id = m.id where m.app_id = $1 order by m.id",
            uuid_of(app),
        )
    assert len(rows) == (1 if draft is None else 3)
    if draft is not None:
        assert rows[1] == rows[2]
        assert bytes(rows[1]["body"]) == draft.payload
