"""`/event-type`: event types."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AnyCaller, OrgCaller, ServicesOf
from angarium.api.body import Wire
from angarium.api.field import Description, EventTypeName, Flag, wire_time
from angarium.api.listing import ListOrder, Paging, page, paged_by
from angarium.api.query import QueryFlag
from angarium.api.route import WireRoute
from angarium.core.errors import NotFound
from angarium.core.nouns import EventType
from angarium.core.patterns import is_event_type
from angarium.service.event_type import EventTypeDraft

router = APIRouter(route_class=WireRoute, tags=["Event type"])

NamePath = Annotated[str, Path(alias="event_type_name", description="Name of the event type.")]
FeatureFlags = Annotated[list[EventTypeName], Field(max_length=100)]


class _Flags(Wire):
    feature_flags: FeatureFlags | None = None
    """Application tokens see the event type only if they have one of these flags."""
    feature_flag: EventTypeName | None = None
    """The older name, for one flag."""

    def flags(self) -> tuple[str, ...]:
        if self.feature_flags is not None:
            return tuple(dict.fromkeys(self.feature_flags))
        return () if self.feature_flag is None else (self.feature_flag,)


class EventTypeUpsertIn(_Flags):
    description: Description
    schemas: dict[str, Any] | None = None
    """JSON Schemas of the payload by version, starting with `"1"`."""
    archived: Flag = False
    deprecated: Flag = False
    group_name: EventTypeName | None = None

    def draft(self) -> EventTypeDraft:
        return EventTypeDraft(
            self.description, self.schemas, self.archived, self.deprecated, self.flags(), self.group_name
        )


class EventTypeIn(EventTypeUpsertIn):
    name: EventTypeName


class EventTypePatch(_Flags):
    null_clears: ClassVar[bool] = True
    description: Description = ""
    schemas: dict[str, Any] | None = None
    archived: Flag = False
    deprecated: Flag = False
    group_name: EventTypeName | None = None

    def apply(self, draft: EventTypeDraft) -> EventTypeDraft:
        """Change the given fields; null clears a field."""
        changes: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if self.model_fields_set & {"feature_flags", "feature_flag"}:
            changes.pop("feature_flag", None)
            changes["feature_flags"] = self.flags()
        return replace(draft, **changes)


class EventTypeOut(Wire):
    name: str
    description: str
    schemas: dict[str, Any] | None
    archived: bool
    deprecated: bool
    feature_flag: str | None
    feature_flags: list[str] | None
    group_name: str | None
    created_at: datetime
    updated_at: datetime


class ListOfEventTypes(Wire):
    data: list[EventTypeOut]
    iterator: str | None
    prev_iterator: str | None = None
    done: bool


def wire(event_type: EventType, *, with_content: bool = True) -> dict[str, Any]:
    """The event type as JSON."""
    flags = list(event_type.feature_flags)
    return {
        "name": event_type.name,
        "description": event_type.description,
        "schemas": event_type.schemas if with_content else None,
        "archived": event_type.archived,
        "deprecated": event_type.deprecated,
        "featureFlag": flags[0] if flags else None,
        "featureFlags": flags or None,
        "groupName": event_type.group_name,
        "createdAt": wire_time(event_type.created_at),
        "updatedAt": wire_time(event_type.updated_at),
    }


# A leading - of an iterator means backwards, and a name may start with one: such a name gets a + in front.
def _iterator(event_type: EventType) -> str:
    return f"+{event_type.name}" if event_type.name.startswith("-") else event_type.name


def _name(iterator: str) -> str | None:
    name = iterator.removeprefix("+")
    return name if is_event_type(name) else None


@router.get("/event-type", operation_id="v1.event-type.list", response_model=ListOfEventTypes)
async def list_event_types(
    caller: AnyCaller,
    services: ServicesOf,
    paging: Annotated[Paging[str], paged_by(_name)],
    order: ListOrder = ListOrder.ASCENDING,
    include_archived: Annotated[QueryFlag, Query(description="Include archived event types.")] = False,
    with_content: Annotated[QueryFlag, Query(description="Include schemas.")] = False,
) -> Response:
    """The organization's event types, ordered by name."""
    rows = await services.event_type.page(
        caller.org_id,
        paging.cursor,
        ascending=paging.ascending(order is ListOrder.ASCENDING),
        limit=paging.rows,
        include_archived=include_archived,
        flags=None if caller.app_id is None else caller.feature_flags,
    )
    return JSONResponse(page(rows, paging, _iterator, lambda row: wire(row, with_content=with_content)))


@router.post("/event-type", operation_id="v1.event-type.create", status_code=201, response_model=EventTypeOut)
async def create_event_type(caller: OrgCaller, services: ServicesOf, body: EventTypeIn) -> Response:
    """Create an event type, or restore an archived one."""
    return JSONResponse(wire(await services.event_type.create(caller.org_id, body.name, body.draft())), 201)


@router.get("/event-type/{event_type_name}", operation_id="v1.event-type.get", response_model=EventTypeOut)
async def get_event_type(caller: AnyCaller, services: ServicesOf, event_type_name: NamePath) -> Response:
    """One event type, archived or not."""
    found = await services.event_type.find(caller.org_id, event_type_name)
    hidden = bool(found.feature_flags) and caller.feature_flags.isdisjoint(found.feature_flags)
    if caller.app_id is not None and hidden:
        raise NotFound()
    return JSONResponse(wire(found))


@router.put(
    "/event-type/{event_type_name}",
    operation_id="v1.event-type.upsert",
    response_model=EventTypeOut,
    responses={201: {"model": EventTypeOut, "description": "Created"}},
)
async def upsert_event_type(
    caller: OrgCaller, services: ServicesOf, event_type_name: NamePath, body: EventTypeUpsertIn
) -> Response:
    """Replace or create an event type."""
    stored, made = await services.event_type.upsert(caller.org_id, event_type_name, body.draft())
    return JSONResponse(wire(stored), 201 if made else 200)


@router.patch(
    "/event-type/{event_type_name}", operation_id="v1.event-type.patch", response_model=EventTypeOut
)
async def patch_event_type(
    caller: OrgCaller, services: ServicesOf, event_type_name: NamePath, body: EventTypePatch
) -> Response:
    """Update only the given fields."""
    return JSONResponse(wire(await services.event_type.update(caller.org_id, event_type_name, body.apply)))


@router.delete("/event-type/{event_type_name}", operation_id="v1.event-type.delete", status_code=204)
async def delete_event_type(
    caller: OrgCaller,
    services: ServicesOf,
    event_type_name: NamePath,
    expunge: Annotated[
        QueryFlag, Query(description="Delete it permanently instead of archiving it.")
    ] = False,
) -> Response:
    """Archive an event type."""
    verb = services.event_type.expunge if expunge else services.event_type.archive
    await verb(caller.org_id, event_type_name)
    return Response(status_code=204)
