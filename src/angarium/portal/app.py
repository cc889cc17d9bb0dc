"""All routes of the portal, for the application that serves them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from angarium.core.errors import NotFound
from angarium.portal.customer import (
    alert_link,
    audit,
    code_sample,
    contact,
    endpoint,
    endpoint_secret,
    endpoint_settings,
    endpoint_test,
    event_type,
    login,
    message,
    message_list,
    overview,
    resend,
    usage,
)
from angarium.portal.kit import render
from angarium.portal.kit.route import route
from angarium.portal.operator import page as operator_page
from angarium.portal.operator import quota as operator_quota
from angarium.portal.operator import visit as operator_visit
from angarium.portal.play import inbox, receive


def routes() -> list[BaseRoute]:
    """Pages, their actions and their files."""
    return [
        *render.routes(),
        *login.routes(),
        *operator_visit.routes(),
        *operator_page.routes(),
        *operator_quota.routes(),
        *audit.routes(),
        *contact.routes(),
        *alert_link.routes(),
        *overview.routes(),
        *usage.routes(),
        *message_list.routes(),
        *resend.routes(),
        *message.routes(),
        *inbox.routes(),
        *receive.routes(),
        *endpoint_settings.routes(),
        *endpoint.routes(),
        *endpoint_secret.routes(),
        *endpoint_test.routes(),
        *code_sample.routes(),
        *event_type.routes(),
        route("/portal/{rest:path}", nowhere, "GET"),
        route("/admin/{rest:path}", nowhere, "GET"),
        route("/alerts/{rest:path}", nowhere, "GET"),
    ]


async def nowhere(_: Request) -> Response:
    """An address that no page has is a page too, not the API's answer."""
    raise NotFound()
