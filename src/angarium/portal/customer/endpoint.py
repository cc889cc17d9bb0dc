"""Pages of the endpoints and of one endpoint: health, attempts; actions that enable and disable it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.claims import Capability
from angarium.core.hourly_stats import Span
from angarium.core.nouns import AttemptStatus, Endpoint
from angarium.portal.kit import chart
from angarium.portal.kit.form import Form
from angarium.portal.kit.route import action, page
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit
from angarium.portal.kit.words import number, share, shown_url
from angarium.service.attempt import FAILURES

ROWS: Final = 50
MANY: Final = 20  # due deliveries; fewer may all be in progress
DAY: Final = 86400.0
FILTERS: Final = {"failed": AttemptStatus.FAIL, "delivered": AttemptStatus.SUCCESS}


async def show_all(visit: Visit) -> Response:
    """The endpoints with their health, newest first."""
    part = await visit.part(
        ids.ENDPOINT,
        ROWS,
        lambda cursor, upwards, limit: visit.services.endpoint.page(
            visit.app_id, cursor, ascending=upwards, limit=limit
        ),
    )
    health = await visit.services.overview.health(visit.app_id, [one.id for one in part.rows])
    return visit.render(
        "customer/endpoint_list.html",
        section="endpoints",
        heading=t("endpoints.title"),
        endpoints=[(one, health[one.id]) for one in part.rows],
        newer=part.newer and visit.path("endpoints", after=part.newer),
        older=part.older and visit.path("endpoints", before=part.older),
    )


def native_ref(visit: Visit) -> str:
    """The native id of the endpoint in the path. Raises NotFound."""
    return ids.text(ids.ENDPOINT, visit.endpoint_id())


async def found(visit: Visit) -> Endpoint:
    """The endpoint of the path. Raises NotFound."""
    return await visit.services.endpoint.find(visit.app_id, native_ref(visit))


async def render(
    visit: Visit, template: str, endpoint: Endpoint, tab: str, *, status: int = 200, **values: Any
) -> Response:
    """A page of an endpoint, with the head that its pages share."""
    health = (await visit.services.overview.health(visit.app_id, [endpoint.id]))[endpoint.id]
    return visit.render(
        template,
        status=status,
        section="endpoints",
        heading=shown_url(endpoint.url),
        endpoint=endpoint,
        ref=visit.endpoint_ref(endpoint.id),
        health=health,
        tab=tab,
        **values,
    )


async def show(visit: Visit) -> Response:
    """The attempts, newest first; `status` is failed or delivered."""
    endpoint = await found(visit)
    query = visit.request.query_params
    status = query.get("status", "")
    before = ids.parse(ids.ATTEMPT, query.get("before", ""))
    attempts = visit.services.attempt
    part = await attempts.newest(visit.app_id, endpoint.id, before, FILTERS.get(status), ROWS)
    reasons = [] if before else await attempts.reasons(visit.app_id, endpoint.id, visit.now - DAY)
    series = await visit.services.overview.series(visit.app_id, Span.DAY, endpoint.id)
    total = series.total
    delivered, failed = number(total.delivered), number(total.failed)
    summary = t("chart.attempts_summary", delivered=delivered, failed=failed)
    drawn = chart.bars(
        chart.Frame(
            "attempts",
            t("chart.attempts_day"),
            t("chart.description", summary=summary),
            (t("chart.ago", span=t("chart.span.24h")), t("chart.now")),
        ),
        [point.delivered for point in series.points],
        [point.failed for point in series.points],
    )
    overdue, wait = await visit.services.overdue.at(visit.app_id, endpoint.id)
    ref = visit.endpoint_ref(endpoint.id)
    older = part.older and ids.text(ids.ATTEMPT, part.older)
    return await render(
        visit,
        "customer/endpoint.html",
        endpoint,
        "attempts",
        part=part,
        wanted=status if status in FILTERS else "",
        first=before is None,
        reasons=reasons,
        counted=FAILURES if sum(reason.count for reason in reasons) >= FAILURES else None,
        chart=drawn,
        summary=t("chart.attempts_share", delivered=delivered, failed=failed, share=share(total.error_rate))
        if total.attempts
        else t("chart.description", summary=summary),
        overdue=overdue if overdue >= MANY else 0,
        hold=None if wait is None else wait.hold,
        clear_at=None if wait is None else wait.expected_at,
        older=visit.path("endpoints", ref, status=status, before=older) if older else None,
        newest=None if before is None else visit.path("endpoints", ref, status=status),
    )


async def enable(visit: Visit, _: Form) -> Response:
    """Enables the endpoint. Canceled deliveries stay canceled until they are recovered."""
    await visit.services.endpoint.update(
        visit.application, native_ref(visit), lambda draft: replace(draft, disabled=False)
    )
    ref = visit.endpoint_ref(visit.endpoint_id())
    if visit.may(Capability.CREATE_ATTEMPTS):
        return visit.go(visit.path("endpoints", ref, "recover", done="enabled"))
    return visit.go(visit.path("endpoints", ref, done="enabled"))


async def disable(visit: Visit, form: Form) -> Response:
    """Disables the endpoint and cancels its pending deliveries."""
    stats = await visit.services.endpoint.stats(visit.app_id, native_ref(visit), None, None)
    asked = visit.question(
        form,
        heading=t("disable.question"),
        happens=t("disable.happens", stats.pending + stats.sending),
        button=t("disable.button"),
        back=visit.path("endpoints", visit.endpoint_ref(visit.endpoint_id()), "settings"),
        section="endpoints",
    )
    if asked is not None:
        return asked
    await visit.services.endpoint.update(
        visit.application, native_ref(visit), lambda draft: replace(draft, disabled=True)
    )
    return visit.go(visit.path("endpoints", visit.endpoint_ref(visit.endpoint_id()), done="disabled"))


def routes() -> list[Route]:
    return [
        page("/endpoints", show_all),
        page("/endpoints/{endpoint}", show),
        action("/endpoints/{endpoint}/enable", enable, Capability.MANAGE_ENDPOINT),
        action("/endpoints/{endpoint}/disable", disable, Capability.MANAGE_ENDPOINT),
    ]
