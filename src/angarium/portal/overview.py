"""The first page: how an application's webhooks are doing."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from angarium.portal.route import page
from angarium.portal.visit import Visit


async def show(visit: Visit) -> Response:
    return visit.render("overview.html", section="", heading="Overview")


def routes() -> list[Route]:
    return [page("", show)]
