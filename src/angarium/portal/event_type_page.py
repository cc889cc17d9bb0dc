"""Pages of the catalogue of event types, and of one type: description, fields and subscribed endpoints."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from angarium.core.errors import NotFound
from angarium.core.nouns import Endpoint
from angarium.core.patterns import covers
from angarium.portal import event_choice, schema_tree
from angarium.portal.route import page
from angarium.portal.visit import Visit
from angarium.service.event_type import examples_of, schema_of

MAX_ENDPOINTS: Final = 500
_PAGE: Final = 100
MAX_EXAMPLES: Final = 5


async def catalogue(visit: Visit) -> Response:
    """All event types by group; `q` filters by part of a name or description."""
    wanted = visit.request.query_params.get("q", "").strip().lower()[:100]
    types = await event_choice.visible(visit, archived=True)
    shown = [one for one in types if wanted in one.name.lower() or wanted in one.description.lower()]
    return visit.render(
        "event_types.html",
        section="event-types",
        heading="Event types",
        groups=event_choice.groups(shown),
        wanted=wanted,
        total=len(types),
    )


async def show(visit: Visit) -> Response:
    """One event type."""
    found = await visit.services.event_type.find(visit.claims.org_id, visit.request.path_params["name"])
    if not event_choice.may_see(visit, found):
        raise NotFound()
    schema = schema_of(found)
    return visit.render(
        "event_type.html",
        section="event-types",
        heading=found.name,
        type=found,
        tree=schema_tree.tree(schema) if schema else None,
        raw=_text(_without_examples(schema)) if schema and set(_without_examples(schema)) > {"type"} else "",
        examples=[_text(one) for one in examples_of(found)[:MAX_EXAMPLES]],
        endpoints=[one for one in await _endpoints(visit) if covers(one.event_types, found.name)],
    )


async def _endpoints(visit: Visit) -> list[Endpoint]:
    """The application's endpoints, newest first."""
    found: list[Endpoint] = []
    while len(found) < MAX_ENDPOINTS:
        part = await visit.services.endpoint.page(
            visit.app_id, found[-1].id if found else None, ascending=False, limit=_PAGE
        )
        found += part
        if len(part) < _PAGE:
            break
    return found


def _without_examples(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("examples", "example")}


def _text(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def routes() -> list[Route]:
    return [page("/event-types", catalogue), page("/event-types/{name}", show)]
