"""Attempts, the messages of an endpoint, and the endpoints of a message. Sending again is in `replay`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from angarium.api.auth import AppOf, EndpointRef, OrgAppOf, ServicesOf
from angarium.api.field import wire_time
from angarium.api.listing import (
    Paging,
    described,
    json_response,
    page,
    paged,
    read_code_class,
    read_filter,
    read_flag,
    read_status,
    read_window,
)
from angarium.api.native import message_model as model
from angarium.api.native.message import HIDDEN, MessageRef, head_of, message_id, message_out
from angarium.api.native.our_fault import our_fault_out
from angarium.api.route import WireRoute
from angarium.core import ids
from angarium.core.nouns import Attempt, AttemptStatus
from angarium.service.attempt import ATTEMPT_STATUSES, EXPANDED, Status, looking_like, status_of
from angarium.service.log import Window
from angarium.service.overview import WaitEstimates
from angarium.service.services import Services
from angarium.store.attempt import AttemptFilter, Recorded
from angarium.store.delivery import DeliveryMessage, Destination
from angarium.store.message import Filter

router = APIRouter(route_class=WireRoute, tags=["Message Attempt"])

AttemptPaging = Annotated[Paging[UUID], paged(ids.ATTEMPT)]
AttemptRef = Annotated[str, Path(alias="attempt_id", description="Id of the attempt.")]

_FILTERS = (
    "status",
    "status_code_class",
    "channel",
    "tag",
    "event_types",
    "before",
    "after",
)
_TEXT = {AttemptStatus.SUCCESS: "success", AttemptStatus.FAIL: "fail"}


def attempt_id(recorded: Recorded) -> str:
    return ids.text(ids.ATTEMPT, recorded.attempt.id)


def attempt_out(recorded: Recorded, *, with_content: bool = True, with_msg: bool = False) -> dict[str, Any]:
    """An attempt as JSON; `response` has the response body, or the reason why there is none."""
    attempt = recorded.attempt
    out: dict[str, Any] = {
        "id": attempt_id(recorded),
        "msgId": ids.text(ids.MESSAGE, attempt.message_id),
        "endpointId": ids.text(ids.ENDPOINT, attempt.endpoint_id),
        "url": attempt.url,
        "response": _response(attempt) if with_content else "{}",
        "responseStatusCode": attempt.status_code,
        "responseDurationMs": attempt.duration_ms,
        "status": int(attempt.status),
        "statusText": _TEXT[attempt.status],
        "triggerType": int(attempt.manual),
        "timestamp": wire_time(attempt.created_at),
    }
    if attempt.error_code is not None:
        out["errorCode"] = attempt.error_code
        out["error"] = attempt.error
    if with_msg and recorded.message is not None:
        out["msg"] = {**head_of(recorded.message), "payload": HIDDEN}
    return out


def _response(attempt: Attempt) -> str:
    data = attempt.response
    if not data:
        return (attempt.error or "") if attempt.status_code == 0 and data is None else ""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and error.start > 0:
            return data[: error.start].decode()  # the capture limit cut a character in two
        return b64encode(data).decode()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a list of attempts is asked for."""

    window: Window
    paging: Paging[UUID]
    like: AttemptFilter
    filter: Filter
    content: bool
    message: bool
    impossible: bool  # an attempt is over when it is recorded: none is pending, being sent or canceled

    @classmethod
    def read(cls, request: Request, paging: Paging[UUID]) -> _Wanted:
        """Raises Invalid."""
        window, paging = read_window(request, paging)
        status = read_status(request)
        read_flag(request, "expanded_statuses", default=False)  # each succeeded or failed
        return cls(
            window,
            paging,
            AttemptFilter(None if status is None else ATTEMPT_STATUSES.get(status), read_code_class(request)),
            read_filter(request),
            content=read_flag(request, "with_content", default=True),
            message=read_flag(request, "with_msg", default=False),
            impossible=status is not None and status not in ATTEMPT_STATUSES,
        )

    def answer(self, rows: Sequence[Recorded]) -> Response:
        def wire(row: Recorded) -> dict[str, Any]:
            return attempt_out(row, with_content=self.content, with_msg=self.message)

        return json_response(page(() if self.impossible else rows, self.paging, attempt_id, wire))


async def _by_message(
    services: Services, app_id: UUID, msg_id: str, endpoint_ref: str | None, wanted: _Wanted
) -> Response:
    rows = await services.attempt.by_message(
        app_id, msg_id, endpoint_ref, wanted.window, wanted.like, wanted.filter, content=wanted.content
    )
    return wanted.answer(rows)


@router.get(
    "/app/{app_id}/attempt/endpoint/{endpoint_id}",
    operation_id="v1.message-attempt.list-by-endpoint",
    response_model=model.ListPage[model.AttemptOut],
    openapi_extra=described(*_FILTERS, "with_content", "with_msg", "expanded_statuses"),
)
async def list_by_endpoint(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    endpoint_id: EndpointRef,
    paging: AttemptPaging,
) -> Response:
    """The attempts to one endpoint, newest first; by default those of the last 90 days."""
    wanted = _Wanted.read(request, paging)
    rows = await services.attempt.by_endpoint(
        application.id, endpoint_id, wanted.window, wanted.like, wanted.filter, content=wanted.content
    )
    return wanted.answer(rows)


@router.get(
    "/app/{app_id}/attempt/msg/{msg_id}",
    operation_id="v1.message-attempt.list-by-msg",
    response_model=model.ListPage[model.AttemptOut],
    openapi_extra=described(*_FILTERS, "endpoint_id", "with_content", "with_msg", "expanded_statuses"),
)
async def list_by_message(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    msg_id: MessageRef,
    paging: AttemptPaging,
) -> Response:
    """The attempts of one message, newest first; by default those of the last 90 days."""
    endpoint_ref = request.query_params.get("endpoint_id") or None
    return await _by_message(services, application.id, msg_id, endpoint_ref, _Wanted.read(request, paging))


@router.get("/app/{app_id}/msg/{msg_id}/attempt", include_in_schema=False)
async def list_by_message_before(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    msg_id: MessageRef,
    paging: AttemptPaging,
) -> Response:
    """The older path of `list_by_message`."""
    return await list_by_message(request, services, application, msg_id, paging)


@router.get("/app/{app_id}/msg/{msg_id}/endpoint/{endpoint_id}/attempt", include_in_schema=False)
async def list_by_message_and_endpoint(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    msg_id: MessageRef,
    endpoint_id: EndpointRef,
    paging: AttemptPaging,
) -> Response:
    """The old way to filter by endpoint."""
    return await _by_message(services, application.id, msg_id, endpoint_id, _Wanted.read(request, paging))


@router.get(
    "/app/{app_id}/endpoint/{endpoint_id}/msg",
    operation_id="v1.message-attempt.list-attempted-messages",
    response_model=model.ListPage[model.EndpointMessageOut],
    openapi_extra=described(
        "status", "channel", "tag", "event_types", "before", "after", "with_content",
        "expanded_statuses",
    ),
)  # fmt: skip
async def list_attempted_messages(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    endpoint_id: EndpointRef,
    paging: Annotated[Paging[UUID], paged(ids.MESSAGE)],
) -> Response:
    """The messages for an endpoint and the status of each delivery, newest first."""
    window, wanted = read_window(request, paging)
    status = read_status(request)
    # who asks for an expanded status knows it
    expanded = read_flag(request, "expanded_statuses", default=False) or status in EXPANDED
    content = read_flag(request, "with_content", default=True)
    rows = await services.attempt.messages(
        application.id,
        endpoint_id,
        window,
        read_filter(request),
        statuses=looking_like(status, expanded=expanded),
        content=content,
    )

    waits = await services.overdue.of(application.id, (owed.delivery for owed in rows))

    def wire(owed: DeliveryMessage) -> dict[str, Any]:
        out = message_out(owed.message, with_content=content)
        out |= _standing(status_of(owed.delivery, expanded=expanded))
        key = owed.delivery.endpoint_id, owed.delivery.message_id
        following = waits.next_attempt(*key, owed.delivery.due_at)
        if following is not None:
            out["nextAttempt"] = wire_time(following)
        if waits.waiting(*key):
            out["waiting"] = True
        if (fault := our_fault_out(waits.hold(*key))) is not None:
            out["ourFault"] = fault
        return out

    return json_response(page(rows, wanted, lambda owed: message_id(owed.message), wire))


def _standing(status: Status) -> dict[str, Any]:
    return {"status": int(status), "statusText": status.name.lower()}


@router.get(
    "/app/{app_id}/msg/{msg_id}/endpoint",
    operation_id="v1.message-attempt.list-attempted-destinations",
    response_model=model.ListPage[model.MessageEndpointOut],
    openapi_extra=described("expanded_statuses"),
)
async def list_attempted_destinations(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    msg_id: MessageRef,
    paging: Annotated[Paging[UUID], paged(ids.ENDPOINT)],
) -> Response:
    """The endpoints of a message, including deleted ones, oldest endpoint first."""
    expanded = read_flag(request, "expanded_statuses", default=False)
    rows = await services.attempt.destinations(
        application.id, msg_id, paging.cursor, backwards=paging.backwards, rows=paging.rows
    )
    waits = await services.overdue.of(application.id, (row.delivery for row in rows))
    return json_response(
        page(
            rows,
            paging,
            lambda row: ids.text(ids.ENDPOINT, row.id),
            lambda row: _destination_out(row, waits, expanded=expanded),
        )
    )


def _destination_out(destination: Destination, waits: WaitEstimates, *, expanded: bool) -> dict[str, Any]:
    delivery = destination.delivery
    key = delivery.endpoint_id, delivery.message_id
    following = waits.next_attempt(*key, delivery.due_at)
    return {
        "id": ids.text(ids.ENDPOINT, destination.id),
        "uid": destination.uid,
        "url": destination.url,
        "description": destination.description,
        "version": destination.version,
        "rateLimit": destination.rate_limit,
        "throttleRate": destination.rate_limit,
        "eventTypes": destination.event_types,
        "filterTypes": destination.event_types,
        "channels": destination.channels,
        "disabled": destination.disabled,
        "deleted": destination.deleted,
        "createdAt": wire_time(destination.created_at),
        "updatedAt": wire_time(destination.updated_at),
        **_standing(status_of(delivery, expanded=expanded)),
        "nextAttempt": None if following is None else wire_time(following),
        "waiting": waits.waiting(*key),
        "ourFault": our_fault_out(waits.hold(*key)),
    }


@router.get(
    "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}",
    operation_id="v1.message-attempt.get",
    response_model=model.AttemptOut,
    openapi_extra=described("expanded_statuses"),
)
async def get_attempt(
    request: Request, services: ServicesOf, application: AppOf, msg_id: MessageRef, attempt_id: AttemptRef
) -> Response:
    """One attempt."""
    read_flag(request, "expanded_statuses", default=False)  # no effect: it succeeded or failed
    return json_response(attempt_out(await services.attempt.get(application.id, msg_id, attempt_id)))


@router.delete(
    "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content",
    operation_id="v1.message-attempt.expunge-content",
    status_code=204,
)
async def expunge_attempt(
    services: ServicesOf, application: OrgAppOf, msg_id: MessageRef, attempt_id: AttemptRef
) -> Response:
    """Delete the response body of an attempt permanently."""
    await services.attempt.expunge(application.id, msg_id, attempt_id)
    return Response(status_code=204)
