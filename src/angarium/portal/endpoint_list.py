"""Page that lists the endpoints of an application with their health."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.portal.route import page
from angarium.portal.visit import Visit

ROWS: Final = 50


async def show(visit: Visit) -> Response:
    """Newest first; `before` and `after` are cursors."""
    query = visit.request.query_params
    before = ids.parse(ids.ENDPOINT, query.get("before", ""))
    after = ids.parse(ids.ENDPOINT, query.get("after", ""))
    upwards = after is not None and before is None
    cursor = after if upwards else before
    found = await visit.services.endpoint.page(visit.app_id, cursor, ascending=upwards, limit=ROWS + 1)
    more = len(found) > ROWS
    found = found[:ROWS]
    if upwards:
        found.reverse()
    newer, older = (more, True) if upwards else (cursor is not None, more)
    health = await visit.services.overview.health(visit.app_id, [one.id for one in found])
    first, last = (ids.text(ids.ENDPOINT, one.id) for one in (found[0], found[-1])) if found else ("", "")
    return visit.render(
        "endpoint_list.html",
        section="endpoints",
        heading="Endpoints",
        endpoints=[(one, health[one.id]) for one in found],
        newer=visit.path("endpoints", after=first) if newer and found else None,
        older=visit.path("endpoints", before=last) if older and found else None,
    )


def routes() -> list[Route]:
    return [page("/endpoints", show)]
