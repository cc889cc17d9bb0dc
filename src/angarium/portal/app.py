"""All routes of the portal, for the application that serves them."""

from __future__ import annotations

from starlette.routing import BaseRoute

from angarium.portal import (
    bulk,
    endpoint_list,
    endpoint_new,
    endpoint_page,
    inbox,
    login,
    message_list,
    message_page,
    overview,
    play,
    static,
    task_page,
)


def routes() -> list[BaseRoute]:
    """Pages, their actions and their files."""
    return [
        *static.routes(),
        *login.routes(),
        *overview.routes(),
        *message_list.routes(),
        *bulk.routes(),
        *message_page.routes(),
        *task_page.routes(),
        *play.routes(),
        *inbox.routes(),
        *endpoint_list.routes(),
        *endpoint_new.routes(),
        *endpoint_page.routes(),
    ]
