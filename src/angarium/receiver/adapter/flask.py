"""Flask: `app.register_blueprint(blueprint(receiver, "/webhooks"))`."""

from __future__ import annotations

from flask import Blueprint, Response, request

from angarium.receiver.adapter import handle_environ
from angarium.receiver.receiver import Receiver


def blueprint(receiver: Receiver, path: str, *, name: str | None = None) -> Blueprint:
    """If an app has several, give them different names, or their receivers different sources."""
    made = Blueprint(name or f"webhooks_{receiver.source.replace('.', '_')}", __name__)

    @made.post(path)
    def receive() -> Response:
        # not through Flask's parsers and limits, which would respond in their own way
        answer = handle_environ(receiver, request.environ)
        return Response(answer.body, answer.status, dict(answer.headers))

    return made
