"""Django's views: `path("webhooks", view(receiver))`, or `async_view` under ASGI and for async handlers.

They accept POST only. They are exempt from CSRF tokens, which senders do not have, and from ATOMIC_REQUESTS,
because claims must be visible to other processes immediately. The raw body is read before it is parsed. Its
limit is the receiver's `max_body`, not DATA_UPLOAD_MAX_MEMORY_SIZE.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from angarium.receiver.outcome import Answer
from angarium.receiver.receiver import Receiver


def view(receiver: Receiver) -> Callable[[HttpRequest], HttpResponse]:
    def receive(request: HttpRequest) -> HttpResponse:
        return _response(receiver.handle(_body(request, receiver.max_body), request.headers))

    made: Callable[[HttpRequest], HttpResponse] = _exempt(receive)
    return made


def async_view(receiver: Receiver) -> Callable[[HttpRequest], Coroutine[Any, Any, HttpResponse]]:
    async def receive(request: HttpRequest) -> HttpResponse:
        return _response(await receiver.ahandle(_body(request, receiver.max_body), request.headers))

    made: Callable[[HttpRequest], Coroutine[Any, Any, HttpResponse]] = _exempt(receive)
    return made


def _exempt(receive: Any) -> Any:
    return csrf_exempt(transaction.non_atomic_requests(require_POST(receive)))


def _body(request: HttpRequest, most: int) -> bytes:
    if hasattr(request, "_body"):  # read by a middleware; these are still the raw bytes
        return bytes(request.body)
    return bytes(request.read(most + 1))


def _response(answer: Answer) -> HttpResponse:
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))
