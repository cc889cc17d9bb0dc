"""`/health`: whether this server can do its work."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from angarium.api.auth import ServicesOf
from angarium.api.query import QueryRoute
from angarium.service.health import database_answers

router = APIRouter(route_class=QueryRoute, tags=["Health"])


@router.head("/health", include_in_schema=False)
@router.get("/health", operation_id="v1.health.get")
async def get_health(services: ServicesOf) -> Response:
    """200 when the database answers, else 503."""
    healthy = await database_answers(services.database)
    status = "ok" if healthy else "error"
    # clients of Svix look for a queue and a cache; here the database is all three
    body = {name: {"status": status} for name in ("database", "queue", "cache")}
    return JSONResponse(body, 200 if healthy else 503)


@router.head("/health/ping", include_in_schema=False)
@router.get("/health/ping", operation_id="v1.health.ping", status_code=204)
async def ping() -> Response:
    """204 as long as the process answers."""
    return Response(status_code=204)
