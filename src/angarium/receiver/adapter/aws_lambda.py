"""AWS Lambda behind API Gateway (payload versions 1 and 2), a function URL or a load balancer:
`lambda_handler = handler(receiver)`.

Use a store that outlives the function (`RedisStore`, `DbApiStore`): each instance has its own memory.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable
from typing import Any

from angarium.receiver.answer import WRONG_METHOD
from angarium.receiver.receiver import Receiver


def handler(receiver: Receiver) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        if _method(event) == "POST":
            answer = receiver.handle(
                _body(event), event.get("multiValueHeaders") or event.get("headers") or {}
            )
        else:
            answer = WRONG_METHOD
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


def _body(event: dict[str, Any]) -> Any:
    body = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body
    try:
        return b64decode(body, validate=True)
    except binascii.Error:
        return b""
