"""FastAPI: a router, or a dependency for a route of your own.

    app.include_router(router(receiver, "/webhooks"))

    @app.post("/webhooks")
    async def receive(event: Annotated[Event, Depends(verified(receiver))]): ...

The dependency only verifies: it runs no handler and uses no store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, HTTPException, Request

from angarium.receiver.adapter import body_of
from angarium.receiver.adapter.starlette import route
from angarium.receiver.errors import VerificationError
from angarium.receiver.event import Event
from angarium.receiver.receiver import Receiver


def router(receiver: Receiver, path: str) -> APIRouter:
    return APIRouter(routes=[route(receiver, path)])


def verified(receiver: Receiver) -> Callable[[Request], Awaitable[Event[Any]]]:
    async def verify(request: Request) -> Event[Any]:
        raw = await body_of(request.stream(), receiver.max_body)
        try:
            return receiver.verify(raw, request.headers.raw)
        except VerificationError as error:
            raise HTTPException(error.status, str(error) if error.status != 500 else None) from error

    return verify
