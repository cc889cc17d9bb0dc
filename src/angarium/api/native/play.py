"""`/app/{app_id}/inbox`: Play's temporary inboxes, for `angarium play` and tests. Not in Svix's API.

Clients create an inbox, set its response, read requests after a cursor, and delete it.
"""

from __future__ import annotations

import base64
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import Field

from angarium.api.answer import Out
from angarium.api.auth import AppOf, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.field import INBOX, MESSAGE, NOW, Time, says, wire_time
from angarium.api.query import QueryNumber
from angarium.api.route import API_PATH, WireRoute
from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.errors import Invalid, NotFound
from angarium.core.inbox import InboxAnswer, InboxRequest, PlayInbox
from angarium.service.services import Services

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Play"])

MAX_REQUESTS = 20
_MANAGE = [requires(Capability.MANAGE_ENDPOINT)]


class InboxOut(Out):
    """A temporary receiver inside the server."""

    id: Annotated[str, says("Id of the inbox.", INBOX)]
    url: Annotated[str, says("The URL that receives requests.", f"https://example.com/play/in/{INBOX}")]
    status: Annotated[int, says("The response status; 0: it does not respond.", 200)]
    delay: Annotated[float, says("Seconds before it responds.", 0.0)]
    failures: Annotated[int, says("Percentage of requests that get 500 instead.", 0)]
    expires_at: Annotated[Time, says("A week after its last use.", NOW)]


class InboxAnswerIn(Wire):
    """How an inbox responds from now on. Missing fields do not change."""

    status: Annotated[
        Annotated[int, Field(strict=True)] | None, says("The response status; 0: do not respond.", 503)
    ] = None
    delay: Annotated[
        Annotated[float, Field(allow_inf_nan=False)] | None,
        says("Seconds before it responds, below the product's timeout.", 0.5),
    ] = None
    failures: Annotated[
        Annotated[int, Field(strict=True)] | None,
        says("Percentage of requests that get 500 instead.", 10),
    ] = None

    def over(self, now: InboxAnswer) -> InboxAnswer:
        return InboxAnswer(
            now.status_code if self.status is None else self.status,
            now.delay if self.delay is None else self.delay,
            now.failure_percent if self.failures is None else self.failures,
        )


class RequestOut(Out):
    """A request that an inbox received."""

    id: Annotated[str, says("Id of the request.", INBOX)]
    timestamp: Annotated[Time, says("When it arrived.", NOW)]
    method: Annotated[str, says("The HTTP method.", "POST")]
    headers: Annotated[list[list[str]], says("Names and values of the headers.", [["webhook-id", MESSAGE]])]
    body: Annotated[
        str, says("The exact bytes, in base64; the first 64 KiB of a long one.", "eyJpZCI6Im9yZF8xIn0=")
    ]
    size: Annotated[int, says("Bytes of the complete body.", 14)]
    status: Annotated[int, says("The response status.", 200)]
    verified: Annotated[
        bool | None,
        says(
            "Whether it is signed with a secret of an endpoint that has the URL; null: there is no such "
            "endpoint.",
            True,
        ),
    ]
    finding: Annotated[str, says("The result of verification as text.", "The signature is valid.")]


class RequestsOut(Out):
    """Requests that an inbox received."""

    data: Annotated[list[RequestOut], says("Oldest first.")]
    iterator: Annotated[str | None, says("Pass it as `after` to continue.", INBOX)]
    done: Annotated[bool, says("Whether these are the newest requests.", True)]


async def _inbox(
    services: ServicesOf,
    application: AppOf,
    inbox_id: Annotated[str, Path(description="Id of the inbox.", examples=[INBOX])],
) -> PlayInbox:
    found = ids.parse(ids.INBOX, inbox_id)
    if found is None:
        raise NotFound()
    return await services.play.find(application.id, found)


InboxOf = Annotated[PlayInbox, Depends(_inbox)]


@router.post("/app/{app_id}/inbox", operation_id="v1.inbox.create", status_code=201, dependencies=_MANAGE)
async def create(application: AppOf, services: ServicesOf) -> InboxOut:
    """Create an inbox.

    It responds with 200 at once. An application has at most 20 inboxes.
    """
    return _shown(services, await services.play.create(application))


@router.patch("/app/{app_id}/inbox/{inbox_id}", operation_id="v1.inbox.answer", dependencies=_MANAGE)
async def set_answer(
    application: AppOf, services: ServicesOf, inbox: InboxOf, body: InboxAnswerIn
) -> InboxOut:
    """Set the response of an inbox.

    It applies to requests that arrive from now on.
    """
    product = await services.product.of(application.org_id)
    return _shown(services, await services.play.set_answer(product, application.id, inbox.id, body.over))


@router.delete(
    "/app/{app_id}/inbox/{inbox_id}",
    operation_id="v1.inbox.delete",
    status_code=204,
    dependencies=_MANAGE,
)
async def delete(application: AppOf, services: ServicesOf, inbox: InboxOf) -> None:
    """Delete an inbox.

    Its requests are deleted, too. Senders then get 404.
    """
    await services.play.delete(application.id, inbox.id)


@router.get("/app/{app_id}/inbox/{inbox_id}/request", operation_id="v1.inbox.list-requests")
async def list_requests(
    services: ServicesOf,
    inbox: InboxOf,
    after: Annotated[
        str | None, Query(description="`iterator` of the previous page.", examples=[INBOX])
    ] = None,
    limit: Annotated[
        QueryNumber,
        Query(ge=1, le=MAX_REQUESTS, description="Maximum number of requests.", examples=[MAX_REQUESTS]),
    ] = MAX_REQUESTS,
) -> RequestsOut:
    """List received requests.

    Oldest first. The newest 100 of the last day are kept.
    """
    found = await services.play.since(inbox, _cursor(after), limit + 1)
    data = [_request(one) for one in found[:limit]]
    return RequestsOut(data=data, iterator=data[-1].id if data else after, done=len(found) <= limit)


def _cursor(after: str | None) -> UUID | None:
    if not after:
        return None
    cursor = ids.parse(ids.INBOX, after)
    if cursor is None:
        raise Invalid.field("after", "Not an iterator of this list.", where="query")
    return cursor


def _shown(services: Services, inbox: PlayInbox) -> InboxOut:
    return InboxOut(
        id=ids.text(ids.INBOX, inbox.id),
        url=services.play.url_of(inbox.id),
        status=inbox.answer.status_code,
        delay=inbox.answer.delay,
        failures=inbox.answer.failure_percent,
        expires_at=wire_time(inbox.expires_at),
    )


def _request(arrival: InboxRequest) -> RequestOut:
    return RequestOut(
        id=ids.text(ids.INBOX, arrival.id),
        timestamp=wire_time(datetime_at(ids.created_at(arrival.id))),
        method=arrival.method,
        headers=[list(pair) for pair in arrival.headers],
        body=base64.b64encode(arrival.body).decode(),
        size=arrival.size,
        status=arrival.status_code,
        verified=arrival.verified,
        finding=arrival.finding,
    )
