"""All routes of the portal, for the application that serves them."""

from __future__ import annotations

from starlette.routing import BaseRoute

from angarium.portal import login, overview, static


def routes() -> list[BaseRoute]:
    """Pages, their actions and their files."""
    return [*static.routes(), *login.routes(), *overview.routes()]
