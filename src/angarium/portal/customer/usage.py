"""Page of what an application uses: this month against its limits, and earlier months."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from angarium.core.nouns import Application
from angarium.portal.kit.route import page
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import AnyVisit, Visit
from angarium.portal.kit.words import moment
from angarium.service.quota import QuotaState
from angarium.service.usage import month_text

MONTHS: Final = 12  # shown before this one


@dataclass(frozen=True, slots=True)
class LimitRow:
    """What is used of messages or endpoints, its limits, and what they mean now."""

    noun: str
    used: int
    soft: int | None
    hard: int | None
    badge: str
    state: str
    words: Markup

    @property
    def reached(self) -> bool:
        return self.badge in ("warn", "bad")


async def show(visit: Visit) -> Response:
    """The page."""
    state = await visit.services.quota.of(visit.application)
    return visit.render(
        "customer/usage.html",
        section="usage",
        heading=t("usage.title"),
        **await shown(visit, visit.application, state),
    )


async def shown(visit: AnyVisit, application: Application, state: QuotaState) -> dict[str, Any]:
    """The values of `kit/usage_rows.html`."""
    earlier = await visit.services.usage.months(application.id, state.month, MONTHS)
    return {
        "month": month_text(state.month),
        "ends": state.ends_at,
        "limits": limit_rows(state),
        "months": [
            (month_text(month), used)
            for month, used in [(state.month, state.used), *((one.month, one.used) for one in earlier)]
        ],
    }


def limit_rows(state: QuotaState) -> list[LimitRow]:
    """Messages and endpoints with their limits."""
    limits = state.limits
    return [
        _row("messages", state.used.messages, limits.messages_soft, limits.messages_hard, state.ends_at),
        _row("endpoints", state.endpoints, limits.endpoints_soft, limits.endpoints_hard, state.ends_at),
    ]


def _row(noun: str, used: int, soft: int | None, hard: int | None, ends: datetime) -> LimitRow:
    if hard is not None and used >= hard:
        words = t(f"usage.stop.{noun}", time=moment(ends))
        return LimitRow(noun, used, soft, hard, "bad", t("usage.state.hard"), words)
    left = Markup() if hard is None else t(f"usage.left.{noun}", hard - used)
    if soft is not None and used >= soft:
        return LimitRow(noun, used, soft, hard, "warn", t("usage.state.soft"), left)
    if soft is None and hard is None:
        return LimitRow(noun, used, soft, hard, "none", t("usage.state.unlimited"), left)
    return LimitRow(noun, used, soft, hard, "good", t("usage.state.within"), left)


def routes() -> list[Route]:
    return [page("/usage", show)]
