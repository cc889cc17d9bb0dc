"""`/app/{app_id}/inbox`: Play's temporary inboxes, for `angarium play` and tests. Not in Svix's API.

Clients create an inbox, set its response, read requests after a cursor, and delete it.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.responses import Response

from angarium.api.auth import AppOf, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.field import Moment, wire_time
from angarium.api.query import QueryNumber
from angarium.api.route import WireRoute
from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import Invalid, NotFound
from angarium.core.inbox import InboxAnswer, InboxRequest, PlayInbox
from angarium.service.services import Services

router = APIRouter(route_class=WireRoute, tags=["Play"])

MAX_REQUESTS = 20


class InboxOut(Wire):
    id: str
    url: str
    """The URL that receives requests."""
    status: int
    """The response status; 0: it does not respond."""
    delay: float
    """Seconds before it responds."""
    failures: int
    """Percentage of requests that get 500 instead."""
    expires_at: Moment
    """A week after its last use."""


class InboxAnswerIn(Wire):
    """Missing fields do not change."""

    status: Annotated[int, Field(strict=True)] | None = None
    """The response status; 0: do not respond."""
    delay: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Seconds before it responds, below the product's timeout."""
    failures: Annotated[int, Field(strict=True)] | None = None
    """Percentage of requests that get 500 instead."""

    def over(self, now: InboxAnswer) -> InboxAnswer:
        return InboxAnswer(
            now.status_code if self.status is None else self.status,
            now.delay if self.delay is None else self.delay,
            now.failure_percent if self.failures is None else self.failures,
        )


class RequestOut(Wire):
    id: str
    timestamp: Moment
    method: str
    headers: list[list[str]]
    body: str
    """The exact bytes, in base64; the first 64 KiB of a long one."""
    size: int
    """Bytes of the complete body."""
    status: int
    """The response status."""
    verified: bool | None
    """Whether it is signed with a secret of an endpoint that has the URL; null: there is no such endpoint."""
    finding: str
    """The result of verification as text."""


class RequestsOut(Wire):
    data: list[RequestOut]
    iterator: str | None
    """Pass it as `after` to continue."""
    done: bool


async def _inbox(services: ServicesOf, application: AppOf, inbox_id: Annotated[str, Path()]) -> PlayInbox:
    found = ids.parse(ids.INBOX, inbox_id)
    if found is None:
        raise NotFound()
    return await services.play.find(application.id, found)


InboxOf = Annotated[PlayInbox, Depends(_inbox)]


@router.post(
    "/app/{app_id}/inbox",
    operation_id="v1.inbox.create",
    status_code=201,
    response_model=InboxOut,
    dependencies=[requires(Capability.MANAGE_ENDPOINT)],
)
async def create(application: AppOf, services: ServicesOf) -> dict[str, Any]:
    """Create an inbox, which responds with 200 at once. An application has at most 20 inboxes."""
    return _shown(services, await services.play.create(application))


@router.patch(
    "/app/{app_id}/inbox/{inbox_id}",
    operation_id="v1.inbox.answer",
    response_model=InboxOut,
    dependencies=[requires(Capability.MANAGE_ENDPOINT)],
)
async def set_answer(
    application: AppOf, services: ServicesOf, inbox: InboxOf, body: InboxAnswerIn
) -> dict[str, Any]:
    """Set the response of an inbox."""
    product = await services.product.of(application.org_id)
    return _shown(services, await services.play.set_answer(product, application.id, inbox.id, body.over))


@router.delete(
    "/app/{app_id}/inbox/{inbox_id}",
    operation_id="v1.inbox.delete",
    status_code=204,
    dependencies=[requires(Capability.MANAGE_ENDPOINT)],
)
async def delete(application: AppOf, services: ServicesOf, inbox: InboxOf) -> Response:
    """Delete an inbox and its requests. Senders then get 404."""
    await services.play.delete(application.id, inbox.id)
    return Response(status_code=204)


@router.get(
    "/app/{app_id}/inbox/{inbox_id}/request",
    operation_id="v1.inbox.list-requests",
    response_model=RequestsOut,
)
async def list_requests(
    services: ServicesOf,
    inbox: InboxOf,
    after: Annotated[str | None, Query(description="`iterator` of the previous page.")] = None,
    limit: Annotated[QueryNumber, Query(ge=1, le=MAX_REQUESTS)] = MAX_REQUESTS,
) -> dict[str, Any]:
    """The received requests, oldest first. The newest 100 of the last day are kept."""
    found = await services.play.since(inbox, _cursor(after), limit + 1)
    data = [_request(one) for one in found[:limit]]
    return {"data": data, "iterator": data[-1]["id"] if data else after, "done": len(found) <= limit}


def _cursor(after: str | None) -> UUID | None:
    if not after:
        return None
    cursor = ids.parse(ids.INBOX, after)
    if cursor is None:
        raise Invalid.field("after", "Not an iterator of this list.", where="query")
    return cursor


def _shown(services: Services, inbox: PlayInbox) -> dict[str, Any]:
    return {
        "id": ids.text(ids.INBOX, inbox.id),
        "url": services.play.url_of(inbox.id),
        "status": inbox.answer.status_code,
        "delay": inbox.answer.delay,
        "failures": inbox.answer.failure_percent,
        "expiresAt": wire_time(inbox.expires_at),
    }


def _request(arrival: InboxRequest) -> dict[str, Any]:
    return {
        "id": ids.text(ids.INBOX, arrival.id),
        "timestamp": wire_time(datetime_at(ids.created_at(arrival.id))),
        "method": arrival.method,
        "headers": [list(pair) for pair in arrival.headers],
        "body": base64.b64encode(arrival.body).decode(),
        "size": arrival.size,
        "status": arrival.status_code,
        "verified": arrival.verified,
        "finding": arrival.finding,
    }
