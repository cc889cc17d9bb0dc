"""`/event-type`: event types."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from fastapi import APIRouter, Path, Query
from pydantic import Field

from angarium.api.answer import Out, Reply
from angarium.api.auth import AnyCaller, OrgCaller, ServicesOf
from angarium.api.body import Wire
from angarium.api.field import (
    OLD,
    RARE,
    CreatedAt,
    Description,
    EventTypeName,
    Flag,
    UpdatedAt,
    says,
    wire_time,
)
from angarium.api.listing import ListOrder, Order, Page, Paging, page, paged_by
from angarium.api.query import QueryFlag
from angarium.api.route import API_PATH, WireRoute
from angarium.core.errors import NotFound
from angarium.core.nouns import EventType
from angarium.core.patterns import is_event_type
from angarium.service.event_type import EventTypeDraft

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Event Type"])

NamePath = Annotated[
    str, Path(alias="event_type_name", description="Name of the event type.", examples=["order.filled"])
]
FeatureFlags = Annotated[
    list[EventTypeName],
    Field(max_length=100),
    says("Application tokens see the event type only if they have one of these flags.", ["beta"]),
    RARE,
]
FeatureFlag = Annotated[EventTypeName, says("The older name, for one flag.", "beta"), OLD]
EventTypeDescription = Annotated[Description, says("When such a message is sent.", "An order was filled.")]
Schemas = Annotated[
    dict[str, Any],
    says(
        "JSON Schemas of the payload by version, starting with `1`.",
        {
            "1": {
                "type": "object",
                "required": ["id"],
                "properties": {"id": {"type": "string"}, "total": {"type": "integer"}},
                "examples": [{"id": "ord_1", "total": 4200}],
            }
        },
    ),
]
Archived = Annotated[
    Flag, says("Archived event types are not listed. Messages can still be sent.", False), RARE
]
Deprecated = Annotated[Flag, says("Shown to customers. It has no other effect.", False), RARE]
GroupName = Annotated[EventTypeName, says("Event types with the same group are shown together.", "order")]


class _Flags(Wire):
    feature_flags: FeatureFlags | None = None
    feature_flag: FeatureFlag | None = None

    def flags(self) -> tuple[str, ...]:
        if self.feature_flags is not None:
            return tuple(dict.fromkeys(self.feature_flags))
        return () if self.feature_flag is None else (self.feature_flag,)


class EventTypeUpsertIn(_Flags):
    """What replaces an event type."""

    description: EventTypeDescription
    schemas: Schemas | None = None
    archived: Archived = False
    deprecated: Deprecated = False
    group_name: GroupName | None = None

    def draft(self) -> EventTypeDraft:
        return EventTypeDraft(
            self.description, self.schemas, self.archived, self.deprecated, self.flags(), self.group_name
        )


class EventTypeIn(EventTypeUpsertIn):
    """An event type to create."""

    name: EventTypeName


class EventTypePatch(_Flags):
    """The fields of an event type that change. Null clears a field."""

    null_clears: ClassVar[bool] = True
    description: EventTypeDescription = ""
    schemas: Schemas | None = None
    archived: Archived = False
    deprecated: Deprecated = False
    group_name: GroupName | None = None

    def apply(self, draft: EventTypeDraft) -> EventTypeDraft:
        """Change the given fields; null clears a field."""
        changes: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if self.model_fields_set & {"feature_flags", "feature_flag"}:
            changes.pop("feature_flag", None)
            changes["feature_flags"] = self.flags()
        return replace(draft, **changes)


class EventTypeOut(Out):
    """A kind of message, with its description and schemas."""

    name: EventTypeName
    description: EventTypeDescription
    schemas: Schemas | None
    archived: Archived
    deprecated: Deprecated
    feature_flag: FeatureFlag | None
    feature_flags: FeatureFlags | None
    group_name: GroupName | None
    created_at: CreatedAt
    updated_at: UpdatedAt


def event_type_out(event_type: EventType, *, with_content: bool = True) -> EventTypeOut:
    """The event type as JSON."""
    flags = list(event_type.feature_flags)
    return EventTypeOut(
        name=event_type.name,
        description=event_type.description,
        schemas=event_type.schemas if with_content else None,
        archived=event_type.archived,
        deprecated=event_type.deprecated,
        feature_flag=flags[0] if flags else None,
        feature_flags=flags or None,
        group_name=event_type.group_name,
        created_at=wire_time(event_type.created_at),
        updated_at=wire_time(event_type.updated_at),
    )


# A leading - of an iterator means backwards, and a name may start with one: such a name gets a + in front.
def _iterator(event_type: EventType) -> str:
    return f"+{event_type.name}" if event_type.name.startswith("-") else event_type.name


def _name(iterator: str) -> str | None:
    name = iterator.removeprefix("+")
    return name if is_event_type(name) else None


@router.get("/event-type", operation_id="v1.event-type.list")
async def list_event_types(
    caller: AnyCaller,
    services: ServicesOf,
    paging: Annotated[Paging[str], paged_by(_name)],
    order: Order = ListOrder.ASCENDING,
    include_archived: Annotated[
        QueryFlag, Query(description="Include archived event types.", examples=[True])
    ] = False,
    with_content: Annotated[QueryFlag, Query(description="Include schemas.", examples=[True])] = False,
) -> Page[EventTypeOut]:
    """List event types.

    The event types of the organization, ordered by name. Application tokens do not see those whose feature
    flags they lack.
    """
    rows = await services.event_type.page(
        caller.org_id,
        paging.cursor,
        ascending=paging.ascending(order is ListOrder.ASCENDING),
        limit=paging.rows,
        include_archived=include_archived,
        flags=None if caller.app_id is None else caller.feature_flags,
    )
    return page(rows, paging, _iterator, lambda row: event_type_out(row, with_content=with_content))


@router.post("/event-type", operation_id="v1.event-type.create", status_code=201)
async def create_event_type(caller: OrgCaller, services: ServicesOf, body: EventTypeIn) -> EventTypeOut:
    """Create an event type.

    If an archived event type has the name, it is restored.
    """
    return event_type_out(await services.event_type.create(caller.org_id, body.name, body.draft()))


@router.get("/event-type/{event_type_name}", operation_id="v1.event-type.get")
async def get_event_type(caller: AnyCaller, services: ServicesOf, event_type_name: NamePath) -> EventTypeOut:
    """Get an event type.

    Archived event types are returned, too.
    """
    found = await services.event_type.find(caller.org_id, event_type_name)
    hidden = bool(found.feature_flags) and caller.feature_flags.isdisjoint(found.feature_flags)
    if caller.app_id is not None and hidden:
        raise NotFound()
    return event_type_out(found)


@router.put(
    "/event-type/{event_type_name}",
    operation_id="v1.event-type.upsert",
    responses={201: {"description": "There was no such event type, so it was created."}},
)
async def upsert_event_type(
    caller: OrgCaller, services: ServicesOf, event_type_name: NamePath, body: EventTypeUpsertIn
) -> Reply[EventTypeOut]:
    """Replace or create an event type.

    Fields that are missing get their defaults.
    """
    stored, made = await services.event_type.upsert(caller.org_id, event_type_name, body.draft())
    return Reply(event_type_out(stored), 201 if made else 200)


@router.patch("/event-type/{event_type_name}", operation_id="v1.event-type.patch")
async def patch_event_type(
    caller: OrgCaller, services: ServicesOf, event_type_name: NamePath, body: EventTypePatch
) -> EventTypeOut:
    """Update an event type.

    Only the given fields change. Null clears a field.
    """
    return event_type_out(await services.event_type.update(caller.org_id, event_type_name, body.apply))


@router.delete("/event-type/{event_type_name}", operation_id="v1.event-type.delete", status_code=204)
async def delete_event_type(
    caller: OrgCaller,
    services: ServicesOf,
    event_type_name: NamePath,
    expunge: Annotated[
        QueryFlag, Query(description="Delete it permanently instead of archiving it.", examples=[True])
    ] = False,
) -> None:
    """Archive an event type.

    Archived event types are not listed. With `expunge` it is deleted permanently.
    """
    verb = services.event_type.expunge if expunge else services.event_type.archive
    await verb(caller.org_id, event_type_name)
