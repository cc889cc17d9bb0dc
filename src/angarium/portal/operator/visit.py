"""Logs operators in and out of the pages below `/admin`, and opens operator views.

The operator pastes an organization's token into a form, never into a URL, and gets a session in a separate
cookie. A session ends after twelve hours, on logout, or with the token that it was created from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.audit import ActorKind
from angarium.core.claims import Claims
from angarium.core.errors import NotAuthenticated
from angarium.core.product import Product
from angarium.core.replica import ReplicaTrouble
from angarium.portal.customer.login import destination
from angarium.portal.kit import render, session
from angarium.portal.kit.form import Form, read_form
from angarium.portal.kit.route import guarded, route
from angarium.portal.kit.text import t
from angarium.portal.kit.theme import Theme
from angarium.portal.kit.visit import services_of
from angarium.portal.kit.words import duration
from angarium.service import audit
from angarium.service.services import Services
from angarium.store.replica import ReplicaState

OWNER: Final = "operator"
ROOT: Final = "/admin"
_PLAIN: Final = Theme()


@dataclass(frozen=True, slots=True)
class OperatorVisit:
    """The context of a request to an operator page."""

    request: Request
    services: Services
    product: Product
    claims: Claims
    mark: str = field(repr=False)
    now: float

    @property
    def org_id(self) -> str:
        return self.claims.org_id

    @property
    def source(self) -> str | None:
        """The source of lists as a sentence; None without a read replica."""
        replica = self.services.replica
        return None if replica is None else replica_sentence(replica.state)

    def path(self, *parts: str, **query: object) -> str:
        """The path of an operator page; query values that are None or empty are left out."""
        below = "".join(f"/{quote(part, safe='')}" for part in parts)
        named = {name: value for name, value in query.items() if value not in (None, "", [], ())}
        return f"{ROOT}{below}" + (f"?{urlencode(named, doseq=True)}" if named else "")

    def asked(self, name: str) -> str:
        """A value of the query, without NUL characters, which PostgreSQL cannot store."""
        return self.request.query_params.get(name, "").replace("\x00", "").strip()

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        return render.page(self.request, template, _PLAIN, status=status, visit=self, **values)

    def go(self, path: str) -> Response:
        return RedirectResponse(path, 303, headers=render.UNKEPT)


Page = Callable[[OperatorVisit], Awaitable[Response]]
Action = Callable[[OperatorVisit, Form], Awaitable[Response]]


def operator_page(path: str, handler: Page) -> Route:
    """A page below `/admin`; without a session it shows the login form."""

    async def answer(request: Request) -> Response:
        try:
            visit = await _visit_of(request)
        except NotAuthenticated:
            return _login_form(request, 401)
        return await handler(visit)

    return route(f"{ROOT}{path}", answer, "GET")


def operator_action(path: str, handler: Action) -> Route:
    """An action of a form on an operator page."""

    async def answer(request: Request) -> Response:
        visit = await _visit_of(request)
        return await handler(visit, await guarded(request, visit.mark))

    return route(f"{ROOT}{path}", answer, "POST")


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
        mark=session.mark_of(token),
        now=services.clock.now(),
    )


def _login_form(request: Request, status: int = 200, fault: str | None = None) -> Response:
    return render.page(request, "operator/login.html", _PLAIN, status=status, fault=fault)


async def begin(request: Request) -> Response:
    """Exchanges the token of the form for a session."""
    session.check_origin(request)
    form = await read_form(request)
    services = services_of(request)
    try:
        with services.login_throttle.watching("operator-login"):
            made = await services.portal_link.operate(form.text("token"))
    except NotAuthenticated:
        return _login_form(request, 401, t("operator.login_fault"))
    answer = RedirectResponse(ROOT, 303, headers=render.UNKEPT)
    session.keep(request, answer, OWNER, made, services.clock.now())
    return answer


async def end(visit: OperatorVisit, _: Form) -> Response:
    """Logs out: the session and its operator views are refused from now on."""
    await visit.services.token.revoke(visit.claims)
    answer = _login_form(visit.request)
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
    return _login_form(request)


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
