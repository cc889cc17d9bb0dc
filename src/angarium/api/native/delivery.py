"""Deliveries: the messages of an endpoint, and the endpoints of a message, with their states."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from msgspec import UNSET, UnsetType

from angarium.api.answer import Out
from angarium.api.auth import AppOf, EndpointRef, ServicesOf
from angarium.api.field import NOW, Time, says, wire_time
from angarium.api.listing import (
    Page,
    Paging,
    described,
    page,
    paged,
    read_filter,
    read_flag,
    read_status,
    read_window,
)
from angarium.api.native.endpoint import AnyEndpointOut, endpoint_fields
from angarium.api.native.message import (
    HIDDEN,
    MessageOut,
    MessageRef,
    message_as,
    message_id,
    payload_of,
)
from angarium.api.route import API_PATH, WireRoute
from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.failure import title_of
from angarium.core.nouns import Delivery
from angarium.core.overdue import FaultHold
from angarium.service.attempt import EXPANDED, looking_like, status_of
from angarium.service.overview import WaitEstimates
from angarium.store.delivery import DeliveryMessage, Destination

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Message Attempt"])

StatusNumber = Annotated[
    Literal[0, 1, 2, 3, 4],
    says("0: success, 1: pending, 2: fail. With `expanded_statuses` also 3: sending, 4: canceled.", 2),
]
StatusText = Annotated[
    Literal["success", "pending", "fail", "sending", "canceled"], says("The status as text.", "fail")
]
NEXT_ATTEMPT: Final = says(
    "When the next attempt is due. If that time has passed, when it is expected to start; null: there is "
    "none, or it is unknown.",
    NOW,
)
Waiting = Annotated[
    bool,
    says(
        "It has been due for more than 5 seconds: it is in flight, or waits behind others of its endpoint or "
        "for the rate limit.",
        False,
    ),
]


class OurFaultOut(Out):
    """A fault on our side that keeps an endpoint's deliveries from being sent."""

    code: Annotated[
        str,
        says(
            "`resolver_down`, `network_down`, `out_of_resources`, `pool_full`, `restoring` or `internal`.",
            "network_down",
        ),
    ]
    title: Annotated[str, says("The fault as text.", "No network connection")]
    since: Annotated[Time, says("When it began.", NOW)]


OUR_FAULT: Final = says("It is due and waits for a fault on our side to end. No action is needed.")


class EndpointMessageOut(MessageOut, kw_only=True):
    """A message, and the state of its delivery to an endpoint."""

    status: StatusNumber
    status_text: StatusText
    next_attempt: Annotated[Time | UnsetType, NEXT_ATTEMPT] = UNSET
    waiting: Waiting | UnsetType = UNSET
    our_fault: Annotated[OurFaultOut | UnsetType, OUR_FAULT] = UNSET


class MessageEndpointOut(AnyEndpointOut):
    """An endpoint, and the state of a message's delivery to it."""

    deleted: Annotated[bool, says("Whether the endpoint was deleted.", False)]
    status: StatusNumber
    status_text: StatusText
    next_attempt: Annotated[Time | None, NEXT_ATTEMPT]
    waiting: Waiting
    our_fault: Annotated[OurFaultOut | None, OUR_FAULT]


def our_fault_out(hold: FaultHold | None) -> OurFaultOut | None:
    """None while there is no fault."""
    if hold is None:
        return None
    return OurFaultOut(code=hold.code, title=title_of(hold.code), since=wire_time(datetime_at(hold.since)))


def _standing(delivery: Delivery, waits: WaitEstimates, *, expanded: bool) -> dict[str, Any]:
    """What both lists say of a delivery."""
    key = delivery.endpoint_id, delivery.message_id
    status, following = status_of(delivery, expanded=expanded), waits.next_attempt(*key, delivery.due_at)
    return {
        "status": int(status),
        "status_text": status.name.lower(),
        "next_attempt": None if following is None else wire_time(following),
        "waiting": waits.waiting(*key),
        "our_fault": our_fault_out(waits.hold(*key)),
    }


@router.get(
    "/app/{app_id}/endpoint/{endpoint_id}/msg",
    operation_id="v1.message-attempt.list-attempted-messages",
    openapi_extra=described(
        "status", "channel", "tag", "event_types", "before", "after", "with_content", "expanded_statuses"
    ),
)
async def list_attempted_messages(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    endpoint_id: EndpointRef,
    paging: Annotated[Paging[UUID], paged(ids.MESSAGE)],
) -> Page[EndpointMessageOut]:
    """List the messages of an endpoint.

    With the status of each delivery, newest first.
    """
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
    waits = await services.overdue.of(application.id, (one.delivery for one in rows))

    def wire(one: DeliveryMessage) -> EndpointMessageOut:
        payload = payload_of(one.message) if content else HIDDEN
        # what is not the case is left out, as at Svix
        standing: dict[str, Any] = {
            name: UNSET if value in (None, False) and name != "status" else value
            for name, value in _standing(one.delivery, waits, expanded=expanded).items()
        }
        return message_as(EndpointMessageOut, one.message, payload, **standing)

    return page(rows, wanted, lambda one: message_id(one.message), wire)


@router.get(
    "/app/{app_id}/msg/{msg_id}/endpoint",
    operation_id="v1.message-attempt.list-attempted-destinations",
    openapi_extra=described("expanded_statuses"),
)
async def list_attempted_destinations(
    request: Request,
    services: ServicesOf,
    application: AppOf,
    msg_id: MessageRef,
    paging: Annotated[Paging[UUID], paged(ids.ENDPOINT)],
) -> Page[MessageEndpointOut]:
    """List the endpoints of a message.

    With the status of each delivery, including deleted endpoints, oldest endpoint first.
    """
    expanded = read_flag(request, "expanded_statuses", default=False)
    rows = await services.attempt.destinations(
        application.id, msg_id, paging.cursor, backwards=paging.backwards, rows=paging.rows
    )
    waits = await services.overdue.of(application.id, (row.delivery for row in rows))
    return page(
        rows,
        paging,
        lambda row: ids.text(ids.ENDPOINT, row.id),
        lambda row: _destination_out(row, waits, expanded=expanded),
    )


def _destination_out(destination: Destination, waits: WaitEstimates, *, expanded: bool) -> MessageEndpointOut:
    return MessageEndpointOut(
        **endpoint_fields(destination),
        deleted=destination.deleted,
        **_standing(destination.delivery, waits, expanded=expanded),
    )
