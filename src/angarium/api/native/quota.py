"""`/app/{app_id}/quota` and `/usage`: limits of applications, and what they use. Svix has no equivalent."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from msgspec import UNSET, UnsetType
from pydantic import AfterValidator, Field, Strict

from angarium.api.answer import Out
from angarium.api.auth import AppOf, AppRef, OrgCaller, ServicesOf
from angarium.api.body import Wire
from angarium.api.field import APPLICATION, ApplicationId, ApplicationName, Time, says, wire_time
from angarium.api.listing import ListOrder, Order, Page, Paging, page, paged_by
from angarium.api.route import API_PATH, WireRoute
from angarium.core import ids
from angarium.core.quota import MOST, MOST_ENDPOINTS, NAMES, month_of, next_month, read, write
from angarium.service.quota import QuotaState
from angarium.service.usage import month_text
from angarium.store.usage import ERASED, MonthUse

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Quota"])

_FIRST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 1, 1, tzinfo=UTC)
_MONTH: Final = "2026-11"
_MONTH_TEXT: Final = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")
_MessageLimit = Annotated[int, Strict(), Field(ge=0, le=MOST)] | Literal["unlimited"] | None
_EndpointLimit = Annotated[int, Strict(), Field(ge=0, le=MOST_ENDPOINTS)] | Literal["unlimited"] | None
SoftMessages = Annotated[
    _MessageLimit, says("Messages in a month (UTC) that are reported once.", 80_000, "unlimited")
]
HardMessages = Annotated[
    _MessageLimit,
    says("Messages in a month (UTC). Others are refused until it ends.", 100_000, "unlimited"),
]
SoftEndpoints = Annotated[_EndpointLimit, says("Number of endpoints that is reported.", 40, "unlimited")]
HardEndpoints = Annotated[
    _EndpointLimit, says("Maximum number of endpoints. Others are refused.", 50, "unlimited")
]


class QuotaPatch(Wire):
    """The limits that change: a number, or `unlimited`. Null is the default again."""

    null_clears: ClassVar[bool] = True
    messages_soft: SoftMessages = None
    messages_hard: HardMessages = None
    endpoints_soft: SoftEndpoints = None
    endpoints_hard: HardEndpoints = None

    @property
    def changes(self) -> dict[str, int | None]:
        return {
            name: read(getattr(self, name))
            for name in NAMES
            if self.given(name) and getattr(self, name) is not None
        }

    @property
    def cleared(self) -> frozenset[str]:
        return frozenset(name for name in NAMES if self.given(name) and getattr(self, name) is None)


class QuotaUse(Out):
    """What is used, and its limits."""

    used: Annotated[int, says("How many there are; messages: in this month.", 812)]
    soft: Annotated[int | None, says("The number that is reported; null: none.", 80_000)]
    hard: Annotated[int | None, says("The number above which others are refused; null: none.", 100_000)]


class OwnLimits(Out, kw_only=True):
    """The limits of the application itself. One that is missing is the default."""

    messages_soft: Annotated[int | str | UnsetType, says("Messages that are reported.", 80_000)] = UNSET
    messages_hard: Annotated[int | str | UnsetType, says("Messages at most.", 100_000)] = UNSET
    endpoints_soft: Annotated[int | str | UnsetType, says("Endpoints that are reported.", 40)] = UNSET
    endpoints_hard: Annotated[int | str | UnsetType, says("Endpoints at most.", 50)] = UNSET


class QuotaOut(Out):
    """The limits of an application, and what it uses."""

    month: Annotated[str, says("The current month (UTC).", _MONTH)]
    ends_at: Annotated[Time, says("When the month ends.", "2026-12-01T00:00:00Z")]
    messages: Annotated[QuotaUse, says("Messages in this month.")]
    endpoints: Annotated[QuotaUse, says("Endpoints.")]
    own: Annotated[OwnLimits, says("The limits that were set for the application.")]


def quota_out(state: QuotaState) -> QuotaOut:
    """Limits and use as JSON."""
    limits, own = state.limits, state.own
    return QuotaOut(
        month=month_text(state.month),
        ends_at=wire_time(state.ends_at),
        messages=QuotaUse(state.used.messages, limits.messages_soft, limits.messages_hard),
        endpoints=QuotaUse(state.endpoints, limits.endpoints_soft, limits.endpoints_hard),
        own=OwnLimits(**{name: write(own[name]) for name in NAMES if name in own}),
    )


@router.get("/app/{app_id}/quota", operation_id="v1.quota.get")
async def get_quota(application: AppOf, services: ServicesOf) -> QuotaOut:
    """Get the limits of an application.

    With what it uses: messages accepted in this month, and endpoints. Tests are not counted as messages.
    """
    return quota_out(await services.quota.of(application))


@router.patch("/app/{app_id}/quota", operation_id="v1.quota.patch")
async def patch_quota(caller: OrgCaller, services: ServicesOf, app_id: AppRef, body: QuotaPatch) -> QuotaOut:
    """Change the limits of an application.

    Only the given limits change. A limit that was raised above what is used is in force at once: messages are
    accepted again.
    """
    return quota_out(await services.quota.change(caller.org_id, app_id, body.changes, body.cleared))


def _month(value: str) -> str:
    read_month(value)
    return value


def read_month(text: str) -> datetime:
    """The first moment of a month such as 2026-11. Raises ValueError."""
    if (found := _MONTH_TEXT.fullmatch(text)) is None:
        raise ValueError(f"Must be a month such as 2026-11, not {text[:40]!r}")
    return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)


Month = Annotated[str, AfterValidator(_month)]


class MonthOut(Out):
    """What an application used in a month."""

    id: Annotated[str, says("The month and the application.", f"{_MONTH}_{APPLICATION}")]
    month: Annotated[str, says("The month (UTC).", _MONTH)]
    application_id: Annotated[
        ApplicationId | None, says("The application; null: the sum of those that were erased.")
    ]
    application_uid: Annotated[str | None, says("Its uid, if it has one.", "customer-1")]
    application_name: Annotated[ApplicationName | None, says("Its name; null: it is gone, with its history.")]
    messages: Annotated[int, says("Messages accepted, without tests.", 81_200)]
    deliveries_delivered: Annotated[
        int, says("Deliveries that succeeded. One that is sent again ends again, and counts again.", 80_100)
    ]
    deliveries_exhausted: Annotated[int, says("Deliveries whose last retry failed.", 12)]
    deliveries_canceled: Annotated[int, says("Deliveries that were canceled.", 0)]
    attempts: Annotated[int, says("Requests to endpoints that were recorded.", 80_400)]
    attempts_failed: Annotated[int, says("Those that failed.", 300)]


def month_out(one: MonthUse) -> MonthOut:
    """A month of an application as JSON."""
    used = one.used
    return MonthOut(
        id=_place(one),
        month=month_text(one.month),
        application_id=None if one.app_id == ERASED else ids.text(ids.APPLICATION, one.app_id),
        application_uid=one.uid,
        application_name=one.name,
        messages=used.messages,
        deliveries_delivered=used.delivered,
        deliveries_exhausted=used.exhausted,
        deliveries_canceled=used.canceled,
        attempts=used.attempts,
        attempts_failed=used.failed,
    )


def _cursor(text: str) -> tuple[datetime, UUID] | None:
    month, _, ref = text.partition("_")
    app_id = ids.parse(ids.APPLICATION, ref)
    try:
        return None if app_id is None else (read_month(month), app_id)
    except ValueError:
        return None


def _place(one: MonthUse) -> str:
    return f"{month_text(one.month)}_{ids.text(ids.APPLICATION, one.app_id)}"


@router.get("/usage", operation_id="v1.usage.list")
async def list_usage(
    caller: OrgCaller,
    services: ServicesOf,
    paging: Annotated[Paging[tuple[datetime, UUID]], paged_by(_cursor)],
    order: Order = ListOrder.ASCENDING,
    application: Annotated[
        str | None,
        Query(
            description="Only this application (id or uid). One that was deleted: its id.",
            examples=[APPLICATION],
        ),
    ] = None,
    since: Annotated[Month | None, Query(description="From this month on.", examples=["2026-01"])] = None,
    until: Annotated[Month | None, Query(description="Up to this month.", examples=[_MONTH])] = None,
) -> Page[MonthOut]:
    """List what applications used.

    One item for each month and application, for billing. Every message, delivery and attempt is counted once,
    in the commit that stores it. The counts stay when messages are deleted.
    """
    rows = await services.usage.page(
        caller.org_id,
        paging.cursor,
        app=application,
        since=_FIRST if since is None else read_month(since),
        until=_LAST if until is None else next_month(month_of(read_month(until))),
        upwards=paging.ascending(order is ListOrder.ASCENDING),
        limit=paging.rows,
    )
    return page(rows, paging, _place, month_out)
