"""Operator pages: applications, endpoints by health, message search and the audit log."""

from __future__ import annotations

from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.portal import audit_words
from angarium.portal.audit_page import naming, noun_of, records
from angarium.portal.operator import OperatorVisit, operator_page
from angarium.service.operator import EndpointStatus

ROWS = 50
HEALTH = {
    EndpointStatus.FAILING: "Failing",
    EndpointStatus.DISABLED: "Disabled",
    EndpointStatus.HEALTHY: "Healthy",
}


async def applications(visit: OperatorVisit) -> Response:
    """All applications, newest first, or the results of a search."""
    wanted, newer, older = visit.asked("q")[:256], None, None
    if wanted:
        found = await visit.services.operator.search(visit.org_id, wanted, limit=ROWS)
    else:
        after, before = (ids.parse(ids.APPLICATION, visit.asked(name)) for name in ("after", "before"))
        found = await visit.services.operator.applications(
            visit.org_id, after or before, backwards=after is not None, limit=ROWS + 1
        )
        more, found = len(found) > ROWS, found[:ROWS]
        if after is not None:
            found.reverse()
        if found:
            first, last = (ids.text(ids.APPLICATION, found[at].application.id) for at in (0, -1))
            newer = visit.path(after=first) if (more if after else before) else None
            older = visit.path(before=last) if after or more else None
    return visit.render(
        "admin_applications.html",
        section="",
        heading="Applications",
        wanted=wanted,
        found=found,
        newer=newer,
        older=older,
        application_ref=application_ref,
    )


async def endpoints(visit: OperatorVisit) -> Response:
    """The endpoints of one health; failing ones by default."""
    health = next(
        (one for one in EndpointStatus if one.value == visit.asked("health")), EndpointStatus.FAILING
    )
    found = await visit.services.operator.endpoints(
        visit.org_id, health, visit.asked("cursor") or None, limit=ROWS
    )
    older = found.older and visit.path("endpoints", health=health.value, cursor=found.older)
    return visit.render(
        "admin_endpoints.html",
        section="endpoints",
        heading="Endpoints",
        health=health.value,
        tabs=[
            (visit.path("endpoints", health=one.value), words, one is health) for one, words in HEALTH.items()
        ],
        found=found.endpoints,
        older=older,
        application_ref=application_ref,
        endpoint_ref=lambda one: ids.text(visit.product.profile.ids.endpoint, one),
    )


async def messages(visit: OperatorVisit) -> Response:
    """The message with this id, or the messages with this event id, in all applications."""
    wanted = visit.asked("id")[:256]
    found = None
    if wanted:
        parsed = ids.parse(visit.product.profile.ids.message, wanted)
        ref = wanted if parsed is None else ids.text(ids.MESSAGE, parsed)
        found = await visit.services.operator.find_message(visit.org_id, ref)
    return visit.render(
        "admin_messages.html",
        section="messages",
        heading="Messages",
        wanted=wanted,
        found=found,
        application_ref=application_ref,
        message_ref=visit.product.message_format.message_id,
    )


async def audit_events(visit: OperatorVisit) -> Response:
    """The audit log of the organization, or of one application."""
    noun, app = noun_of(visit.request, audit_words.ALL_NOUNS), visit.asked("application")[:256]
    found, newer, older = await records(visit.services.audit, visit.org_id, visit.request, noun, app or None)
    name = naming(visit.product)
    return visit.render(
        "admin_audit.html",
        section="audit",
        heading="Activity",
        nouns=audit_words.ALL_NOUNS,
        noun=noun,
        application=app,
        lines=[audit_words.for_operator(one, name) for one in found],
        of_application=lambda app_id: visit.path("audit", application=application_ref(app_id)),
        application_ref=application_ref,
        newer=newer and visit.path("audit", what=noun, application=app, after=newer),
        older=older and visit.path("audit", what=noun, application=app, before=older),
    )


def application_ref(app_id: UUID) -> str:
    return ids.text(ids.APPLICATION, app_id)


def routes() -> list[Route]:
    return [
        operator_page("", applications),
        operator_page("/endpoints", endpoints),
        operator_page("/messages", messages),
        operator_page("/audit", audit_events),
    ]
