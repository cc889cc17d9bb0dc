"""The context of a request to a customer page: session, application and product."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from angarium.core import ids
from angarium.core.audit import ActorKind
from angarium.core.claims import Capability, Claims
from angarium.core.errors import NotAllowed, NotFound
from angarium.core.nouns import Application
from angarium.core.product import Product
from angarium.portal.kit import render, session
from angarium.portal.kit.text import t
from angarium.portal.kit.theme import Theme
from angarium.service import audit
from angarium.service.services import Services

THEME: str = "angarium-theme"


def services_of(request: Request) -> Services:
    """The services of this server."""
    services: Services = request.app.state.services
    return services


def theme_of(request: Request) -> Theme:
    """The theme of this browser."""
    return Theme.read(request.cookies.get(THEME, ""))


@dataclass(frozen=True, slots=True)
class Visit:
    """The context of a page: the session, its capabilities, the application and the product."""

    request: Request
    services: Services
    application: Application
    product: Product
    claims: Claims
    mark: str = field(repr=False)
    theme: Theme
    now: float

    @property
    def app_id(self) -> UUID:
        return self.application.id

    def may(self, capability: Capability) -> bool:
        return capability in self.claims.capabilities

    def require(self, capability: Capability) -> None:
        """Raises NotAllowed if the link lacks the capability."""
        if not self.may(capability):
            raise NotAllowed(t("error.link"))

    def path(self, *parts: str, **query: object) -> str:
        """The path of a page of this application; query values that are None or empty are left out."""
        below = "".join(f"/{quote(part, safe='')}" for part in parts)
        named = {name: value for name, value in query.items() if value not in (None, "", [], ())}
        asked = f"?{urlencode(named, doseq=True)}" if named else ""
        return f"/portal/{ids.text(ids.APPLICATION, self.app_id)}{below}{asked}"

    def endpoint_ref(self, endpoint_id: UUID) -> str:
        """The public id of an endpoint, in the format of this product."""
        return ids.text(self.product.profile.ids.endpoint, endpoint_id)

    def message_ref(self, message_id: UUID) -> str:
        return self.product.message_format.message_id(message_id)

    def attempt_ref(self, attempt_id: UUID) -> str:
        return ids.text(self.product.profile.ids.attempt, attempt_id)

    def endpoint_id(self, name: str = "endpoint") -> UUID:
        """The endpoint that the path names. Raises NotFound."""
        return _parsed(self.product.profile.ids.endpoint, ids.ENDPOINT, self.request.path_params[name])

    def message_id(self, name: str = "message") -> UUID:
        """The message that the path names. Raises NotFound."""
        return _parsed(self.product.profile.ids.message, ids.MESSAGE, self.request.path_params[name])

    def attempt_id(self, name: str = "attempt") -> UUID:
        """The attempt that the path names. Raises NotFound."""
        return _parsed(self.product.profile.ids.attempt, ids.ATTEMPT, self.request.path_params[name])

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page or a part of one; `visit` is always among its values."""
        return render.page(self.request, template, self.theme, status=status, visit=self, **values)

    def go(self, path: str) -> Response:
        """Redirects to another page after an action."""
        return RedirectResponse(path, 303, headers=render.UNKEPT)


async def visit_of(request: Request) -> Visit:
    """The visit of a request. Raises NotAuthenticated without a valid session for the application."""
    services = services_of(request)
    ref = request.path_params["app_id"]
    app_id = ids.parse(ids.APPLICATION, ref)
    if app_id is None:
        raise NotFound()
    token = session.token_of(request, ref)
    claims = await services.login_throttle.admit(
        services.token,
        "portal-session",
        token,
        lambda shown: shown.link is not None and shown.app_id == app_id,
        cookie=ref + token,
    )
    kind = ActorKind.OPERATOR_SESSION if claims.operator else ActorKind.PORTAL_SESSION
    audit.acting(kind, claims.parent, org_id=claims.org_id, app_id=claims.app_id)
    product = await services.product.of(claims.org_id)
    return Visit(
        request=request,
        services=services,
        application=await services.application.find(claims.org_id, ref),
        product=product,
        claims=claims,
        mark=session.mark_of(token),
        # an operator did not open a link, which would have set the theme cookie
        theme=Theme.of(product.profile.portal.theme) if claims.operator else theme_of(request),
        now=services.clock.now(),
    )


def _parsed(own: str, native: str, text: str) -> UUID:
    found = ids.parse(own, text) or ids.parse(native, text)
    if found is None:
        raise NotFound()
    return found
