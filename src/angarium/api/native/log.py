"""`/app/{app_id}/log`: lists the deliveries of an application by filter, and resends all that match.

Svix's API has no equivalent: it lists messages and attempts, and resends one by one.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from angarium.api.answer import Out, Reply
from angarium.api.auth import AppOf, ServicesOf
from angarium.api.body import Wire
from angarium.api.field import (
    ENDPOINT,
    MESSAGE,
    NOW,
    TASK,
    EndpointId,
    EventTypeName,
    Flag,
    MessageId,
    Moment,
    Time,
    Url,
    says,
    schema_ref,
    wire_time,
)
from angarium.api.listing import Limit
from angarium.api.native.delivery import NEXT_ATTEMPT, OUR_FAULT, OurFaultOut, Waiting, our_fault_out
from angarium.api.native.replay import MAY_SEND, TaskOut, task_out
from angarium.api.query import QueryMoment, QueryNumber
from angarium.api.route import API_PATH, WireRoute
from angarium.core import ids
from angarium.core.errors import Invalid
from angarium.core.log_filter import LogFilter, LogKey, LogStatus
from angarium.service.log import LogLine
from angarium.service.overview import DeliveryKey, WaitEstimates

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Log"])
_FIELDS: Final = {"event_type": "eventType", "http_class": "httpClass", "error_kind": "error"}
TaskRef = Annotated[str, Path(description="Id of the background task.", examples=[TASK])]

# what the filter means, in a query and in a body
_WORDS: Final[dict[str, tuple[str, Any]]] = {
    "status": ("Only deliveries with one of these statuses.", ["failed", "canceled"]),
    "event_type": ("Only this event type, or a wildcard such as `order.*`.", "order.*"),
    "endpoint": ("Only deliveries to the endpoint with this id.", ENDPOINT),
    "http_class": ("The first digit of the last response status; 0: no response.", 5),
    "error": ("Kind of the last failure, such as `timeout`, or a group: `tls`, `http`, `connect`.", "http"),
    "message": ("Id of a message, or your own event id.", MESSAGE),
    "tag": ("Only messages with this tag.", "eu-west"),
    "channel": ("Only messages sent to this channel.", "warehouse"),
    "since": ("Only messages accepted at or after this time.", NOW),
    "until": ("Only messages accepted at or before this time.", NOW),
}


def _asked_by(name: str, **rules: Any) -> Any:
    words, example = _WORDS[name]
    return Query(description=words, examples=[example], **rules)


class FilterIn(Wire):
    """A filter of deliveries. Missing fields match everything."""

    status: Annotated[Annotated[list[LogStatus], Field(min_length=1)] | None, says(*_WORDS["status"])] = None
    event_type: Annotated[str | None, says(*_WORDS["event_type"])] = None
    endpoint: Annotated[str | None, says(*_WORDS["endpoint"])] = None
    http_class: Annotated[
        Annotated[int, Field(ge=0, le=5, strict=True)] | None, says(*_WORDS["http_class"])
    ] = None
    error: Annotated[str | None, says(*_WORDS["error"])] = None
    message: Annotated[str | None, says(*_WORDS["message"])] = None
    tag: Annotated[str | None, says(*_WORDS["tag"])] = None
    channel: Annotated[str | None, says(*_WORDS["channel"])] = None
    since: Annotated[Moment | None, says(*_WORDS["since"])] = None
    until: Annotated[Moment | None, says(*_WORDS["until"])] = None

    def wanted(self) -> LogFilter:
        """Raises Invalid."""
        try:
            return _filter(
                self.status or [], self.endpoint, **self.model_dump(exclude={"status", "endpoint"})
            )
        except Invalid as error:
            raise error.placed("body", "filter", names=_FIELDS) from None


class ResendIn(Wire):
    """Which deliveries to send again, and how fast."""

    filter: Annotated[FilterIn, says("Which deliveries. Missing: all.")] = Field(default_factory=FilterIn)
    rate: Annotated[int, Field(ge=1, le=1000, strict=True), says("Deliveries per second.", 20)] = 20
    dry_run: Annotated[Flag, says("Only count, and send nothing.", True)] = False


class LineOut(Out):
    """A delivery in the log."""

    message_id: MessageId
    event_id: Annotated[str | None, says("Your own id of the message.", "evt_1")]
    event_type: EventTypeName
    endpoint_id: EndpointId
    url: Url
    status: Annotated[LogStatus, says("The status of the delivery.", "failed")]
    attempts: Annotated[int, says("How many attempts were made.", 8)]
    response_status_code: Annotated[
        int | None, says("Of the last attempt; 0: no response; null: no attempt yet.", 500)
    ]
    error_code: Annotated[str | None, says("The kind of the last failure.", "http_500")]
    next_attempt: Annotated[Time | None, NEXT_ATTEMPT]
    waiting: Waiting
    ahead: Annotated[
        int | None,
        says("How many deliveries of its endpoint are ahead of it, up to 2,000; null: it is not due.", None),
    ]
    our_fault: Annotated[OurFaultOut | None, OUR_FAULT]
    waits_for_endpoint: Annotated[bool, says("It is sent as soon as the endpoint is enabled.", False)]
    timestamp: Annotated[Time, says("When the message was accepted.", NOW)]


class LogOut(Out):
    """A page of the log."""

    data: Annotated[list[LineOut], says("Deliveries, newest message first.")]
    iterator: Annotated[
        str | None,
        says(
            "Pass it as `iterator` to get older deliveries; null at the end.",
            "2026-11-27T10:55:53.123456Z_0ERndamqNykCQEaky8WrYGgT50q",
        ),
    ]
    searched_to: Annotated[
        Time | None,
        says("The search stopped at this time, at its limit; `iterator` continues from there.", None),
    ]
    done: Annotated[bool, says("Whether there are no older deliveries.", False)]


class CountOut(Out):
    """How many deliveries match."""

    messages: Annotated[int, says("The number of deliveries.", 42)]
    exact: Annotated[bool, says("False: there are more.", True)]


def _asked(
    status: Annotated[list[LogStatus] | None, _asked_by("status")] = None,
    event_type: Annotated[str | None, _asked_by("event_type")] = None,
    endpoint: Annotated[str | None, _asked_by("endpoint")] = None,
    http_class: Annotated[QueryNumber | None, _asked_by("http_class", ge=0, le=5)] = None,
    error: Annotated[str | None, _asked_by("error")] = None,
    message: Annotated[str | None, _asked_by("message")] = None,
    tag: Annotated[str | None, _asked_by("tag")] = None,
    channel: Annotated[str | None, _asked_by("channel")] = None,
    since: Annotated[QueryMoment | None, _asked_by("since")] = None,
    until: Annotated[QueryMoment | None, _asked_by("until")] = None,
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


@router.get("/app/{app_id}/log", operation_id="v1.log.list")
async def list_log(
    application: AppOf,
    services: ServicesOf,
    wanted: Annotated[LogFilter, Depends(_asked)],
    limit: Limit = 50,
    iterator: Annotated[
        str | None,
        Query(
            description="`iterator` of the page before.",
            examples=["2026-11-27T10:55:53.123456Z_0ERndamqNykCQEaky8WrYGgT50q"],
        ),
    ] = None,
) -> LogOut:
    """List deliveries.

    Matching deliveries of all endpoints, newest message first. One page scans a bounded number of deliveries;
    if that does not fill it, `searchedTo` says how far back it searched.
    """
    try:
        cursor = None if iterator is None else LogKey.parse(iterator)
    except Invalid as error:
        raise error.placed("query", names={"cursor": "iterator"}) from None
    page = await services.log.page(application.id, wanted, cursor, limit=limit)
    waits = await services.overdue.of(application.id, (line.row for line in page.lines))
    return LogOut(
        data=[line_out(line, waits) for line in page.lines],
        iterator=None if page.older is None else page.older.text(),
        searched_to=None if page.searched_to is None else wire_time(page.searched_to),
        done=page.older is None,
    )


@router.post(
    "/app/{app_id}/log/resend",
    operation_id="v1.log.resend",
    responses={
        202: {
            "description": "It continues in the background.",
            "content": {"application/json": {"schema": {"$ref": schema_ref("TaskOut")}}},
        }
    },
    dependencies=MAY_SEND,
)
async def resend(
    application: AppOf, services: ServicesOf, body: ResendIn
) -> Reply[CountOut] | Reply[TaskOut]:
    """Resend deliveries.

    Sends all matching deliveries again in the background, at a limited rate. With `dryRun` it only counts
    them.
    """
    wanted = body.filter.wanted()
    count = await services.replay.count_matching(application.id, wanted)
    if body.dry_run:
        return Reply(CountOut(messages=count.number, exact=count.exact))
    task = await services.replay.resend_matching(
        application.org_id, application.id, wanted, rate=body.rate, expected=count
    )
    return Reply(task_out(task), 202)


@router.get("/app/{app_id}/task/{task_id}", operation_id="v1.log.get-task")
async def get_task(application: AppOf, services: ServicesOf, task_id: TaskRef) -> TaskOut:
    """Get a background task of an application.

    Its status and progress.
    """
    return task_out(await services.background_task.one(application.id, task_id))


@router.post("/app/{app_id}/task/{task_id}/cancel", operation_id="v1.log.cancel-task", dependencies=MAY_SEND)
async def cancel_task(application: AppOf, services: ServicesOf, task_id: TaskRef) -> TaskOut:
    """Cancel a background task.

    Messages that were already sent are not affected.
    """
    return task_out(await services.background_task.cancel(application.id, task_id))


def line_out(line: LogLine, waits: WaitEstimates) -> LineOut:
    """A delivery as JSON."""
    row = line.row
    key = DeliveryKey(row.endpoint_id, row.message_id)
    following = waits.next_attempt(*key, row.due_at)
    return LineOut(
        message_id=ids.text(ids.MESSAGE, row.message_id),
        event_id=row.event_id,
        event_type=row.event_type,
        endpoint_id=ids.text(ids.ENDPOINT, row.endpoint_id),
        url=line.endpoint.url,
        status=row.status,
        attempts=row.attempts,
        response_status_code=row.status_code,
        error_code=row.error_code,
        next_attempt=None if following is None else wire_time(following),
        waiting=waits.waiting(*key),
        ahead=waits[key].ahead if key in waits else None,
        our_fault=our_fault_out(waits.hold(*key)),
        waits_for_endpoint=row.waiting,
        timestamp=wire_time(line.created_at),
    )
