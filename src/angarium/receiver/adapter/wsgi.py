"""Any WSGI server: `application = wsgi(receiver)`. Answers at every path; mount it where it belongs."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from angarium.receiver.answer import WRONG_METHOD, Answer
from angarium.receiver.receiver import Receiver

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def wsgi(receiver: Receiver) -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            made = receiver.handle(body(environ, receiver.max_body), headers(environ))
        else:
            made = WRONG_METHOD
        start_response(status(made), list(made.headers.items()))
        return [made.body]

    return application


def body(environ: WSGIEnvironment, most: int) -> bytes:
    """The raw body; one byte too many is read of a body that is too long, which the Receiver then refuses."""
    stream: Any = environ["wsgi.input"]
    stated = str(environ.get("CONTENT_LENGTH") or "")
    if not stated:
        # servers that take chunked bodies say that their input ends by itself
        return bytes(stream.read(most + 1)) if environ.get("wsgi.input_terminated") else b""
    length = int(stated[:18]) if stated.isdecimal() else 0
    return bytes(stream.read(min(length, most + 1)))


def headers(environ: WSGIEnvironment) -> dict[str, str]:
    return {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


def status(made: Answer) -> str:
    return f"{made.status} {HTTPStatus(made.status).phrase}"
