"""`/audit`: lists the audit log: who did what, when and from where. Svix's open server has no equivalent."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from angarium.api.auth import OrgCaller, ServicesOf
from angarium.api.body import Wire
from angarium.api.field import wire_time
from angarium.api.listing import Paging, page, paged
from angarium.api.query import QueryMoment
from angarium.api.route import WireRoute
from angarium.core import ids
from angarium.service.audit import PREFIX
from angarium.store.audit import Record

router = APIRouter(route_class=WireRoute, tags=["Audit"])

Application = Annotated[str | None, Query(description="Only records of this application (id or uid).")]
Action = Annotated[
    str | None,
    Query(description="Only this action, such as `endpoint.updated`; `endpoint`: all of that noun."),
]
Since = Annotated[QueryMoment | None, Query(description="Only from this time on.")]
Until = Annotated[QueryMoment | None, Query(description="Only before this time.")]


class ActorOut(Wire):
    kind: str
    """`organization-token`, `application-token`, `portal-session`, `api-key`, `operator-session`,
    `command-line` or `system`."""
    id: str | None
    """Tells two of a kind apart; never the token or key itself."""
    address: str | None
    """Where the request came from."""


class RecordOut(Wire):
    id: str
    timestamp: datetime
    actor: ActorOut
    action: str
    application_id: str | None
    target: str | None
    """The id or name of what was changed."""
    before: dict[str, Any] | None
    """What differed before; secrets by fingerprint, headers by name."""
    after: dict[str, Any] | None


class ListOfRecords(Wire):
    data: list[RecordOut]
    iterator: str | None
    prev_iterator: str | None = None
    done: bool


def public_id(record: Record) -> str:
    return ids.text(PREFIX, record.id)


def wire(record: Record) -> dict[str, Any]:
    """A record as JSON."""
    audit_event, actor = record.audit_event, record.actor
    return {
        "id": public_id(record),
        "timestamp": wire_time(record.at),
        "actor": {"kind": actor.kind.value, "id": actor.name or None, "address": actor.address},
        "action": audit_event.action,
        "applicationId": None
        if audit_event.app_id is None
        else ids.text(ids.APPLICATION, audit_event.app_id),
        "target": audit_event.target,
        "before": audit_event.before,
        "after": audit_event.after,
    }


@router.get("/audit", operation_id="v1.audit.list", response_model=ListOfRecords)
async def list_records(
    caller: OrgCaller,
    services: ServicesOf,
    paging: Annotated[Paging[UUID], paged(PREFIX)],
    application: Application = None,
    action: Action = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """The audit log of the organization, newest first. Messages are not included; they have their own log."""
    rows = await services.audit.page(
        caller.org_id,
        paging.cursor,
        app=application,
        action=action or None,
        since=since,
        until=until,
        upwards=paging.backwards,
        limit=paging.rows,
    )
    return JSONResponse(page(rows, paging, public_id, wire))
