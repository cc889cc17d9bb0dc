"""`/health`: whether this server can do its work."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from msgspec import UNSET, UnsetType

from angarium.api.answer import Out, Reply
from angarium.api.auth import ServicesOf
from angarium.api.field import NOW, RARE, Time, says, wire_time
from angarium.api.route import API_PATH, PublicRoute
from angarium.clock import datetime_at
from angarium.store.our_fault import FaultRow
from angarium.store.replica import ReplicaState

router = APIRouter(prefix=API_PATH, route_class=PublicRoute, tags=["Health"])

Status = Annotated[Literal["ok", "error"], says("Whether it works.", "ok")]


class StateOut(Out):
    """The state of a part of the server."""

    status: Status
    reason: Annotated[str | UnsetType, says("Why it does not work.", "unreachable"), RARE] = UNSET


class ClockOut(StateOut, kw_only=True):
    """The host's clock and the database's differ."""

    seconds: Annotated[float, says("By how much they differ.", 42.5)]


class ReplicaOut(StateOut):
    """The state of the read replica. While it has an error, the primary is used."""

    since: Annotated[Time | UnsetType, says("When the error began.", NOW), RARE] = UNSET
    lag_seconds: Annotated[float | UnsetType, says("How old its data is.", 0.012)] = UNSET
    lag_bytes: Annotated[int | UnsetType | None, says("How much it has to replay.", 4096)] = UNSET


class FaultOut(Out):
    """A fault on our side that prevents sending."""

    reason: Annotated[
        str,
        says(
            "`resolver_down`, `network_down`, `out_of_resources`, `pool_full`, `restoring` or `internal`.",
            "network_down",
        ),
    ]
    since: Annotated[Time, says("When it began.", NOW)]
    endpoints: Annotated[int, says("How many endpoints wait.", 12)]
    process: Annotated[str, says("The process that has the fault.", "api-1:4711")]


class SendingOut(StateOut):
    """Whether messages are sent."""

    faults: Annotated[
        list[FaultOut] | UnsetType, says("The faults of all processes that prevent sending.", []), RARE
    ] = UNSET


class HealthOut(Out):
    """What this server says of itself. Svix's clients look for `database`, `queue` and `cache`."""

    database: Annotated[StateOut, says("PostgreSQL responds and accepts writes.")]
    queue: Annotated[StateOut, says("Same as `database`, which is the queue, too.")]
    cache: Annotated[StateOut, says("Same as `database`; there is no other cache.")]
    sending: Annotated[SendingOut, says("Whether a fault on our side prevents sending.")]
    clock: Annotated[ClockOut | UnsetType, says("Present if the clocks differ by minutes."), RARE] = UNSET
    replica: Annotated[ReplicaOut | UnsetType, says("Present if there is a read replica.")] = UNSET


@router.head("/health", include_in_schema=False)
@router.get(
    "/health",
    operation_id="v1.health.get",
    responses={503: {"description": "The database does not respond, or does not accept writes."}},
)
async def get_health(services: ServicesOf) -> Reply[HealthOut]:
    """Get the health of the server.

    200 if the database responds and accepts writes, otherwise 503 with the reason. No token is needed.

    `sending` lists faults on our side, of all processes, that prevent sending. They do not change the status:
    messages are accepted, so a load balancer need not use another server. Neither does `replica`, if there is
    one: the primary is used in its place.
    """
    trouble = await services.health.trouble()
    if trouble is not None:
        state = StateOut(status="error", reason=trouble.value)
        sending = SendingOut(status="error", reason=trouble.value)
        return Reply(HealthOut(database=state, queue=state, cache=state, sending=sending), 503)
    works = StateOut(status="ok")
    health = HealthOut(
        database=works, queue=works, cache=works, sending=_sending(await services.health.faults())
    )
    if (apart := services.health.clock_apart()) is not None:
        health.clock = ClockOut(status="error", reason="apart", seconds=round(apart, 1))
    if services.replica is not None:
        health.replica = _replica(services.replica.state)
    return Reply(health)


def _replica(state: ReplicaState) -> ReplicaOut:
    shown = ReplicaOut(status="ok")
    if state.trouble is not None:
        since = wire_time(datetime_at(state.since))
        shown = ReplicaOut(status="error", reason=state.trouble.value, since=since)
    if state.lag_seconds is not None:
        shown.lag_seconds, shown.lag_bytes = round(state.lag_seconds, 3), state.lag_bytes
    return shown


def _sending(faults: list[FaultRow]) -> SendingOut:
    if not faults:
        return SendingOut(status="ok")
    shown = [
        FaultOut(
            reason=fault.code,
            since=wire_time(datetime_at(fault.since)),
            endpoints=fault.lanes,
            process=fault.process,
        )
        for fault in faults
    ]
    return SendingOut(status="error", faults=shown)


@router.head("/health/ping", include_in_schema=False)
@router.get("/health/ping", operation_id="v1.health.ping", status_code=204)
async def ping() -> None:
    """Ping the server.

    204 as long as the process responds, whatever the state of the database. No token is needed.
    """
