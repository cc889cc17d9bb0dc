"""FastAPI: a router, or a dependency for those who want to write the route themselves.

    app.include_router(router(receiver, "/webhooks"))

    @app.post("/webhooks")
    async def receive(event: Annotated[Event, Depends(verified(receiver))]): ...

The dependency verifies, and no more: no handler, no store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, HTTPException, Request

from angarium.receiver.adapter import starlette
from angarium.receiver.errors import VerificationError
from angarium.receiver.event import Event
from angarium.receiver.receiver import Receiver


def router(receiver: Receiver, path: str) -> APIRouter:
    return APIRouter(routes=[starlette.route(receiver, path)])


def verified(receiver: Receiver) -> Callable[[Request], Awaitable[Event[Any]]]:
    async def verify(request: Request) -> Event[Any]:
        pieces, length = [], 0
        async for piece in request.stream():
            pieces.append(piece)
            length += len(piece)
            if length > receiver.max_body:
                break
        try:
            return receiver.verify(b"".join(pieces), request.headers.raw)
        except VerificationError as error:
            raise HTTPException(error.status, str(error) if error.status != 500 else None) from error

    return verify
