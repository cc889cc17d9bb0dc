"""`/health`: whether this server can do its work."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from angarium.api.auth import ServicesOf
from angarium.api.field import wire_time
from angarium.api.query import QueryRoute
from angarium.clock import datetime_at
from angarium.store.our_fault import FaultRow
from angarium.store.replica import ReplicaState

router = APIRouter(route_class=QueryRoute, tags=["Health"])

_STORES: Final = ("database", "queue", "cache")
"""What clients of Svix look for; here the database is all three."""


@router.head("/health", include_in_schema=False)
@router.get("/health", operation_id="v1.health.get")
async def get_health(services: ServicesOf) -> Response:
    """200 if the database responds and accepts writes, otherwise 503 with the reason.

    `sending` lists faults on our side, of all processes, that prevent sending. They do not change the status:
    messages are accepted, so a load balancer need not use another server. Neither does `replica`, if there is
    one: the primary is used in its place.
    """
    trouble = await services.health.trouble()
    if trouble is not None:
        status: dict[str, Any] = {"status": "error", "reason": trouble.value}
        return JSONResponse(dict.fromkeys((*_STORES, "sending"), status), 503)
    faults = await services.health.faults()
    body = {name: {"status": "ok"} for name in _STORES} | {"sending": _sending(faults)}
    if (apart := services.health.clock_apart()) is not None:
        body["clock"] = {"status": "error", "reason": "apart", "seconds": round(apart, 1)}
    if services.replica is not None:
        body["replica"] = _replica(services.replica.state)
    return JSONResponse(body)


def _replica(state: ReplicaState) -> dict[str, Any]:
    shown: dict[str, Any] = {"status": "ok"}
    if state.trouble is not None:
        since = wire_time(datetime_at(state.since))
        shown = {"status": "error", "reason": state.trouble.value, "since": since}
    if state.lag_seconds is not None:
        shown |= {"lagSeconds": round(state.lag_seconds, 3), "lagBytes": state.lag_bytes}
    return shown


def _sending(faults: list[FaultRow]) -> dict[str, Any]:
    if not faults:
        return {"status": "ok"}
    shown = [
        {
            "reason": fault.code,
            "since": wire_time(datetime_at(fault.since)),
            "endpoints": fault.lanes,
            "process": fault.process,
        }
        for fault in faults
    ]
    return {"status": "error", "faults": shown}


@router.head("/health/ping", include_in_schema=False)
@router.get("/health/ping", operation_id="v1.health.ping", status_code=204)
async def ping() -> Response:
    """204 as long as the process answers."""
    return Response(status_code=204)
