"""Messages: list, get, expunge. Creating them is `accept`."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from angarium.api.auth import AppOf, OrgAppOf, ServicesOf
from angarium.api.body import WireRoute
from angarium.api.listing import described, json_response, read_filter, read_flag, read_window
from angarium.api.native import accept
from angarium.api.native import message_model as model
from angarium.api.native.message_out import message_id, message_out
from angarium.api.paging import Paging, page, paged
from angarium.core import ids

router = APIRouter(route_class=WireRoute, tags=["Message"])
router.include_router(accept.router)

MessageRef = Annotated[str, Path(alias="msg_id", description="Id or eventId of the message.")]


@router.get(
    "/app/{app_id}/msg",
    operation_id="v1.message.list",
    response_model=model.ListPage[model.MessageOut],
    openapi_extra=described("channel", "tag", "event_types", "before", "after", "with_content"),
)
async def list_messages(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    paging: Annotated[Paging[UUID], paged(ids.MESSAGE)],
) -> Response:
    """The messages of an application, newest first; by default those of the last 90 days."""
    window, wanted = read_window(request, paging)
    with_content = read_flag(request, "with_content", default=True)
    rows = await services.message.page(
        application.id, window, read_filter(request), with_payload=with_content
    )
    return json_response(
        page(rows, wanted, message_id, lambda row: message_out(row, with_content=with_content))
    )


@router.get(
    "/app/{app_id}/msg/{msg_id}",
    operation_id="v1.message.get",
    response_model=model.MessageOut,
    openapi_extra=described("with_content"),
)
async def get_message(
    request: Request, services: ServicesOf, application: AppOf, msg_id: MessageRef
) -> Response:
    """One message."""
    with_content = read_flag(request, "with_content", default=True)
    message = await services.message.get(application.id, msg_id, with_payload=with_content)
    return json_response(message_out(message, with_content=with_content))


@router.delete(
    "/app/{app_id}/msg/{msg_id}/content", operation_id="v1.message.expunge-content", status_code=204
)
async def expunge_message(services: ServicesOf, application: OrgAppOf, msg_id: MessageRef) -> Response:
    """Delete the payload of a message permanently. Its pending deliveries are canceled."""
    await services.message.expunge(application.id, msg_id)
    return Response(status_code=204)
