"""Flask: `app.register_blueprint(blueprint(receiver, "/webhooks"))`."""

from __future__ import annotations

from flask import Blueprint, Response, request

from angarium.receiver.adapter import wsgi
from angarium.receiver.receiver import Receiver


def blueprint(receiver: Receiver, path: str, *, name: str | None = None) -> Blueprint:
    """Several in one app need different names, or receivers with different sources."""
    made = Blueprint(name or f"webhooks_{receiver.source.replace('.', '_')}", __name__)

    @made.post(path)
    def receive() -> Response:
        # past Flask's own limits and parsers: those would answer in their own way
        answer = receiver.handle(wsgi.body(request.environ, receiver.max_body), wsgi.headers(request.environ))
        return Response(answer.body, answer.status, dict(answer.headers))

    return made
