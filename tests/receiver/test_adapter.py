"""Every adapter in its real framework, behind a real server: the receiver gets the raw body."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.client
import io
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI

from angarium.receiver import Event, MemoryStore, Receiver
from angarium.receiver.adapter import aws_lambda, wsgi
from angarium.receiver.adapter.fastapi import verified
from angarium.testing import sign
from tests.kit.patience import PATIENCE
from tests.receiver import place, serving

BODY = (
    '{ "type":"order.filled",\n "data":{"id":"ord_1", "note":"hé 😀 \\u00e9", "big":12345678901234567890} }'
).encode()
FRAMEWORKS = [*serving.FRAMEWORKS, "django-wsgi", "django-asgi"]


class Shop:
    def __init__(self, store: Any) -> None:
        self.ran: list[Event[Any]] = []
        self.fail = False
        self.receiver = Receiver("standard", place.SECRET, store=store, max_body=100_000)
        self.receiver.on("order.*")(self.handle)
        self.receiver.on("slow.*")(self.ahandle)
        self.receiver.default(self.handle_other)
        self.others: list[bytes] = []
        self.port = 0

    def handle(self, event: Event[Any]) -> None:
        if self.fail:
            raise RuntimeError("the database is away")
        self.ran.append(event)

    def handle_other(self, event: Event[Any]) -> None:
        assert event.data == event.raw, "it is not JSON"
        self.others.append(event.raw)

    async def ahandle(self, event: Event[Any]) -> None:
        await asyncio.sleep(0.01)
        self.ran.append(event)

    def send(
        self, body: bytes, headers: dict[str, str], method: str = "POST", chunked: bool = False
    ) -> tuple[http.client.HTTPResponse, bytes]:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        ) as connection:
            sent: Any = iter([body[:7], body[7:]]) if chunked else body
            connection.request(method, serving.PATH, sent, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer, answer.read()


@pytest.fixture(params=FRAMEWORKS)
def shop(request: pytest.FixtureRequest, directory: Path) -> Iterator[Shop]:
    with contextlib.ExitStack() as stack:
        if request.param.startswith("django"):
            made = f"django {directory / 'django.db'}"
            place.create(made, stack)
            shop = Shop(place.open_store(made, stack))
            served: contextlib.AbstractContextManager[int] = serving.django(
                shop.receiver, loop=request.param == "django-asgi"
            )
        else:
            shop = Shop(MemoryStore())
            served = serving.FRAMEWORKS[request.param](shop.receiver)
        shop.port = stack.enter_context(served)
        yield shop


def test_an_adapter_passes_on_the_raw_body_and_the_answer(shop: Shop, request: pytest.FixtureRequest) -> None:
    headers = sign(BODY, place.SECRET, id="msg_1")

    answer, said = shop.send(BODY, headers)
    assert (answer.status, json.loads(said)) == (200, {"outcome": "handled"})
    assert answer.headers["content-type"].startswith("application/json")
    assert (shop.ran[0].raw, shop.ran[0].id) == (BODY, "msg_1")
    assert json.loads(shop.send(BODY, headers)[1]) == {"outcome": "duplicate"}

    assert shop.send(BODY.replace(b"ord_1", b"ord_2"), headers)[0].status == 401
    assert shop.send(BODY, {"content-type": "application/json"})[0].status == 401
    big = b" " * 100_001
    assert shop.send(big, sign(big, place.SECRET))[0].status == 413
    assert shop.send(b"", {}, "GET")[0].status == 405

    # content types that frameworks parse by themselves
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", None):
        typed = sign(BODY, place.SECRET) | {"content-type": kind} if kind else sign(BODY, place.SECRET)
        if kind is None:
            del typed["content-type"]
        assert shop.send(BODY, typed)[0].status == 200

    # bytes that a framework might decode: a correctly signed body is received unchanged
    compressed = {"content-encoding": "gzip", "content-type": "application/json"}
    for body, more in (
        (b"", {}),
        (b"\xff", {}),
        (b"\xef\xbb\xbf" + BODY, {}),
        (BODY.decode().encode("utf-16"), {"content-type": "application/json; charset=utf-16"}),
        (b"a=1&b=2", {"content-type": "application/x-www-form-urlencoded"}),
        (gzip.compress(BODY), compressed),
        (b"\r\n" + BODY + b"\r\n", {"content-type": "text/plain; charset=iso-8859-1"}),
    ):
        before = len(shop.others) + len(shop.ran)
        assert shop.send(body, sign(body, place.SECRET) | more)[0].status == 200
        assert len(shop.others) + len(shop.ran) == before + 1
        assert body in (*shop.others[-1:], shop.ran[-1].raw), "unchanged"

    slow = b'{"type":"slow.done","data":{}}'
    assert shop.send(slow, sign(slow, place.SECRET))[0].status == 200

    shop.fail = True
    again = sign(BODY, place.SECRET, id="msg_2")
    assert shop.send(BODY, again)[0].status == 500
    shop.fail = False
    assert json.loads(shop.send(BODY, again)[1]) == {"outcome": "handled"}

    if "wsgi" not in request.node.name and "flask" not in request.node.name:  # wsgiref supports no chunks
        chunked = sign(BODY, place.SECRET) | {"transfer-encoding": "chunked"}
        assert shop.send(BODY, chunked, chunked=True)[0].status == 200
        many = sign(big, place.SECRET) | {"transfer-encoding": "chunked"}
        assert shop.send(big, many, chunked=True)[0].status == 413


ALONE = Receiver("standard", place.SECRET, max_body=1000)
APP = FastAPI()


@APP.post(serving.PATH)
async def receive(event: Annotated[Event[Any], Depends(verified(ALONE))]) -> dict[str, str]:
    return {"got": event.id}


def test_the_dependency_for_fastapi_passes_the_event_to_a_route() -> None:
    shop = Shop(MemoryStore())
    with serving.asgi(APP) as shop.port:
        assert json.loads(shop.send(BODY, sign(BODY, place.SECRET, id="msg_1"))[1]) == {"got": "msg_1"}
        assert shop.send(BODY, sign(b"{}", place.SECRET))[0].status == 401
        assert shop.send(b" " * 1001, sign(BODY, place.SECRET))[0].status == 413


def lambda_event(kind: str, body: bytes, headers: dict[str, str], *, encoded: bool) -> dict[str, Any]:
    """An event of API Gateway, a function URL or a load balancer."""
    event: dict[str, Any] = {
        "body": b64encode(body).decode() if encoded else body.decode(),
        "isBase64Encoded": encoded,
    }
    if kind in ("v2", "function-url"):
        http = {"method": "POST", "path": serving.PATH}
        return event | {"version": "2.0", "headers": headers, "requestContext": {"http": http}}
    event |= {"httpMethod": "POST", "path": serving.PATH}
    titled = {name.title(): value for name, value in headers.items()}
    if kind == "v1":
        several = {name: [value] for name, value in titled.items()}
        return event | {"version": "1.0", "headers": titled, "multiValueHeaders": several}
    if kind == "balancer-multi":
        return event | {"multiValueHeaders": {name: [value] for name, value in headers.items()}}
    return event | {"headers": headers}


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("kind", ["v1", "v2", "function-url", "balancer", "balancer-multi"])
def test_a_lambda_function_verifies_events_of_every_source(kind: str, encoded: bool) -> None:
    shop = Shop(MemoryStore())
    function = aws_lambda(shop.receiver)
    headers = sign(BODY, place.SECRET)
    answer = function(lambda_event(kind, BODY, headers, encoded=encoded), None)
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"outcome": "handled"})
    assert json.dumps(answer)
    assert shop.ran[0].raw == BODY
    other = lambda_event(kind, BODY + b" ", headers, encoded=encoded)
    assert function(other, None)["statusCode"] == 401
    assert function({"isBase64Encoded": True, "body": "%", "httpMethod": "POST"}, None)["statusCode"] == 401
    assert function({"requestContext": {"http": {"method": "GET"}}}, None)["statusCode"] == 405
    assert function({}, None)["statusCode"] == 405


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"wsgi.input_terminated": True}, 200),  # a chunked body, from a server that supports them
        ({"CONTENT_LENGTH": str(len(BODY))}, 200),
        ({"CONTENT_LENGTH": "", "wsgi.input_terminated": True}, 200),
        ({}, 401),  # without a length nothing may be read
        ({"CONTENT_LENGTH": "-5"}, 401),
        ({"CONTENT_LENGTH": "many"}, 401),
        ({"CONTENT_LENGTH": "9" * 5000}, 200),  # reads only what exists
        ({"CONTENT_LENGTH": str(len(BODY) - 1)}, 401),
    ],
)
def test_wsgi_reads_as_much_as_the_server_announces(said: dict[str, Any], status: int) -> None:
    environ = {"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(BODY), **said}
    environ |= {
        f"HTTP_{name.upper().replace('-', '_')}": value for name, value in sign(BODY, place.SECRET).items()
    }
    statuses: list[str] = []
    application = wsgi(Shop(MemoryStore()).receiver)
    b"".join(application(environ, lambda line, headers: statuses.append(line)))  # type: ignore[arg-type]
    assert statuses[0].startswith(str(status))
