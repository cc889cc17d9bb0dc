"""`/health`: whether this server can do its work."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from angarium.api.auth import ServicesOf
from angarium.api.query import QueryRoute

router = APIRouter(route_class=QueryRoute, tags=["Health"])


@router.head("/health", include_in_schema=False)
@router.get("/health", operation_id="v1.health.get")
async def get_health(services: ServicesOf) -> Response:
    """200 when the database answers and takes writes, else 503 with the reason."""
    trouble = await services.health.trouble()
    status = {"status": "ok"} if trouble is None else {"status": "error", "reason": trouble.value}
    # clients of Svix look for a queue and a cache; here the database is all three
    body = dict.fromkeys(("database", "queue", "cache"), status)
    return JSONResponse(body, 200 if trouble is None else 503)


@router.head("/health/ping", include_in_schema=False)
@router.get("/health/ping", operation_id="v1.health.ping", status_code=204)
async def ping() -> Response:
    """204 as long as the process answers."""
    return Response(status_code=204)
