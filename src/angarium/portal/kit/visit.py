"""The context of a request to a page: the session, what it may do, the product and the application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, ClassVar, Final, Generic, TypeVar
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
from angarium.portal.kit.form import Form
from angarium.portal.kit.text import t
from angarium.portal.kit.theme import Theme
from angarium.service import audit
from angarium.service.services import Services

THEME: Final = "angarium-theme"
YES: Final = "confirmed"
T = TypeVar("T")


def services_of(request: Request) -> Services:
    """The services of this server."""
    services: Services = request.app.state.services
    return services


def theme_of(request: Request) -> Theme:
    """The theme of this browser."""
    return Theme.read(request.cookies.get(THEME, ""))


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A page of a list, newest first, and the cursors of its neighbours."""

    rows: list[T]
    newer: str | None = None
    older: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyVisit:
    """The context of a page of customers or operators: the session, what it may do, and the product."""

    layout: ClassVar[str]
    request: Request
    services: Services
    product: Product
    claims: Claims
    csrf_token: str = field(repr=False)
    now: float
    theme: Theme = field(default_factory=Theme)

    @property
    def root(self) -> str:
        """The path of the start page."""
        raise NotImplementedError

    @property
    def is_partial(self) -> bool:
        """Whether htmx requests a part, and not a whole page for its history."""
        headers = self.request.headers
        return "hx-request" in headers and "hx-history-restore-request" not in headers

    def may(self, capability: Capability) -> bool:
        return capability in self.claims.capabilities

    def require(self, capability: Capability) -> None:
        """Raises NotAllowed if the link lacks the capability."""
        if not self.may(capability):
            raise NotAllowed(t("error.link"))

    def path(self, *parts: str, **query: object) -> str:
        """The path of a page; query values that are None or empty are left out."""
        below = "".join(f"/{quote(part, safe='')}" for part in parts)
        named = {name: value for name, value in query.items() if value not in (None, "", [], ())}
        return f"{self.root}{below}" + (f"?{urlencode(named, doseq=True)}" if named else "")

    def asked(self, name: str) -> str:
        """A value of the query, without NUL characters, which PostgreSQL cannot store."""
        return self.request.query_params.get(name, "").replace("\x00", "").strip()

    async def part(
        self,
        prefix: str,
        rows: int,
        load: Callable[[UUID | None, bool, int], Awaitable[Iterable[T]]],
        id_of: Callable[[T], UUID] = attrgetter("id"),
    ) -> Part[T]:
        """A page of a list. The query's `after` or `before` is a cursor: the id of a row with this prefix.

        `load` gets the cursor, whether it goes upwards to newer rows, and how many rows it loads at most.
        """
        after, before = (ids.parse(prefix, self.asked(name)) for name in ("after", "before"))
        upwards = after is not None
        found = list(await load(after or before, upwards, rows + 1))
        more, found = len(found) > rows, found[:rows]
        if not found:
            return Part([])
        if upwards:
            found.reverse()
        first, last = (ids.text(prefix, id_of(found[at])) for at in (0, -1))
        newer = more if upwards else before is not None
        return Part(found, first if newer else None, last if upwards or more else None)

    def question(
        self, form: Form, *, heading: str, happens: str, button: str, back: str, section: str
    ) -> Response | None:
        """The confirmation page of an action with many effects; None once confirmed.

        `happens` states the count, `back` is the cancel link. The page posts the same form again, with a
        field that confirms. It works without scripts.
        """
        if form.text(YES):
            return None
        return self.render(
            "kit/confirm.html",
            layout=self.layout,
            section=section,
            heading=heading,
            happens=happens,
            button=button,
            back=back,
            here=self.request.url.path,
            fields=[(name, value) for name, value in form.pairs if name not in (session.CSRF_FIELD, YES)],
        )

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page or a part of one; `visit` is always among its values."""
        return render.page(self.request, template, self.theme, status=status, visit=self, **values)

    def go(self, path: str) -> Response:
        """Redirects to another page after an action."""
        return RedirectResponse(path, 303, headers=render.UNKEPT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit(AnyVisit):
    """The context of a customer's page, with its application."""

    layout: ClassVar[str] = "kit/portal.html"
    application: Application

    @property
    def root(self) -> str:
        return f"/portal/{ids.text(ids.APPLICATION, self.app_id)}"

    @property
    def app_id(self) -> UUID:
        return self.application.id

    def endpoint_ref(self, endpoint_id: UUID) -> str:
        """The public id of an endpoint, in the format of this product."""
        return ids.text(self.product.profile.ids.endpoint, endpoint_id)

    def message_ref(self, message_id: UUID) -> str:
        return self.product.message_format.message_id(message_id)

    def attempt_ref(self, attempt_id: UUID) -> str:
        return ids.text(self.product.profile.ids.attempt, attempt_id)

    def parsed_endpoint(self, text: str) -> UUID | None:
        """The endpoint with this public or native id; None if it is neither."""
        return ids.parse(self.product.profile.ids.endpoint, text) or ids.parse(ids.ENDPOINT, text)

    def parsed_message(self, text: str) -> UUID | None:
        """The message with this public or native id; None if it is neither."""
        return ids.parse(self.product.profile.ids.message, text) or ids.parse(ids.MESSAGE, text)

    def native_endpoint(self, text: str) -> str:
        """The native id of an endpoint; unchanged if it is none."""
        found = self.parsed_endpoint(text)
        return text if found is None else ids.text(ids.ENDPOINT, found)

    def native_message(self, text: str) -> str:
        """The native id of a message; unchanged if it is none."""
        found = self.parsed_message(text)
        return text if found is None else ids.text(ids.MESSAGE, found)

    def endpoint_id(self) -> UUID:
        """The endpoint that the path names. Raises NotFound."""
        return _found(self.parsed_endpoint(self.request.path_params["endpoint"]))

    def message_id(self) -> UUID:
        """The message that the path names. Raises NotFound."""
        return _found(self.parsed_message(self.request.path_params["message"]))


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
        csrf_token=session.csrf_token_of(token),
        # an operator did not open a link, which would have set the theme cookie
        theme=Theme.of(product.profile.portal.theme) if claims.operator else theme_of(request),
        now=services.clock.now(),
    )


def _found(some_id: UUID | None) -> UUID:
    if some_id is None:
        raise NotFound()
    return some_id
