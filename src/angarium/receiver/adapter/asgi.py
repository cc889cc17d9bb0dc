"""Any ASGI server: `application = asgi(receiver)`. Answers at every path; mount it where it belongs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from angarium.receiver.answer import WRONG_METHOD, Answer
from angarium.receiver.receiver import Receiver

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def asgi(receiver: Receiver) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] != "http":
            raise NotImplementedError(f"webhooks come by HTTP, not {scope['type']}")
        elif scope["method"] != "POST":
            await _send(WRONG_METHOD, send)
        else:
            raw = await _body(receive, receiver.max_body)
            if raw is not None:
                await _send(await receiver.ahandle(raw, scope["headers"]), send)

    return application


async def _body(receive: Receive, most: int) -> bytes | None:
    """The raw body, no more than a piece too much of it; None if the client left."""
    pieces, length = [], 0
    while length <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")
        pieces.append(piece)
        length += len(piece)
        if not message.get("more_body", False):
            break
    return b"".join(pieces)


async def _send(made: Answer, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in made.headers.items()]
    headers.append((b"content-length", b"%d" % len(made.body)))
    await send({"type": "http.response.start", "status": made.status, "headers": headers})
    await send({"type": "http.response.body", "body": made.body})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
