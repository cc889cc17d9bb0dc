"""`/app/{app_id}/listener`: the API of `angarium listen`. Svix's API has no equivalent.

A client opens a listener by name, fetches its deliveries (the request waits until there are some), and
reports the responses of the receiver on the developer's machine.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AnyCaller, AppOf, EndpointRef, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.field import Channels, Patterns, as_tuple
from angarium.api.query import QueryNumber
from angarium.api.route import WireRoute
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import Invalid
from angarium.core.signature import public_form
from angarium.service.listener import LEASE, LONGEST_WAIT, MAX_FETCH, FetchedDelivery, Report

router = APIRouter(route_class=WireRoute, tags=["Listener"])

MAX_ANSWER = 16 * 1024
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Header = Annotated[list[Annotated[str, Field(max_length=1000)]], Field(min_length=2, max_length=2)]


class ListenerIn(Wire):
    name: Name
    """Identifies the listener, such as a host name. The same name gets the same listener and secret."""
    event_types: Patterns | None = None
    """Names and wildcards; null selects every type."""
    channels: Channels | None = None


class ListenerOut(Wire):
    id: str
    secret: str | None
    """The signing secret, if the token may view secrets."""


class FetchedDeliveryOut(Wire):
    receipt: str
    """Send it back with the answer."""
    message_id: str
    event_type: str
    attempt: int
    """Number of the attempt, from 1."""
    headers: list[list[str]]
    body: str
    """The exact bytes, in base64."""


class FetchedDeliveriesOut(Wire):
    data: list[FetchedDeliveryOut]


class ListenerAnswerIn(Wire):
    receipt: Annotated[str, Field(max_length=1000)]
    status_code: Annotated[int, Field(ge=0, le=999, strict=True)]
    """0: there was no response."""
    duration_ms: Annotated[int, Field(ge=0, le=3_600_000, strict=True)] = 0
    headers: Annotated[list[Header], Field(max_length=32)] = Field(default_factory=list)
    body: Annotated[str, Field(max_length=MAX_ANSWER * 2)] = ""
    """The beginning of the response body, in base64."""
    error: Annotated[str, Field(max_length=1000)] | None = None
    """Why there was no response."""

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
    data: Annotated[list[ListenerAnswerIn], Field(min_length=1, max_length=MAX_FETCH)]


@router.post(
    "/app/{app_id}/listener",
    operation_id="v1.listener.open",
    response_model=ListenerOut,
    dependencies=[requires(Capability.MANAGE_ENDPOINT)],
)
async def open_listener(
    application: AppOf, caller: AnyCaller, services: ServicesOf, body: ListenerIn
) -> Response:
    """Open the listener with this name. It is created, with its own endpoint, if it does not exist."""
    found = await services.listener.open(
        application, body.name, as_tuple(body.event_types), as_tuple(body.channels)
    )
    shown: dict[str, Any] = {"id": ids.text(ids.ENDPOINT, found.id), "secret": None}
    if Capability.VIEW_SECRET in caller.capabilities:
        found = await services.endpoint.reveal_secret(application.id, shown["id"])
        shown["secret"] = public_form(found.keys[0].secret)
    return JSONResponse(shown, headers={"cache-control": "no-store"})


@router.get(
    "/app/{app_id}/listener/{endpoint_id}/fetch",
    operation_id="v1.listener.fetch",
    response_model=FetchedDeliveriesOut,
    dependencies=[requires(Capability.MANAGE_ENDPOINT)],
)
async def fetch(
    request: Request,
    application: AppOf,
    caller: AnyCaller,
    services: ServicesOf,
    endpoint_id: EndpointRef,
    limit: Annotated[QueryNumber, Query(ge=1, le=MAX_FETCH)] = 20,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT)] = 0.0,
    lease: Annotated[float, Query(ge=LEASE[0], le=LEASE[2])] = LEASE[1],
) -> Response:
    """Fetch due deliveries. Those not answered within `lease` seconds become due again."""

    async def left() -> bool:
        await services.token.check_live(caller.claims)  # the token may end while its holder waits
        return await request.is_disconnected()

    deliveries = await services.listener.fetch(
        application.id, endpoint_id, limit=limit, wait=wait, lease=lease, left=left
    )
    return JSONResponse(
        {"data": [_shown(fetched) for fetched in deliveries]}, headers={"cache-control": "no-store"}
    )


@router.post(
    "/app/{app_id}/listener/{endpoint_id}/answer",
    operation_id="v1.listener.answer",
    status_code=204,
    dependencies=[requires(Capability.MANAGE_ENDPOINT)],
)
async def answer(
    application: AppOf, services: ServicesOf, endpoint_id: EndpointRef, body: AnswersIn
) -> Response:
    """Report the receiver's responses. Failures are retried on the schedule."""
    await services.listener.answer(application.id, endpoint_id, [one.report() for one in body.data])
    return Response(status_code=204)


def _shown(fetched: FetchedDelivery) -> dict[str, Any]:
    return {
        "receipt": fetched.receipt,
        "messageId": ids.text(ids.MESSAGE, fetched.message_id),
        "eventType": fetched.event_type,
        "attempt": fetched.number,
        "headers": [list(pair) for pair in fetched.headers],
        "body": base64.b64encode(fetched.body).decode(),
    }
