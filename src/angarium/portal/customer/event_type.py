"""Pages of the catalogue of event types, and of one type: description, fields and subscribed endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from angarium.core.errors import NotFound
from angarium.core.nouns import Endpoint, EventType
from angarium.core.patterns import covers
from angarium.portal.customer import schema_tree
from angarium.portal.kit.route import page
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit
from angarium.service.event_type import examples_of, schema_of

MAX_ENDPOINTS: Final = 500
_ENDPOINTS_PAGE: Final = 100
MAX_EXAMPLES: Final = 5
MAX_SHOWN: Final = 2000  # event types on a page
_PAGE: Final = 250


async def catalogue(visit: Visit) -> Response:
    """All event types by group; `q` filters by part of a name or description."""
    wanted = visit.request.query_params.get("q", "").strip().lower()[:100]
    types = await visible(visit, archived=True)
    shown = [one for one in types if wanted in one.name.lower() or wanted in one.description.lower()]
    return visit.render(
        "customer/event_type_list.html",
        section="event-types",
        heading=t("types_page.title"),
        groups=groups(shown),
        wanted=wanted,
        total=len(types),
    )


async def show(visit: Visit) -> Response:
    """One event type."""
    found = await visit.services.event_type.find(visit.claims.org_id, visit.request.path_params["name"])
    if not may_see(visit, found):
        raise NotFound()
    schema = schema_of(found)
    return visit.render(
        "customer/event_type.html",
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
            visit.app_id, found[-1].id if found else None, ascending=False, limit=_ENDPOINTS_PAGE
        )
        found += part
        if len(part) < _ENDPOINTS_PAGE:
            break
    return found


def _without_examples(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in ("examples", "example")}


def _text(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


# dialects that can express "every type" without a wildcard


async def visible(visit: Visit, *, archived: bool = False) -> list[EventType]:
    """The event types that this visitor may see, by name."""
    found: list[EventType] = []
    while len(found) < MAX_SHOWN:
        page = await visit.services.event_type.page(
            visit.claims.org_id,
            found[-1].name if found else None,
            ascending=True,
            limit=_PAGE,
            include_archived=archived,
            flags=visit.claims.feature_flags,
        )
        found += page
        if len(page) < _PAGE:
            break
    return found


def groups(types: Iterable[EventType]) -> dict[str, list[EventType]]:
    """Event types by group; groups are sorted."""
    found: dict[str, list[EventType]] = {}
    for one in types:
        found.setdefault(one.group_name or domain(one.name), []).append(one)
    return dict(sorted(found.items()))


def may_see(visit: Visit, one: EventType) -> bool:
    """Whether the link's feature flags allow this event type."""
    return not one.feature_flags or not visit.claims.feature_flags.isdisjoint(one.feature_flags)


def domain(name: str) -> str:
    return name.partition(".")[0]


def routes() -> list[Route]:
    return [page("/event-types", catalogue), page("/event-types/{name}", show)]
