"""`/app/{app_id}/inbox`: Play's throw-away inboxes, for `angarium play` and for tests. Ours alone.

Make an inbox, say how it answers, read what came after a cursor, and throw it away.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field
from starlette.responses import Response

from angarium.api.auth import AppOf, ServicesOf, requires
from angarium.api.body import Wire, WireRoute
from angarium.api.field import Moment, wire_time
from angarium.api.query import QueryNumber
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
    """Where it takes requests."""
    status: int
    """What it answers with; 0: it does not answer."""
    delay: float
    """Seconds before it answers."""
    failures: int
    """Percent of the requests that it answers with 500 instead."""
    expires_at: Moment
    """A week after it was last used."""


class InboxAnswerIn(Wire):
    """What is left out stays as it is."""

    status: Annotated[int, Field(strict=True)] | None = None
    """What to answer with; 0 does not answer."""
    delay: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Seconds before it answers, within the timeout of the product."""
    failures: Annotated[int, Field(strict=True)] | None = None
    """Percent of the requests to answer with 500 instead."""

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
    """Bytes of the whole body."""
    status: int
    """What it was answered with."""
    verified: bool | None
    """Whether it is signed with a secret of an endpoint that has the URL; null: there is no such endpoint."""
    finding: str
    """The same in words."""


class RequestsOut(Wire):
    data: list[RequestOut]
    iterator: str | None
    """To go on from, as `after`."""
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
    """A new inbox, which answers 200 at once. An application has at most 20."""
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
    """Have it answer like this from now on."""
    product = await services.product.of(application.org_id)
    return _shown(services, await services.play.set_answer(product, application.id, inbox.id, body.over))


@router.delete(
    "/app/{app_id}/inbox/{inbox_id}",
    operation_id="v1.inbox.delete",
    status_code=204,
    dependencies=[requires(Capability.MANAGE_ENDPOINT)],
)
async def delete(application: AppOf, services: ServicesOf, inbox: InboxOf) -> Response:
    """Forget it and its requests; who sends to it gets 404."""
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
    after: Annotated[str | None, Query(description="`iterator` of the page before.")] = None,
    limit: Annotated[QueryNumber, Query(ge=1, le=MAX_REQUESTS)] = MAX_REQUESTS,
) -> dict[str, Any]:
    """What came in, oldest first: the newest 100 requests of the last day are kept."""
    found = await services.play.since(inbox, _cursor(after), limit + 1)
    data = [_request(one) for one in found[:limit]]
    return {"data": data, "iterator": data[-1]["id"] if data else after, "done": len(found) <= limit}


def _cursor(after: str | None) -> UUID | None:
    if not after:
        return None
    cursor = ids.parse(ids.INBOX, after)
    if cursor is None:
        raise Invalid.field("after", "The iterator is not one that this list gave out.", where="query")
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
