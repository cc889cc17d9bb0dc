"""Bluma's management API: `/webhooks` below the product's base paths, with Bearer keys.

A key manages the webhooks of its own application, if its scope is the profile's first. Bodies are JSON
whatever Content-Type says. A secret is shown by the call that made it and never again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from angarium.api.auth import services_of
from angarium.api.dialects.bluma_wire import Route, delivery, iso, webhook
from angarium.api.dialects.key import key_of
from angarium.api.dialects.route import json_object
from angarium.api.query import ANY, takes
from angarium.clock import datetime_at
from angarium.core import ids, timestamp
from angarium.core.errors import BadRequest, Invalid, NotAllowed, NotFound
from angarium.core.nouns import Application
from angarium.core.patterns import is_wildcard
from angarium.core.product import Product
from angarium.service.endpoint_field import EndpointDraft
from angarium.service.log import Window
from angarium.service.services import Services
from angarium.store.attempt import AttemptFilter

MAX_EVENTS: Final = 100
MAX_DESCRIPTION: Final = 1000
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 250
_MISTAKEN: Final = ("eventTypes", "event_types", "eventTypeNames", "filterTypes")
_CHANGEABLE: Final = frozenset(["url", "events", "description", "is_active"])
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def router(product: Product, base_path: str) -> APIRouter:
    """The routes of a product of this shape."""
    routes = _Routes(product)
    made = APIRouter(prefix=base_path, route_class=Route, include_in_schema=False)
    one = "/webhooks/{webhook_id}"
    paged = ("limit", "order", "cursor")
    for method, path, endpoint, *query in (
        ("POST", "/webhooks", routes.create),
        ("GET", "/webhooks", routes.page, *paged),
        ("GET", one, routes.get),
        ("PATCH", one, routes.update),
        ("DELETE", one, routes.delete),
        ("GET", f"{one}/deliveries", routes.deliveries, *paged),
        ("POST", f"{one}/enable", routes.enable),
        ("POST", f"{one}/recover", routes.recover),
        ("POST", f"{one}/regenerate-secret", routes.regenerate),
        ("POST", f"{one}/activate-secret", routes.activate),
    ):
        name = f"{product.name}.{endpoint.__name__}"
        made.add_api_route(path, endpoint, methods=[method], name=name, openapi_extra=takes(*query))
    for path in ("/webhooks", "/webhooks/{rest:path}"):
        made.add_api_route(path, routes.nothing, methods=_METHODS, openapi_extra=takes(ANY))
    return made


class _Routes:
    def __init__(self, product: Product) -> None:
        self._product = product
        self._management = product.profile.management

    async def create(self, request: Request) -> Response:
        services, application = await self._caller(request)
        body = await json_object(request)
        draft = await self._draft(services, application, EndpointDraft(url=""), body, new=True)
        made = await services.endpoint.create(application, draft)
        shown = webhook(self._product, made, services.clock.now())
        answer = {key: shown[key] for key in ("id", "url", "events")}
        answer["secret"] = made.keys[0].secret
        answer |= {key: shown[key] for key in ("is_active", "created_at")}
        return _secret({**answer, "warning": self._management.warning}, self._management.create_status)

    async def page(self, request: Request) -> Response:
        services, application = await self._caller(request)
        limit, ascending, cursor = self._paging(request, self._product.profile.ids.endpoint)
        found = await services.endpoint.page(application.id, cursor, ascending=ascending, limit=limit + 1)
        now = services.clock.now()
        rows = [webhook(self._product, endpoint, now) for endpoint in found[:limit]]
        return JSONResponse({"webhooks": rows, **_more(rows, len(found) > limit)})

    async def get(self, request: Request) -> Response:
        services, application = await self._caller(request)
        found = await services.endpoint.find(application.id, self._ref(request))
        return JSONResponse(webhook(self._product, found, services.clock.now()))

    async def update(self, request: Request) -> Response:
        services, application = await self._caller(request)
        ref, body = self._ref(request), await json_object(request)
        if not body.keys() & _CHANGEABLE:
            raise BadRequest("Nothing to change: send url, events, description or is_active.")
        found = await services.endpoint.find(application.id, ref)
        blank = EndpointDraft(found.url, event_types=found.event_types)
        wanted = await self._draft(services, application, blank, body, new=False)

        def change(before: EndpointDraft) -> EndpointDraft:
            return replace(
                before,
                url=wanted.url if "url" in body else before.url,
                event_types=wanted.event_types if "events" in body else before.event_types,
                description=wanted.description if "description" in body else before.description,
                disabled=wanted.disabled if "is_active" in body else before.disabled,
            )

        return await self._changed(services, application, ref, change)

    async def delete(self, request: Request) -> Response:
        services, application = await self._caller(request)
        await services.endpoint.delete(application.id, self._ref(request))
        return Response(status_code=204)

    async def enable(self, request: Request) -> Response:
        """Enable the webhook and reset its failure count. Canceled messages can be recovered."""
        services, application = await self._caller(request)
        return await self._changed(
            services, application, self._ref(request), lambda before: replace(before, disabled=False)
        )

    async def recover(self, request: Request) -> Response:
        """Send again what was given up or canceled since a time: what a disabled webhook missed."""
        services, application = await self._caller(request)
        ref, body = self._ref(request), await json_object(request)
        given = body.get("since")
        try:
            since = timestamp.parse(given if isinstance(given, str) else "")
        except ValueError:
            raise Invalid.field("since", "A time is needed, such as 2025-11-03T10:30:00Z.") from None
        await services.replay.recover(application.org_id, application.id, ref, since, None)
        shown = {"id": request.path_params["webhook_id"], "status": "recovering", "since": iso(since)}
        return JSONResponse(shown, 202)

    async def regenerate(self, request: Request) -> Response:
        """A new secret. The header that has room for one signature keeps the old one until the new one is
        activated or the overlap ends, unless the caller wants it replaced at once."""
        services, application = await self._caller(request)
        ref, body = self._ref(request), await json_object(request)
        immediate = body.get("immediate", False)
        if not isinstance(immediate, bool):
            raise Invalid.field("immediate", "This must be true or false.")
        secrets = self._product.profile.secrets
        key = await services.endpoint.rotate_secret(
            application.id,
            ref,
            None,
            0.0 if immediate else secrets.overlap_seconds,
            two_phase=secrets.rotation == "two_phase",
        )
        waits = key.active_at is not None and key.active_at > services.clock.now()
        answer: dict[str, Any] = {
            "id": request.path_params["webhook_id"],
            "secret": key.secret,
            "status": "pending" if waits else "active",
        }
        if waits and key.active_at is not None:
            answer["active_at"] = iso(datetime_at(key.active_at))
        return _secret({**answer, "warning": self._management.warning}, 200)

    async def activate(self, request: Request) -> Response:
        services, application = await self._caller(request)
        found = await services.endpoint.activate_secret(application.id, self._ref(request))
        return JSONResponse(webhook(self._product, found, services.clock.now()))

    async def deliveries(self, request: Request) -> Response:
        """Every attempt made, newest first; also when the webhook is disabled."""
        services, application = await self._caller(request)
        limit, ascending, cursor = self._paging(request, self._product.profile.ids.attempt)
        window = Window(limit + 1, cursor, backwards=ascending)
        found = await services.attempt.log(application.id, self._ref(request), window, AttemptFilter())
        rows = [delivery(self._product, one) for one in found[:limit]]
        return JSONResponse({"deliveries": rows, **_more(rows, len(found) > limit)})

    async def nothing(self, request: Request) -> Response:
        await self._caller(request)
        raise NotFound(f"There is no {request.method} {request.url.path}.")

    async def _caller(self, request: Request) -> tuple[Services, Application]:
        """The services and the application that the key is for. Raises NotAuthenticated or NotAllowed."""
        key = await key_of(request, self._product)
        if key.app_id is None or key.scope not in self._management.scopes[:1]:
            raise NotAllowed()
        services = services_of(request)
        return services, await services.application.find(key.org_id, ids.text(ids.APPLICATION, key.app_id))

    def _ref(self, request: Request) -> str:
        """The id in the path in the form that services know. Raises NotFound."""
        shown: str = request.path_params["webhook_id"]
        found = ids.parse(self._product.profile.ids.endpoint, shown)
        if found is None:
            raise NotFound(f"There is no webhook {shown[:100]!r}.")
        return ids.text(ids.ENDPOINT, found)

    async def _changed(self, services: Services, application: Application, ref: str, change: Any) -> Response:
        changed = await services.endpoint.update(application, ref, change)
        return JSONResponse(webhook(self._product, changed, services.clock.now()))

    async def _draft(
        self,
        services: Services,
        application: Application,
        before: EndpointDraft,
        body: dict[str, Any],
        *,
        new: bool,
    ) -> EndpointDraft:
        """What the body says over what was. Raises Invalid."""
        url = body.get("url", before.url)
        if not isinstance(url, str) or not url:
            raise Invalid.field("url", "The URL to send to is needed, as text.")
        description = body.get("description", "")
        if not isinstance(description, str) or len(description) > MAX_DESCRIPTION:
            raise Invalid.field(
                "description", f"A description is text of at most {MAX_DESCRIPTION} characters."
            )
        active = body.get("is_active", True)
        if not isinstance(active, bool):
            raise Invalid.field("is_active", "This must be true or false.")
        events = before.event_types
        if "events" in body or new:
            events = await self._events(services, application, body)
        return replace(before, url=url, description=description, event_types=events, disabled=not active)

    async def _events(
        self, services: Services, application: Application, body: dict[str, Any]
    ) -> tuple[str, ...]:
        wanted = body.get("events")
        known = await services.event_type.page(
            application.org_id, None, ascending=True, limit=1000, include_archived=False, flags=None
        )
        names = [event_type.name for event_type in known]
        valid = f"Valid event types: {', '.join(names)}."
        if wanted is None and (mistaken := next((name for name in _MISTAKEN if name in body), None)):
            raise Invalid.field("events", f"The field is called events, not {mistaken}. {valid}")
        if not isinstance(wanted, list) or not wanted or not all(isinstance(name, str) for name in wanted):
            raise Invalid.field("events", f"A list of at least one event type is needed. {valid}")
        if len(wanted) > MAX_EVENTS:
            raise Invalid.field("events", f"At most {MAX_EVENTS} event types.")
        patterns = self._management.wildcards
        unknown = [n for n in wanted if n not in names and not (patterns and is_wildcard(n))]
        if unknown:
            said = ", ".join(repr(name[:100]) for name in unknown[:10])
            raise Invalid.field("events", f"Unknown event type {said}. {valid}")
        return tuple(dict.fromkeys(wanted))

    def _paging(self, request: Request, prefix: str) -> tuple[int, bool, UUID | None]:
        """Limit, whether oldest first, and where to continue. Raises Invalid."""
        query = request.query_params
        given = query.get("limit", str(DEFAULT_LIMIT))
        if not (given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= MAX_LIMIT):
            raise Invalid.field("limit", f"A number from 1 to {MAX_LIMIT}.", where="query")
        usual = "asc" if self._management.order == "ascending" else "desc"
        order = query.get("order", usual)
        if order not in ("asc", "desc"):
            raise Invalid.field("order", "asc or desc.", where="query")
        cursor = None
        if "cursor" in query and (cursor := ids.parse(prefix, query["cursor"])) is None:
            raise Invalid.field("cursor", "Not the next_cursor of an earlier page.", where="query")
        return int(given), order == "asc", cursor


def _more(rows: list[dict[str, Any]], more: bool) -> dict[str, Any]:
    return {"next_cursor": rows[-1]["id"] if more else None, "has_more": more}


def _secret(body: dict[str, Any], status: int) -> Response:
    return JSONResponse(body, status, {"cache-control": "no-store"})
