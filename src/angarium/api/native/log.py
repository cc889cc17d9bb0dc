"""`/app/{app_id}/log`: lists the deliveries of an application by filter, and resends all that match.

Svix's API has no equivalent: it lists messages and attempts, and resends one by one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.responses import Response

from angarium.api.auth import AppOf, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.field import Flag, Moment, wire_time
from angarium.api.listing import Limit, json_response
from angarium.api.native import message_model as model
from angarium.api.native.our_fault import our_fault_out
from angarium.api.native.replay import task_out
from angarium.api.query import QueryMoment, QueryNumber
from angarium.api.route import WireRoute
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import Invalid
from angarium.core.log_filter import LogFilter, LogKey, LogStatus
from angarium.service.log import LogLine
from angarium.service.overview import DeliveryKey, WaitEstimates

router = APIRouter(route_class=WireRoute, tags=["Log"])
_FIELDS: Final = {"event_type": "eventType", "http_class": "httpClass", "error_kind": "error"}
_MAY_SEND = [requires(Capability.CREATE_ATTEMPTS)]


class FilterIn(Wire):
    """A filter of deliveries. Missing fields match everything."""

    status: Annotated[list[LogStatus], Field(min_length=1)] | None = None
    event_type: str | None = None
    """A name, or a wildcard such as `order.*`."""
    endpoint: str | None = None
    """Id of the endpoint."""
    http_class: Annotated[int, Field(ge=0, le=5, strict=True)] | None = None
    """The first digit of the last response status; 0: no response."""
    error: str | None = None
    """Kind of the last failure, such as `timeout`, or a group: `tls`, `http`, `connect`."""
    message: str | None = None
    """Id of a message, or your own event id."""
    tag: str | None = None
    channel: str | None = None
    since: Moment | None = None
    until: Moment | None = None

    def wanted(self) -> LogFilter:
        """Raises Invalid."""
        try:
            return _filter(
                self.status or [], self.endpoint, **self.model_dump(exclude={"status", "endpoint"})
            )
        except Invalid as error:
            raise error.placed("body", "filter", names=_FIELDS) from None


class ResendIn(Wire):
    filter: FilterIn = Field(default_factory=FilterIn)
    rate: Annotated[int, Field(ge=1, le=1000, strict=True)] = 20
    """Deliveries per second."""
    dry_run: Flag = False
    """Only count."""


class LineOut(Wire):
    message_id: str
    event_id: str | None
    event_type: str
    endpoint_id: str
    url: str
    status: LogStatus
    attempts: int
    response_status_code: int | None
    """Of the last attempt; 0: no response; null: no attempt yet."""
    error_code: str | None
    next_attempt: datetime | None
    """When the next attempt is due. If that time has passed, when it is expected to start; null: unknown."""
    waiting: bool
    """It has been due for more than 5 seconds: it is in flight, or waits behind others of its endpoint or for
    the rate limit."""
    ahead: int | None
    """How many deliveries of its endpoint are ahead of it, up to 2,000; null: it is not due."""
    our_fault: model.OurFaultOut | None
    """It is due and waits for a fault on our side to end. No action is needed."""
    waits_for_endpoint: bool
    """It is sent as soon as the endpoint is enabled."""
    timestamp: datetime
    """When the message was accepted."""


class LogOut(Wire):
    data: list[LineOut]
    iterator: str | None
    """Cursor for older deliveries; null at the end."""
    searched_to: datetime | None
    """The search stopped at this time, at its limit; `iterator` continues from there."""
    done: bool


class CountOut(Wire):
    messages: int
    exact: bool
    """False: there are more."""


def _asked(
    status: Annotated[list[LogStatus] | None, Query()] = None,
    event_type: str | None = None,
    endpoint: str | None = None,
    http_class: Annotated[QueryNumber | None, Query(ge=0, le=5)] = None,
    error: str | None = None,
    message: str | None = None,
    tag: str | None = None,
    channel: str | None = None,
    since: QueryMoment | None = None,
    until: QueryMoment | None = None,
) -> LogFilter:
    try:
        return _filter(
            status or [],
            endpoint,
            event_type=event_type,
            http_class=http_class,
            error=error,
            message=message,
            tag=tag,
            channel=channel,
            since=since,
            until=until,
        )
    except Invalid as fault:
        raise fault.placed("query", names={"error_kind": "error"}) from None


def _filter(status: list[LogStatus], endpoint: str | None, *, error: str | None, **more: Any) -> LogFilter:
    endpoint_id = None if endpoint is None else ids.parse(ids.ENDPOINT, endpoint)
    if endpoint is not None and endpoint_id is None:
        raise Invalid.field("endpoint", "Not a valid endpoint id.")
    wanted = LogFilter(statuses=frozenset(status), endpoint_id=endpoint_id, error_kind=error, **more)
    wanted.check()
    return wanted


@router.get("/app/{app_id}/log", operation_id="v1.log.list", response_model=LogOut)
async def list_log(
    application: AppOf,
    services: ServicesOf,
    wanted: Annotated[LogFilter, Depends(_asked)],
    limit: Limit = 50,
    iterator: str | None = None,
) -> Response:
    """Matching deliveries, newest message first. One page scans a bounded number of deliveries."""
    try:
        cursor = None if iterator is None else LogKey.parse(iterator)
    except Invalid as error:
        raise error.placed("query", names={"cursor": "iterator"}) from None
    page = await services.log.page(application.id, wanted, cursor, limit=limit)
    waits = await services.overdue.of(application.id, (line.row for line in page.lines))
    return json_response(
        {
            "data": [_line(line, waits) for line in page.lines],
            "iterator": None if page.older is None else page.older.text(),
            "searchedTo": None if page.searched_to is None else wire_time(page.searched_to),
            "done": page.older is None,
        }
    )


@router.post(
    "/app/{app_id}/log/resend",
    operation_id="v1.log.resend",
    response_model=CountOut,
    responses={202: {"model": model.TaskOut, "description": "Continues in the background"}},
    dependencies=_MAY_SEND,
)
async def resend(application: AppOf, services: ServicesOf, body: ResendIn) -> Response:
    """Send all matching deliveries again in the background, at a limited rate, or only count them."""
    wanted = body.filter.wanted()
    count = await services.replay.count_matching(application.id, wanted)
    if body.dry_run:
        return json_response({"messages": count.number, "exact": count.exact})
    task = await services.replay.resend_matching(
        application.org_id, application.id, wanted, rate=body.rate, expected=count
    )
    return json_response(task_out(task), 202)


@router.get(
    "/app/{app_id}/task/{task_id}",
    operation_id="v1.log.get-task",
    response_model=model.TaskOut,
)
async def get_task(
    application: AppOf, services: ServicesOf, task_id: Annotated[str, Path(description="Id of the task.")]
) -> Response:
    """The progress of a background task of this application."""
    return json_response(task_out(await services.background_task.one(application.id, task_id)))


@router.post(
    "/app/{app_id}/task/{task_id}/cancel",
    operation_id="v1.log.cancel-task",
    response_model=model.TaskOut,
    dependencies=_MAY_SEND,
)
async def cancel_task(
    application: AppOf, services: ServicesOf, task_id: Annotated[str, Path(description="Id of the task.")]
) -> Response:
    """Stop a background task. Messages already sent are not affected."""
    return json_response(task_out(await services.background_task.cancel(application.id, task_id)))


def _line(line: LogLine, waits: WaitEstimates) -> dict[str, Any]:
    row = line.row
    key = DeliveryKey(row.endpoint_id, row.message_id)
    following = waits.next_attempt(*key, row.due_at)
    return {
        "messageId": ids.text(ids.MESSAGE, row.message_id),
        "eventId": row.event_id,
        "eventType": row.event_type,
        "endpointId": ids.text(ids.ENDPOINT, row.endpoint_id),
        "url": line.endpoint.url,
        "status": row.status,
        "attempts": row.attempts,
        "responseStatusCode": row.status_code,
        "errorCode": row.error_code,
        "nextAttempt": None if following is None else wire_time(following),
        "waiting": waits.waiting(*key),
        "ahead": waits[key].ahead if key in waits else None,
        "ourFault": our_fault_out(waits.hold(*key)),
        "waitsForEndpoint": row.waiting,
        "timestamp": wire_time(line.created_at),
    }
