"""`/app`: applications."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import JSONResponse, Response

from angarium.api.auth import AppOf, AppRef, OrgCaller, ServicesOf
from angarium.api.body import Wire
from angarium.api.field import OLD, ApplicationUid, Metadata, Name, Rate, wire_time
from angarium.api.listing import ListOrder, Paging, page, paged
from angarium.api.query import QueryFlag
from angarium.api.route import WireRoute
from angarium.core import ids
from angarium.core.errors import FieldError, Invalid
from angarium.core.nouns import Application
from angarium.service.application import ApplicationDraft
from angarium.store.application import ApplicationFilter


class ThrottledWire(Wire):
    """A body with a rate limit. Of two names the newer wins."""

    throttle_rate: Rate | None = None
    """Deliveries per second to one endpoint. An endpoint without a limit uses that of its application."""
    rate_limit: Rate | None = Field(None, json_schema_extra=OLD)
    """The older name of `throttleRate`."""

    @property
    def throttle_given(self) -> bool:
        return self.given("throttle_rate") or self.given("rate_limit")

    @property
    def throttle(self) -> int | None:
        return self.throttle_rate if self.given("throttle_rate") else self.rate_limit


router = APIRouter(route_class=WireRoute, tags=["Application"])


class ApplicationIn(ThrottledWire):
    name: Name
    """A display name."""
    uid: ApplicationUid | None = None
    """Your own id. It can be used in place of `id`."""
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
    null_clears: ClassVar[bool] = True
    name: Name = ""
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


class ApplicationOut(Wire):
    id: str
    uid: str | None = None
    name: str
    rate_limit: int | None
    throttle_rate: int | None
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime


class ListOfApplications(Wire):
    data: list[ApplicationOut]
    iterator: str | None
    prev_iterator: str | None = None
    done: bool


def wire(application: Application) -> dict[str, Any]:
    """The application as JSON. As at Svix, the uid is left out when there is none."""
    uid = {} if application.uid is None else {"uid": application.uid}
    return uid | {
        "id": public_id(application),
        "name": application.name,
        "rateLimit": application.rate_limit,
        "throttleRate": application.rate_limit,
        "metadata": application.metadata,
        "createdAt": wire_time(application.created_at),
        "updatedAt": wire_time(application.updated_at),
    }


def public_id(application: Application) -> str:
    return ids.text(ids.APPLICATION, application.id)


@router.get("/app", operation_id="v1.application.list", response_model=ListOfApplications)
async def list_applications(
    caller: OrgCaller,
    services: ServicesOf,
    paging: Annotated[Paging[UUID], paged(ids.APPLICATION)],
    order: ListOrder = ListOrder.ASCENDING,
    exclude_apps_with_no_endpoints: Annotated[
        QueryFlag, Query(description="Leave out applications without an endpoint.")
    ] = False,
    exclude_apps_with_disabled_endpoints: Annotated[
        QueryFlag, Query(description="Leave out applications whose endpoints are all disabled.")
    ] = False,
    exclude_apps_with_svix_play_endpoints: Annotated[
        QueryFlag,
        Query(description="Leave out applications whose endpoints are all temporary Play inboxes."),
    ] = False,
) -> Response:
    """The organization's applications, in order of creation."""
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
    return JSONResponse(page(rows, paging, public_id, wire))


@router.post(
    "/app",
    operation_id="v1.application.create",
    status_code=201,
    response_model=ApplicationOut,
    responses={200: {"model": ApplicationOut, "description": "It existed and `get_if_exists` was given"}},
)
async def create_application(
    caller: OrgCaller,
    services: ServicesOf,
    body: ApplicationIn,
    get_if_exists: Annotated[
        QueryFlag, Query(description="Return the existing application with this uid.")
    ] = False,
) -> Response:
    """Create an application."""
    if get_if_exists and body.uid is not None:
        application, made = await services.application.ensure(caller.org_id, body.uid, body.draft())
        return JSONResponse(wire(application), 201 if made else 200)
    return JSONResponse(wire(await services.application.create(caller.org_id, body.draft())), 201)


@router.get("/app/{app_id}", operation_id="v1.application.get", response_model=ApplicationOut)
async def get_application(application: AppOf) -> Response:
    """One application."""
    return JSONResponse(wire(application))


@router.put(
    "/app/{app_id}",
    operation_id="v1.application.upsert",
    response_model=ApplicationOut,
    responses={201: {"model": ApplicationOut, "description": "Created"}},
)
async def upsert_application(
    caller: OrgCaller, services: ServicesOf, app_id: AppRef, body: ApplicationIn
) -> Response:
    """Replace an application, or create one with the uid of the body (not of the path)."""
    application, made = await services.application.upsert(caller.org_id, app_id, body.draft())
    return JSONResponse(wire(application), 201 if made else 200)


@router.patch("/app/{app_id}", operation_id="v1.application.patch", response_model=ApplicationOut)
async def patch_application(
    caller: OrgCaller, services: ServicesOf, app_id: AppRef, body: ApplicationPatch
) -> Response:
    """Update only the given fields."""
    return JSONResponse(wire(await services.application.update(caller.org_id, app_id, body.apply)))


@router.delete("/app/{app_id}", operation_id="v1.application.delete", status_code=204)
async def delete_application(caller: OrgCaller, services: ServicesOf, app_id: AppRef) -> Response:
    """Delete an application. Deliveries to its endpoints stop. Its uid can be used again."""
    await services.application.delete(caller.org_id, app_id)
    return Response(status_code=204)
