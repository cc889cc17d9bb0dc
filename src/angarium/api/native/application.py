"""`/app`: applications."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar
from uuid import UUID

from fastapi import APIRouter, Query
from msgspec import UNSET, UnsetType
from pydantic import Field

from angarium.api.answer import Out, Reply
from angarium.api.auth import AppOf, AppRef, OrgCaller, ServicesOf
from angarium.api.body import Wire
from angarium.api.field import (
    ApplicationId,
    ApplicationName,
    ApplicationUid,
    CreatedAt,
    Metadata,
    OldRate,
    Rate,
    UpdatedAt,
    wire_time,
)
from angarium.api.listing import ListOrder, Order, Page, Paging, page, paged
from angarium.api.query import QueryFlag
from angarium.api.route import API_PATH, WireRoute
from angarium.core import ids
from angarium.core.errors import FieldError, Invalid
from angarium.core.nouns import Application
from angarium.service.application import ApplicationDraft
from angarium.store.application import ApplicationFilter

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Application"])


class ThrottledWire(Wire):
    """A body with a rate limit. Of two names the newer wins."""

    throttle_rate: Rate | None = None
    rate_limit: OldRate | None = None

    @property
    def throttle_given(self) -> bool:
        return self.given("throttle_rate") or self.given("rate_limit")

    @property
    def throttle(self) -> int | None:
        return self.throttle_rate if self.given("throttle_rate") else self.rate_limit


class ApplicationIn(ThrottledWire):
    """An application to create, or what replaces one."""

    name: ApplicationName
    uid: ApplicationUid | None = None
    metadata: Metadata = Field(default_factory=dict)

    def draft(self) -> ApplicationDraft:
        return ApplicationDraft(self.name, self.uid, self.throttle, self.metadata)

    def check_uid(self, ref: str, *place: str | int) -> None:
        """Raises Invalid unless an application made of this is the one that a path calls `ref`."""
        if self.uid is None:
            words = "The uid of the application is required."
            raise Invalid(FieldError((*place, "uid"), words, "application_uid_missing"))
        if self.uid != ref:
            words = "The uid of the application must be the one in the path."
            raise Invalid(FieldError((*place, "uid"), words, "application_uid_mismatch"))


class ApplicationPatch(ThrottledWire):
    """The fields of an application that change. Null clears a field."""

    null_clears: ClassVar[bool] = True
    name: ApplicationName = ""
    uid: ApplicationUid | None = None
    metadata: Metadata | None = None

    def apply(self, draft: ApplicationDraft) -> ApplicationDraft:
        """Change the given fields; null clears a field."""
        changes: dict[str, Any] = {name: getattr(self, name) for name in ("name", "uid") if self.given(name)}
        if self.given("metadata"):
            changes["metadata"] = self.metadata or {}
        if self.throttle_given:
            changes["rate_limit"] = self.throttle
        return replace(draft, **changes)


class ApplicationOut(Out, kw_only=True):
    """One of your customers, who receives messages at the endpoints of the application."""

    id: ApplicationId
    uid: ApplicationUid | UnsetType = UNSET
    name: ApplicationName
    rate_limit: OldRate | None
    throttle_rate: Rate | None
    metadata: Metadata
    created_at: CreatedAt
    updated_at: UpdatedAt


def application_out(application: Application) -> ApplicationOut:
    """The application as JSON. As at Svix, the uid is left out when there is none."""
    return ApplicationOut(
        id=public_id(application),
        uid=UNSET if application.uid is None else application.uid,
        name=application.name,
        rate_limit=application.rate_limit,
        throttle_rate=application.rate_limit,
        metadata=application.metadata,
        created_at=wire_time(application.created_at),
        updated_at=wire_time(application.updated_at),
    )


def public_id(application: Application) -> str:
    return ids.text(ids.APPLICATION, application.id)


@router.get("/app", operation_id="v1.application.list")
async def list_applications(
    caller: OrgCaller,
    services: ServicesOf,
    paging: Annotated[Paging[UUID], paged(ids.APPLICATION)],
    order: Order = ListOrder.ASCENDING,
    exclude_apps_with_no_endpoints: Annotated[
        QueryFlag, Query(description="Leave out applications without an endpoint.", examples=[True])
    ] = False,
    exclude_apps_with_disabled_endpoints: Annotated[
        QueryFlag,
        Query(description="Leave out applications whose endpoints are all disabled.", examples=[True]),
    ] = False,
    exclude_apps_with_svix_play_endpoints: Annotated[
        QueryFlag,
        Query(
            description="Leave out applications whose endpoints are all temporary Play inboxes.",
            examples=[True],
        ),
    ] = False,
) -> Page[ApplicationOut]:
    """List applications.

    The applications of the organization, in order of creation.
    """
    wanted = ApplicationFilter(
        with_endpoints=exclude_apps_with_no_endpoints,
        not_all_disabled=exclude_apps_with_disabled_endpoints,
        not_all_below=services.play.prefixes if exclude_apps_with_svix_play_endpoints else (),
    )
    ascending = order is ListOrder.ASCENDING
    rows = await services.application.page(
        caller.org_id,
        paging.cursor,
        ascending=paging.ascending(ascending),
        limit=paging.rows,
        wanted=wanted,
    )
    return page(rows, paging, public_id, application_out)


@router.post(
    "/app",
    operation_id="v1.application.create",
    status_code=201,
    responses={200: {"description": "The application existed, and `get_if_exists` was given."}},
)
async def create_application(
    caller: OrgCaller,
    services: ServicesOf,
    body: ApplicationIn,
    get_if_exists: Annotated[
        QueryFlag, Query(description="Return the existing application with this uid.", examples=[True])
    ] = False,
) -> Reply[ApplicationOut]:
    """Create an application.

    Create one for each of your customers. If another application has the `uid`, the response is 409, or with
    `get_if_exists` that application, unchanged.
    """
    made = True
    if get_if_exists and body.uid is not None:
        application, made = await services.application.ensure(caller.org_id, body.uid, body.draft())
    else:
        application = await services.application.create(caller.org_id, body.draft())
    return Reply(application_out(application), 201 if made else 200)


@router.get("/app/{app_id}", operation_id="v1.application.get")
async def get_application(application: AppOf) -> ApplicationOut:
    """Get an application.

    Application tokens get their own application, and 404 for all others.
    """
    return application_out(application)


@router.put(
    "/app/{app_id}",
    operation_id="v1.application.upsert",
    responses={201: {"description": "There was no such application, so it was created."}},
)
async def upsert_application(
    caller: OrgCaller, services: ServicesOf, app_id: AppRef, body: ApplicationIn
) -> Reply[ApplicationOut]:
    """Replace or create an application.

    Fields that are missing get their defaults. If the application does not exist, it is created with the uid
    of the body, not of the path.
    """
    application, made = await services.application.upsert(caller.org_id, app_id, body.draft())
    return Reply(application_out(application), 201 if made else 200)


@router.patch("/app/{app_id}", operation_id="v1.application.patch")
async def patch_application(
    caller: OrgCaller, services: ServicesOf, app_id: AppRef, body: ApplicationPatch
) -> ApplicationOut:
    """Update an application.

    Only the given fields change. Null clears a field.
    """
    return application_out(await services.application.update(caller.org_id, app_id, body.apply))


@router.delete("/app/{app_id}", operation_id="v1.application.delete", status_code=204)
async def delete_application(caller: OrgCaller, services: ServicesOf, app_id: AppRef) -> None:
    """Delete an application.

    Deliveries to its endpoints stop. Its uid can be used again.
    """
    await services.application.delete(caller.org_id, app_id)
