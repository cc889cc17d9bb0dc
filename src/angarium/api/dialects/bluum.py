"""Bluum's management API: webhooks, their event types and dead letters, with a key and secret as Basic auth.

Endpoints are called webhooks here, and `eventTypeNames` lists their event types. Only keys of the profile's
first scope are accepted. Operations that the product's document does not show (a single GET, rotate, enable,
attempts, dead letters) are additions of Angarium.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from angarium.api.auth import services_of
from angarium.api.dialects import bluum_form as form
from angarium.api.dialects.key import key_of
from angarium.api.dialects.route import answering, json_object
from angarium.api.field import wire_time
from angarium.api.query import ANY, takes
from angarium.clock import datetime_at
from angarium.core import canonical, ids
from angarium.core.errors import Invalid, NotAllowed, NotAuthenticated, NotFound
from angarium.core.log_filter import UNDELIVERED
from angarium.core.nouns import Application, Endpoint, EventType
from angarium.core.product import Product
from angarium.service.endpoint_field import EndpointDraft
from angarium.service.log import Window
from angarium.service.services import Services
from angarium.store.attempt import AttemptFilter
from angarium.store.message import Filter

MAX_TYPES: Final = 1000
MAX_REPLAYED: Final = 100
REPLAY_DAYS: Final = 14
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")

Route = answering(form.error_answer)


def router(product: Product, base_path: str) -> APIRouter:
    """The routes, below one of the product's base paths."""
    webhooks = _Webhooks(product)
    made = APIRouter(prefix=f"{base_path}/webhooks", route_class=Route, include_in_schema=False)
    for method, path, call, *query in (
        ("GET", "/event-types", webhooks.event_types),  # before the routes of one webhook
        ("POST", "", webhooks.create),
        ("GET", "", webhooks.page, "limit", "offset"),
        ("GET", "/{webhook_id}", webhooks.get),
        ("PATCH", "/{webhook_id}", webhooks.update),
        ("DELETE", "/{webhook_id}", webhooks.delete),
        ("POST", "/{webhook_id}/enable", webhooks.enable),
        ("POST", "/{webhook_id}/rotate-secret", webhooks.rotate),
        ("GET", "/{webhook_id}/attempts", webhooks.attempts, "limit", "starting_after"),
        ("GET", "/{webhook_id}/dead-letters", webhooks.dead_letters, "limit", "starting_after"),
        ("POST", "/{webhook_id}/dead-letters/replay", webhooks.replay),
        ("POST", "/{webhook_id}/dead-letters/{event_id}/replay", webhooks.replay_one),
    ):
        made.add_api_route(path, call, methods=[method], response_model=None, openapi_extra=takes(*query))
    for path in ("", "/{rest:path}"):
        made.add_api_route(
            path, webhooks.nothing, methods=list(_METHODS), response_model=None, openapi_extra=takes(ANY)
        )
    return made


class _Webhooks:
    """The operations, for one product."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self._ids = product.profile.ids
        self._management = product.profile.management

    async def event_types(self, request: Request) -> Response:
        services, application = await self._caller(request)
        types = await self._types(services, application)
        examples = {rule.name: rule.example for rule in self._product.profile.events}
        items = [
            {
                "object": "event_type",
                "name": one.name,
                "description": one.description,
                "domain": one.group_name,
                "example": examples.get(one.name),
            }
            for one in types
        ]
        return form.answer(form.list_form(request, items, has_more=False))

    async def create(self, request: Request) -> Response:
        services, application = await self._caller(request)
        body = await json_object(request)
        known = [one.name for one in await self._types(services, application)]
        types = self._types_of(body, known)
        url = form.text_of(body, "url")
        if not url:
            raise form.missing("url", "url is required: where events are sent, https://…")
        if types is None:
            field = self._management.types_field
            raise form.missing(field, f"{field} is required: a list of event types or wildcards.")
        draft = EndpointDraft(
            url=url,
            name=form.text_of(body, "name") or form.host_of(url),
            description=form.text_of(body, "description") or "",
            event_types=types,
            disabled=form.status_of(body) or False,
        )
        made = await services.endpoint.create(application, draft)
        shown = self._form(made) | {"secret": made.keys[0].secret}
        return form.answer(shown, self._management.create_status)

    async def page(self, request: Request) -> Response:
        services, application = await self._caller(request)
        limit = form.number_of(request, "limit", form.DEFAULT_LIMIT, 1, form.MAX_LIMIT)
        offset = form.number_of(request, "offset", 0, 0, form.MAX_OFFSET)
        found = await services.endpoint.page(application.id, None, ascending=False, limit=offset + limit + 1)
        items = [self._form(one) for one in found[offset : offset + limit]]
        return form.answer(form.list_form(request, items, has_more=len(found) > offset + limit))

    async def get(self, request: Request) -> Response:
        services, application = await self._caller(request)
        found = await services.endpoint.find(application.id, self._endpoint(request))
        return form.answer(self._form(found))

    async def update(self, request: Request) -> Response:
        services, application = await self._caller(request)
        ref = self._endpoint(request)
        body = await json_object(request)
        known = [one.name for one in await self._types(services, application)]
        types, disabled = self._types_of(body, known), form.status_of(body)
        changes: dict[str, Any] = {} if types is None else {"event_types": types}
        if disabled is not None:
            changes["disabled"] = disabled
        if (url := form.text_of(body, "url")) is not None:
            changes["url"] = url
        if (name := form.text_of(body, "name")) is not None:
            changes["name"] = name
        if "description" in body:
            changes["description"] = form.text_of(body, "description") or ""
        changed = await services.endpoint.update(application, ref, lambda draft: replace(draft, **changes))
        return form.answer(self._form(changed))

    async def delete(self, request: Request) -> Response:
        services, application = await self._caller(request)
        await services.endpoint.delete(application.id, self._endpoint(request))
        return Response(status_code=204)

    async def enable(self, request: Request) -> Response:
        services, application = await self._caller(request)
        enabled = await services.endpoint.update(
            application, self._endpoint(request), lambda draft: replace(draft, disabled=False)
        )
        return form.answer(self._form(enabled))

    async def rotate(self, request: Request) -> Response:
        """A new secret, shown only here; the old one also signs during the overlap."""
        services, application = await self._caller(request)
        ref, overlap = self._endpoint(request), self._product.profile.secrets.overlap_seconds
        key = await services.endpoint.rotate_secret(application.id, ref, None, overlap)
        until = datetime_at(services.clock.now() + overlap)
        found = await services.endpoint.find(application.id, ref)
        shown = {"secret": key.secret, "previous_secret_expires_at": wire_time(until)}
        return form.answer(self._form(found) | shown)

    async def attempts(self, request: Request) -> Response:
        services, application = await self._caller(request)
        ref, limit = self._endpoint(request), self._limit(request)
        found = await services.attempt.by_endpoint(
            application.id, ref, self._window(request, limit, self._ids.attempt), AttemptFilter(), Filter(),
            content=False,
        )  # fmt: skip
        public = request.path_params["webhook_id"]
        items = [
            form.attempt_form(self._ids.attempt, self._ids.message, public, one) for one in found[:limit]
        ]
        return form.answer(form.list_form(request, items, has_more=len(found) > limit))

    async def dead_letters(self, request: Request) -> Response:
        """What was given up or canceled, newest first."""
        services, application = await self._caller(request)
        ref, limit = self._endpoint(request), self._limit(request)
        found = await services.attempt.messages(
            application.id, ref, self._window(request, limit, self._ids.message), Filter(),
            statuses=UNDELIVERED, content=True,
        )  # fmt: skip
        public = request.path_params["webhook_id"]
        items = [form.dead_letter_form(self._ids.message, public, one) for one in found[:limit]]
        return form.answer(form.list_form(request, items, has_more=len(found) > limit))

    async def replay(self, request: Request) -> Response:
        """Send dead letters again: the named ones, or all since a time, in the background."""
        services, application = await self._caller(request)
        ref, body = self._endpoint(request), await json_object(request)
        chosen = form.event_ids(self._ids.message, body, MAX_REPLAYED)
        if chosen is not None:
            for one in chosen:
                await services.replay.resend(application.id, ids.text(ids.MESSAGE, one), ref)
            return form.answer({"object": "replay", "status": "queued", "count": len(chosen)}, 202)
        since = form.moment_of(body, "since")
        if since is None:
            since = datetime_at(services.clock.now()) - timedelta(days=REPLAY_DAYS)
        task = await services.replay.recover(
            application.org_id, application.id, ref, since, form.moment_of(body, "until")
        )
        shown = {"object": "replay", "id": ids.text("rpl_", task.id), "status": task.status}
        return form.answer(shown | {"since": wire_time(since)}, 202)

    async def replay_one(self, request: Request) -> Response:
        services, application = await self._caller(request)
        event = ids.parse(self._ids.message, request.path_params["event_id"])
        if event is None:
            raise NotFound("There is no such event.")
        await services.replay.resend(application.id, ids.text(ids.MESSAGE, event), self._endpoint(request))
        return form.answer({"object": "replay", "status": "queued", "count": 1}, 202)

    async def nothing(self, request: Request) -> Response:
        await self._caller(request)
        raise NotFound(f"There is no {request.method} at this path.", code="BLUM-404-002")

    async def _caller(self, request: Request) -> tuple[Services, Application]:
        """Whose key it is. Raises NotAuthenticated, or NotAllowed when it may not manage webhooks."""
        if not request.headers.get("authorization"):
            raise NotAuthenticated(
                "Missing authorization header: send Authorization: Basic base64(API_KEY:API_SECRET).",
                code="BLUM-401-001",
            )
        try:
            key = await key_of(request, self._product)
        except NotAuthenticated:
            if not _well_formed(request.headers["authorization"]):
                raise NotAuthenticated(
                    "Malformed authorization header: it is Basic and base64 of API_KEY:API_SECRET.",
                    code="BLUM-401-002",
                ) from None
            raise NotAuthenticated("Invalid API key or secret.", code="BLUM-401-003") from None
        scopes = self._management.scopes
        if scopes and key.scope != scopes[0]:
            raise NotAllowed(
                f"Webhooks are managed with {scopes[0]}-level keys; this one is {key.scope}-scoped."
            )
        if key.app_id is None:
            raise NotAllowed("This key belongs to no tenant.")
        services = services_of(request)
        return services, await services.application.find(key.org_id, ids.text(ids.APPLICATION, key.app_id))

    async def _types(self, services: Services, application: Application) -> list[EventType]:
        """The event types in use, in the order of the catalogue; later ones after it."""
        found = await services.event_type.page(
            application.org_id, None, ascending=True, limit=MAX_TYPES, include_archived=False, flags=()
        )
        place = {rule.name: index for index, rule in enumerate(self._product.profile.events)}
        return sorted(found, key=lambda one: place.get(one.name, len(place)))

    def _endpoint(self, request: Request) -> str:
        """The reference of the webhook in the path. Raises NotFound."""
        found = ids.parse(self._ids.endpoint, request.path_params["webhook_id"])
        if found is None:
            raise NotFound("There is no such webhook.")
        return ids.text(ids.ENDPOINT, found)

    def _types_of(self, body: Mapping[str, Any], known: Sequence[str]) -> tuple[str, ...] | None:
        management = self._management
        return form.types_of(body, management.types_field, known, wildcards=management.wildcards)

    def _form(self, endpoint: Endpoint) -> dict[str, Any]:
        return form.endpoint_form(self._ids.endpoint, self._management.types_field, endpoint)

    def _limit(self, request: Request) -> int:
        return form.number_of(request, "limit", form.DEFAULT_LIMIT, 1, form.MAX_LIMIT)

    def _window(self, request: Request, limit: int, prefix: str) -> Window:
        """Newest first, from after the item that `starting_after` names. Raises Invalid."""
        after = request.query_params.get("starting_after")
        cursor = ids.parse(prefix, after) if after else None
        if after and cursor is None:
            raise Invalid.field("starting_after", "starting_after must be an id of this list.", where="query")
        return Window(limit + 1, cursor)


def _well_formed(authorization: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    try:
        return scheme.lower() == "basic" and b":" in canonical.standard(given.strip())
    except ValueError:
        return False
