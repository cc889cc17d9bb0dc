"""`/audit`: lists the audit log: who did what, when and from where. Svix's open server has no equivalent."""

from __future__ import annotations

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Query

from angarium.api.answer import Out
from angarium.api.auth import OrgCaller, ServicesOf
from angarium.api.field import APPLICATION, ENDPOINT, NOW, ApplicationId, Time, says, wire_time
from angarium.api.listing import Page, Paging, page, paged
from angarium.api.query import QueryMoment
from angarium.api.route import API_PATH, WireRoute
from angarium.core import ids
from angarium.core.audit import ActorKind
from angarium.service.audit import PREFIX
from angarium.store.audit import Record

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Audit"])

RECORD: Final = f"{PREFIX}0ERndamqNyk3haXpUQDyjOZPphZ"
Application = Annotated[
    str | None,
    Query(description="Only records of this application (id or uid).", examples=[APPLICATION]),
]
Action = Annotated[
    str | None,
    Query(
        description="Only this action, such as `endpoint.updated`; `endpoint`: all of that noun.",
        examples=["endpoint.updated"],
    ),
]
Since = Annotated[QueryMoment | None, Query(description="Only from this time on.", examples=[NOW])]
Until = Annotated[QueryMoment | None, Query(description="Only before this time.", examples=[NOW])]


class ActorOut(Out):
    """Who made a change."""

    kind: Annotated[ActorKind, says("What the actor is.", "organization-token")]
    id: Annotated[
        str | None, says("Tells two of a kind apart; never the token or key itself.", "tok_5f0c1a2b")
    ]
    address: Annotated[str | None, says("Where the request came from.", "192.0.2.7")]


class RecordOut(Out):
    """A record of the audit log."""

    id: Annotated[str, says("Id of the record.", RECORD)]
    timestamp: Annotated[Time, says("When the change was made.", NOW)]
    actor: Annotated[ActorOut, says("Who made the change.")]
    action: Annotated[str, says("What was done: `noun.verb`.", "endpoint.updated")]
    application_id: Annotated[
        ApplicationId | None, says("The application it belongs to; null: to the organization.")
    ]
    target: Annotated[str | None, says("The id or name of what was changed.", ENDPOINT)]
    before: Annotated[
        dict[str, Any] | None,
        says("What differed before; secrets by fingerprint, headers by name.", {"disabled": False}),
    ]
    after: Annotated[dict[str, Any] | None, says("What differs now.", {"disabled": True})]


def public_id(record: Record) -> str:
    return ids.text(PREFIX, record.id)


def record_out(record: Record) -> RecordOut:
    """A record as JSON."""
    event, actor = record.audit_event, record.actor
    return RecordOut(
        id=public_id(record),
        timestamp=wire_time(record.at),
        actor=ActorOut(kind=actor.kind, id=actor.name or None, address=actor.address),
        action=event.action,
        application_id=None if event.app_id is None else ids.text(ids.APPLICATION, event.app_id),
        target=event.target,
        before=event.before if event.before is None else dict(event.before),
        after=event.after if event.after is None else dict(event.after),
    )


@router.get("/audit", operation_id="v1.audit.list")
async def list_records(
    caller: OrgCaller,
    services: ServicesOf,
    paging: Annotated[Paging[UUID], paged(PREFIX)],
    application: Application = None,
    action: Action = None,
    since: Since = None,
    until: Until = None,
) -> Page[RecordOut]:
    """List the audit log.

    The changes made in the organization, newest first. Messages are not included; they have their own log.
    """
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
    return page(rows, paging, public_id, record_out)
