"""Logs operators in and out of the pages below `/admin`, and opens operator views.

The operator pastes an organization's token into a form, never into a URL, and gets a session in a separate
cookie. A session ends after twelve hours, on logout, or with the token that it was created from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.audit import ActorKind
from angarium.core.errors import NotAuthenticated
from angarium.core.replica import ReplicaTrouble
from angarium.portal.customer.login import destination
from angarium.portal.kit import render, session
from angarium.portal.kit.form import Form, read_form
from angarium.portal.kit.route import Pages, route
from angarium.portal.kit.text import t
from angarium.portal.kit.theme import Theme
from angarium.portal.kit.visit import AnyVisit, services_of
from angarium.portal.kit.words import duration
from angarium.service import audit
from angarium.store.replica import ReplicaState

OWNER: Final = "operator"
ROOT: Final = "/admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorVisit(AnyVisit):
    """The context of a request to an operator page."""

    layout: ClassVar[str] = "operator/admin.html"

    @property
    def root(self) -> str:
        return ROOT

    @property
    def org_id(self) -> str:
        return self.claims.org_id

    @property
    def source(self) -> str | None:
        """The source of lists as a sentence; None without a read replica."""
        replica = self.services.replica
        return None if replica is None else replica_sentence(replica.state)


async def _visit_of(request: Request) -> OperatorVisit:
    """The visit of a request. Raises NotAuthenticated without a valid operator session."""
    services = services_of(request)
    token = session.token_of(request, OWNER)
    claims = await services.login_throttle.admit(
        services.token,
        "operator-session",
        token,
        lambda shown: shown.link is not None and shown.app_id is None,
        cookie=token,
    )
    audit.acting(ActorKind.OPERATOR_SESSION, claims.parent, org_id=claims.org_id)
    return OperatorVisit(
        request=request,
        services=services,
        product=await services.product.of(claims.org_id),
        claims=claims,
        csrf_token=session.csrf_token_of(token),
        now=services.clock.now(),
    )


def _login_form(request: Request, status: int = 401, fault: str | None = None) -> Response:
    return render.page(request, "operator/login.html", Theme(), status=status, fault=fault)


_PAGES: Final = Pages(ROOT, _visit_of, _login_form)
operator_page = _PAGES.page
operator_action = _PAGES.action


async def begin(request: Request) -> Response:
    """Exchanges the token of the form for a session."""
    session.check_origin(request)
    form = await read_form(request)
    services = services_of(request)
    try:
        with services.login_throttle.watching("operator-login"):
            made = await services.portal_link.operate(form.text("token"))
    except NotAuthenticated:
        return _login_form(request, fault=t("operator.login_fault"))
    answer = RedirectResponse(ROOT, 303, headers=render.UNKEPT)
    session.keep(request, answer, OWNER, made, services.clock.now())
    return answer


async def end(visit: OperatorVisit, _: Form) -> Response:
    """Logs out: the session and its operator views are refused from now on."""
    await visit.services.token.revoke(visit.claims)
    answer = _login_form(visit.request, 200)
    session.forget(visit.request, answer, OWNER)
    return answer


async def view(visit: OperatorVisit, form: Form) -> Response:
    """Opens a read-only operator view of a customer's portal."""
    application = await visit.services.application.find(visit.org_id, form.text("application"))
    made = await visit.services.portal_link.operator_view(visit.claims, application.id)
    owner = ids.text(ids.APPLICATION, application.id)
    answer = visit.go(f"/portal/{owner}{destination({'next': form.text('next')})}")
    session.keep(visit.request, answer, owner, made, visit.now)
    return answer


async def login_form(request: Request) -> Response:
    """The login form, also with a session."""
    return _login_form(request, 200)


def routes() -> list[Route]:
    return [
        route(f"{ROOT}/login", login_form, "GET"),
        route(f"{ROOT}/login", begin, "POST"),
        operator_action("/logout", end),
        operator_action("/view", view),
    ]


def replica_sentence(state: ReplicaState) -> str:
    """One sentence."""
    lag = None if state.lag_seconds is None else duration(state.lag_seconds * 1000)
    if state.trouble is None:
        return t("replica.read_lag", lag=lag) if lag else t("replica.read")
    if state.trouble is ReplicaTrouble.LAGGING and lag:
        return t("replica.not_read", reason=t("replica.lagging_by", lag=lag))
    return t("replica.not_read", reason=t(f"replica.trouble.{state.trouble}"))
