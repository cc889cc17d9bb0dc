"""Attempts: lists, one attempt, its content, and resending a message."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Request
from msgspec import UNSET, UnsetType

from angarium.api.answer import Out
from angarium.api.auth import AppOf, EndpointRef, OrgAppOf, ServicesOf
from angarium.api.field import (
    ATTEMPT,
    NOW,
    EndpointId,
    MessageId,
    Time,
    says,
    wire_time,
)
from angarium.api.listing import (
    Page,
    Paging,
    described,
    page,
    paged,
    read_code_class,
    read_filter,
    read_flag,
    read_status,
    read_window,
)
from angarium.api.native.message import HIDDEN, MessageOut, MessageRef, message_as
from angarium.api.route import API_PATH, WireRoute
from angarium.core import ids
from angarium.core.nouns import Attempt, AttemptStatus
from angarium.service.attempt import ATTEMPT_STATUSES
from angarium.service.log import Window
from angarium.service.services import Services
from angarium.store.attempt import AttemptFilter, Recorded
from angarium.store.message import Filter

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Message Attempt"])

AttemptPaging = Annotated[Paging[UUID], paged(ids.ATTEMPT)]
AttemptRef = Annotated[str, Path(alias="attempt_id", description="Id of the attempt.", examples=[ATTEMPT])]

_FILTERS: Final = ("status", "status_code_class", "channel", "tag", "event_types", "before", "after")


class AttemptOut(Out):
    """One HTTP request made for a delivery. It never changes afterwards."""

    id: Annotated[str, says("Id of the attempt.", ATTEMPT)]
    msg_id: MessageId
    endpoint_id: EndpointId
    url: Annotated[str, says("The URL that the request was sent to.", "https://example.com/webhooks")]
    response: Annotated[
        str,
        says(
            "The beginning of the response body (base64 if it is not text), or why there was no response.",
            "Internal Server Error",
        ),
    ]
    response_status_code: Annotated[int, says("The response status; 0: there was no HTTP response.", 500)]
    response_duration_ms: Annotated[int, says("How long the request took.", 184)]
    status: Annotated[Literal[0, 2], says("0: success, 2: failure.", 2)]
    status_text: Annotated[Literal["success", "fail"], says("The status as text.", "fail")]
    trigger_type: Annotated[Literal[0, 1], says("0: scheduled, 1: manual.", 0)]
    timestamp: Annotated[Time, says("When the request was sent.", NOW)]
    error_code: Annotated[str | UnsetType, says("The kind of failure.", "http_500")] = UNSET
    error: Annotated[
        str | UnsetType,
        says("What happened, and what to do.", "The receiver responded with 500. We will retry."),
    ] = UNSET
    msg: Annotated[MessageOut | UnsetType, says("The message, without its payload.")] = UNSET


def attempt_id(recorded: Recorded) -> str:
    return ids.text(ids.ATTEMPT, recorded.attempt.id)


def attempt_out(recorded: Recorded, *, with_content: bool = True, with_msg: bool = False) -> AttemptOut:
    """An attempt as JSON; `response` has the response body, or the reason why there is none."""
    attempt, message = recorded.attempt, recorded.message if with_msg else None
    succeeded = attempt.status is AttemptStatus.SUCCESS
    return AttemptOut(
        id=attempt_id(recorded),
        msg_id=ids.text(ids.MESSAGE, attempt.message_id),
        endpoint_id=ids.text(ids.ENDPOINT, attempt.endpoint_id),
        url=attempt.url,
        response=_response(attempt) if with_content else "{}",
        response_status_code=attempt.status_code,
        response_duration_ms=attempt.duration_ms,
        status=0 if succeeded else 2,
        status_text="success" if succeeded else "fail",
        trigger_type=1 if attempt.manual else 0,
        timestamp=wire_time(attempt.created_at),
        error_code=UNSET if attempt.error_code is None else attempt.error_code,
        error=UNSET if attempt.error_code is None or attempt.error is None else attempt.error,
        msg=UNSET if message is None else message_as(MessageOut, message, HIDDEN),
    )


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

    def answer(self, rows: Sequence[Recorded]) -> Page[AttemptOut]:
        def wire(row: Recorded) -> AttemptOut:
            return attempt_out(row, with_content=self.content, with_msg=self.message)

        return page(() if self.impossible else rows, self.paging, attempt_id, wire)


async def _by_message(
    services: Services, app_id: UUID, msg_id: str, endpoint_ref: str | None, wanted: _Wanted
) -> Page[AttemptOut]:
    rows = await services.attempt.by_message(
        app_id, msg_id, endpoint_ref, wanted.window, wanted.like, wanted.filter, content=wanted.content
    )
    return wanted.answer(rows)


@router.get(
    "/app/{app_id}/attempt/endpoint/{endpoint_id}",
    operation_id="v1.message-attempt.list-by-endpoint",
    openapi_extra=described(*_FILTERS, "with_content", "with_msg", "expanded_statuses"),
)
async def list_by_endpoint(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    endpoint_id: EndpointRef,
    paging: AttemptPaging,
) -> Page[AttemptOut]:
    """List the attempts of an endpoint.

    Newest first; by default those of the last 90 days.
    """
    wanted = _Wanted.read(request, paging)
    rows = await services.attempt.by_endpoint(
        application.id, endpoint_id, wanted.window, wanted.like, wanted.filter, content=wanted.content
    )
    return wanted.answer(rows)


@router.get(
    "/app/{app_id}/attempt/msg/{msg_id}",
    operation_id="v1.message-attempt.list-by-msg",
    openapi_extra=described(*_FILTERS, "endpoint_id", "with_content", "with_msg", "expanded_statuses"),
)
async def list_by_message(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    msg_id: MessageRef,
    paging: AttemptPaging,
) -> Page[AttemptOut]:
    """List the attempts of a message.

    Newest first; by default those of the last 90 days.
    """
    endpoint_ref = request.query_params.get("endpoint_id") or None
    return await _by_message(services, application.id, msg_id, endpoint_ref, _Wanted.read(request, paging))


@router.get("/app/{app_id}/msg/{msg_id}/attempt", include_in_schema=False)
async def list_by_message_before(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    msg_id: MessageRef,
    paging: AttemptPaging,
) -> Page[AttemptOut]:
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
) -> Page[AttemptOut]:
    """The old way to filter by endpoint."""
    return await _by_message(services, application.id, msg_id, endpoint_id, _Wanted.read(request, paging))


@router.get(
    "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}",
    operation_id="v1.message-attempt.get",
    openapi_extra=described("expanded_statuses"),
)
async def get_attempt(
    request: Request, services: ServicesOf, application: AppOf, msg_id: MessageRef, attempt_id: AttemptRef
) -> AttemptOut:
    """Get an attempt.

    With the beginning of the response, and what went wrong.
    """
    read_flag(request, "expanded_statuses", default=False)  # no effect: it succeeded or failed
    return attempt_out(await services.attempt.get(application.id, msg_id, attempt_id))


@router.delete(
    "/app/{app_id}/msg/{msg_id}/attempt/{attempt_id}/content",
    operation_id="v1.message-attempt.expunge-content",
    status_code=204,
)
async def expunge_attempt(
    services: ServicesOf, application: OrgAppOf, msg_id: MessageRef, attempt_id: AttemptRef
) -> None:
    """Delete the response of an attempt.

    Deletes the response body permanently. The attempt stays.
    """
    await services.attempt.expunge(application.id, msg_id, attempt_id)
