"""Adapters: they pass the raw body of a request to a Receiver, and its answer to the web framework.

`asgi`, `wsgi` and `aws_lambda` need no library. Each other adapter is a module of its own, because it imports
its framework. Django's views are in `angarium.receiver.django`, which is also an app with tables.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from angarium.receiver.outcome import WRONG_METHOD, Answer
from angarium.receiver.receiver import Receiver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def body_of(pieces: AsyncIterable[bytes], most: int) -> bytes:
    """The raw body. Reading stops after `most` bytes have been exceeded, so that the Receiver refuses it."""
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > most:
            break
    return bytes(body)


# ---------------------------------------------------------------------------------------------------- ASGI


def asgi(receiver: Receiver) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """`application = asgi(receiver)`, for any ASGI server. It responds at every path: mount it at one."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] != "http":
            raise NotImplementedError(f"A receiver supports HTTP only, not {scope['type']}.")
        elif scope["method"] != "POST":
            await _send(WRONG_METHOD, send)
        else:
            raw = await _body(receive, receiver.max_body)
            if raw is not None:
                await _send(await receiver.ahandle(raw, scope["headers"]), send)

    return application


async def _body(receive: Receive, most: int) -> bytes | None:
    """As `body_of`; None if the client disconnects."""
    body = bytearray()
    while len(body) <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body)


async def _send(answer: Answer, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


# ---------------------------------------------------------------------------------------------------- WSGI


def wsgi(receiver: Receiver) -> WSGIApplication:
    """`application = wsgi(receiver)`, for any WSGI server. It responds at every path: mount it at one."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = WRONG_METHOD
        if environ["REQUEST_METHOD"] == "POST":
            answer = handle_environ(receiver, environ)
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", list(answer.headers.items()))
        return [answer.body]

    return application


def handle_environ(receiver: Receiver, environ: WSGIEnvironment) -> Answer:
    """The answer to a WSGI request. Of a body that is too large, one byte more than allowed is read."""
    stated = str(environ.get("CONTENT_LENGTH") or "")
    length = int(stated[:18]) if stated.isdecimal() else 0
    if not stated and environ.get("wsgi.input_terminated"):
        # servers that accept chunked bodies say in this way that their input ends by itself
        length = receiver.max_body + 1
    body = bytes(environ["wsgi.input"].read(min(length, receiver.max_body + 1))) if length else b""
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    return receiver.handle(body, headers)


# ---------------------------------------------------------------------------------------------- AWS Lambda


def aws_lambda(receiver: Receiver) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """`lambda_handler = aws_lambda(receiver)`, behind API Gateway (payload versions 1 and 2), a function URL
    or a load balancer.

    Use a store outside of the function (`RedisStore`, `DbApiStore`): each instance has its own memory.
    """

    def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        answer = WRONG_METHOD
        if _method(event) == "POST":
            headers = event.get("multiValueHeaders") or event.get("headers") or {}
            answer = receiver.handle(_decoded(event), headers)
        return {
            "statusCode": answer.status,
            "headers": dict(answer.headers),
            "body": answer.body.decode("utf-8"),
            "isBase64Encoded": False,
        }

    return lambda_handler


def _method(event: dict[str, Any]) -> str:
    if "httpMethod" in event:  # version 1, and load balancers
        return str(event["httpMethod"])
    return str(event.get("requestContext", {}).get("http", {}).get("method", ""))


def _decoded(event: dict[str, Any]) -> Any:
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body
    try:
        return b64decode(body, validate=True)
    except binascii.Error:
        return b""
