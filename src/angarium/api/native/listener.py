"""`/app/{app_id}/listener`: the API of `angarium listen`. Svix's API has no equivalent.

A client opens a listener by name, fetches its deliveries (the request waits until there are some), and
reports the responses of the receiver on the developer's machine.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints
from starlette.requests import Request

from angarium.api.answer import NOT_STORED, Out, Reply
from angarium.api.auth import AnyCaller, AppOf, EndpointRef, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.field import (
    MESSAGE,
    RARE,
    Channels,
    EndpointId,
    EventTypeName,
    MessageId,
    Patterns,
    as_tuple,
    says,
)
from angarium.api.native.endpoint_secret import SECRET
from angarium.api.query import QueryNumber
from angarium.api.route import API_PATH, WireRoute
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import Invalid
from angarium.core.signature import public_form
from angarium.service.listener import LEASE, LONGEST_WAIT, MAX_FETCH, FetchedDelivery, Report

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Listener"])

MAX_ANSWER: Final = 16 * 1024
RECEIPT: Final = "WyIwMWEyMWNhNS1iYjIzLTc3NGItYjQyZi0xYjY2NTZmNWU4MjIiLDEsMCwxLG51bGwsMC4wLGZhbHNlXQ"
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Header = Annotated[list[Annotated[str, Field(max_length=1000)]], Field(min_length=2, max_length=2)]


class ListenerIn(Wire):
    """A listener to open."""

    name: Annotated[
        Name,
        says("Identifies the listener. The same name gets the same listener and secret.", "laptop-of-ada"),
    ]
    event_types: Patterns | None = None
    channels: Annotated[
        Channels | None,
        says("Only messages with one of these channels; null selects every message.", ["warehouse"]),
        RARE,
    ] = None


class ListenerOut(Out):
    """An open listener."""

    id: Annotated[EndpointId, says("Id of the listener, which is an endpoint.")]
    secret: Annotated[str | None, says("The signing secret, if the token may view secrets.", SECRET)]


class FetchedDeliveryOut(Out):
    """A delivery, as it would have been sent to a receiver."""

    receipt: Annotated[str, says("Send it back with the answer.", RECEIPT)]
    message_id: MessageId
    event_type: EventTypeName
    attempt: Annotated[int, says("Number of the attempt, from 1.", 1)]
    headers: Annotated[list[list[str]], says("Names and values of the headers.", [["webhook-id", MESSAGE]])]
    body: Annotated[str, says("The exact bytes, in base64.", "eyJpZCI6Im9yZF8xIn0=")]


class FetchedDeliveriesOut(Out):
    """Deliveries that are due."""

    data: Annotated[list[FetchedDeliveryOut], says("In the order in which they are due.")]


class ListenerAnswerIn(Wire):
    """How the receiver responded to one delivery."""

    receipt: Annotated[str, Field(max_length=1000), says("As it was fetched.", RECEIPT)]
    status_code: Annotated[
        int,
        Field(ge=0, le=999, strict=True),
        says("The response status; 0: there was no response.", 200),
    ]
    duration_ms: Annotated[
        int, Field(ge=0, le=3_600_000, strict=True), says("How long the request took.", 12)
    ] = 0
    headers: Annotated[
        list[Header],
        Field(max_length=32),
        says("Names and values of the response headers.", [["content-type", "text/plain"]]),
    ] = Field(default_factory=list)
    body: Annotated[
        str,
        Field(max_length=MAX_ANSWER * 2),
        says("The beginning of the response body, in base64.", "b2s="),
    ] = ""
    error: Annotated[
        Annotated[str, Field(max_length=1000)] | None,
        says("Why there was no response.", "Connection refused"),
        RARE,
    ] = None

    def report(self) -> Report:
        try:
            body = base64.b64decode(self.body, validate=True)
        except (binascii.Error, ValueError):
            raise Invalid.field("body", "Must be base64.") from None
        headers = tuple((name, value) for name, value in self.headers)
        return Report(
            self.receipt, self.status_code, self.duration_ms, headers, body[:MAX_ANSWER], self.error
        )


class AnswersIn(Wire):
    """The responses to fetched deliveries."""

    data: Annotated[
        list[ListenerAnswerIn], Field(min_length=1, max_length=MAX_FETCH), says("One for each delivery.")
    ]


@router.post(
    "/app/{app_id}/listener",
    operation_id="v1.listener.open",
    dependencies=[requires(Capability.MANAGE_ENDPOINT)],
)
async def open_listener(
    application: AppOf, caller: AnyCaller, services: ServicesOf, body: ListenerIn
) -> Reply[ListenerOut]:
    """Open a listener.

    A listener is an endpoint whose deliveries are fetched instead of sent. It is created if it does not
    exist.
    """
    found = await services.listener.open(
        application, body.name, as_tuple(body.event_types), as_tuple(body.channels)
    )
    shown = ListenerOut(id=ids.text(ids.ENDPOINT, found.id), secret=None)
    if Capability.VIEW_SECRET in caller.capabilities:
        found = await services.endpoint.reveal_secret(application.id, shown.id)
        shown.secret = public_form(found.keys[0].secret)
    return Reply(shown, headers=NOT_STORED)


@router.get(
    "/app/{app_id}/listener/{endpoint_id}/fetch",
    operation_id="v1.listener.fetch",
    dependencies=[requires(Capability.MANAGE_ENDPOINT)],
)
async def fetch(
    request: Request,
    application: AppOf,
    caller: AnyCaller,
    services: ServicesOf,
    endpoint_id: EndpointRef,
    limit: Annotated[
        QueryNumber,
        Query(ge=1, le=MAX_FETCH, description="Maximum number of deliveries.", examples=[20]),
    ] = 20,
    wait: Annotated[
        float,
        Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for a delivery.", examples=[20]),
    ] = 0.0,
    lease: Annotated[
        float,
        Query(
            ge=LEASE[0],
            le=LEASE[2],
            description="Seconds after which a delivery without an answer is due again.",
            examples=[LEASE[1]],
        ),
    ] = LEASE[1],
) -> Reply[FetchedDeliveriesOut]:
    """Fetch deliveries.

    Returns due deliveries with the headers and bytes that would have been sent. If there are none, the
    request waits for up to `wait` seconds.
    """

    async def left() -> bool:
        await services.token.check_live(caller.claims)  # the token may end while its holder waits
        return await request.is_disconnected()

    deliveries = await services.listener.fetch(
        application.id, endpoint_id, limit=limit, wait=wait, lease=lease, left=left
    )
    return Reply(FetchedDeliveriesOut(data=[_shown(one) for one in deliveries]), headers=NOT_STORED)


@router.post(
    "/app/{app_id}/listener/{endpoint_id}/answer",
    operation_id="v1.listener.answer",
    status_code=204,
    dependencies=[requires(Capability.MANAGE_ENDPOINT)],
)
async def answer(application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: AnswersIn) -> None:
    """Report responses.

    Records how the receiver responded to fetched deliveries. Failures are retried on the schedule.
    """
    await services.listener.answer(application.id, endpoint_id, [one.report() for one in body.data])


def _shown(fetched: FetchedDelivery) -> FetchedDeliveryOut:
    return FetchedDeliveryOut(
        receipt=fetched.receipt,
        message_id=ids.text(ids.MESSAGE, fetched.message_id),
        event_type=fetched.event_type,
        attempt=fetched.number,
        headers=[list(pair) for pair in fetched.headers],
        body=base64.b64encode(fetched.body).decode(),
    )
