"""All routes of the portal, for the application that serves them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from angarium.core.errors import NotFound
from angarium.portal import (
    admin_dead_letter,
    admin_page,
    audit_page,
    bulk,
    endpoint_code,
    endpoint_list,
    endpoint_new,
    endpoint_page,
    endpoint_recover,
    endpoint_secret,
    endpoint_settings,
    endpoint_test,
    event_type_page,
    inbox,
    login,
    message_list,
    message_page,
    operator,
    overview,
    play,
    static,
    task_page,
)
from angarium.portal.route import route


def routes() -> list[BaseRoute]:
    """Pages, their actions and their files."""
    return [
        *static.routes(),
        *login.routes(),
        *operator.routes(),
        *admin_page.routes(),
        *admin_dead_letter.routes(),
        *audit_page.routes(),
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
        *endpoint_settings.routes(),
        *endpoint_secret.routes(),
        *endpoint_test.routes(),
        *endpoint_recover.routes(),
        *endpoint_code.routes(),
        *event_type_page.routes(),
        route("/portal/{rest:path}", nowhere, "GET"),
        route("/admin/{rest:path}", nowhere, "GET"),
    ]


async def nowhere(_: Request) -> Response:
    """An address that no page has is a page too, not the API's answer."""
    raise NotFound()
