"""Pages of the links in mails: confirm an address, and unsubscribe. They need no session: the link is enough.

A GET only shows a button, because programs that scan mails open links. A POST acts. A mail program may post
to the link to unsubscribe by itself (RFC 8058).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.alert_link import Purpose
from angarium.core.contact import Contact
from angarium.core.errors import NotFound
from angarium.portal.kit import render
from angarium.portal.kit.route import route
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import services_of, theme_of


async def ask_to_confirm(request: Request) -> Response:
    """Asks whether the address may get alerts."""
    try:
        found = await services_of(request).contact.of_link(_token(request), Purpose.CONFIRM)
        assert found is not None
    except NotFound:
        return _invalid(request)
    words = t("alerts.confirm.words", email=found.email, application=await _application(request, found))
    return _notice(request, t("alerts.confirm.title"), words, t("alerts.confirm.button"))


async def confirm(request: Request) -> Response:
    """Confirms the address."""
    try:
        found = await services_of(request).contact.confirm(_token(request))
    except NotFound:
        return _invalid(request)
    words = t("alerts.confirm.done_words", email=found.email, application=await _application(request, found))
    return _notice(request, t("alerts.confirm.done"), words)


async def ask_to_unsubscribe(request: Request) -> Response:
    """Asks whether to stop the mails."""
    try:
        found = await services_of(request).contact.of_link(_token(request), Purpose.UNSUBSCRIBE)
    except NotFound:
        return _invalid(request)
    if found is None:  # deleted: it gets no mail
        return _notice(request, t("alerts.unsubscribe.done"), t("alerts.unsubscribe.done_words"))
    words = t("alerts.unsubscribe.words", email=found.email)
    return _notice(request, t("alerts.unsubscribe.title"), words, t("alerts.unsubscribe.button"))


async def unsubscribe(request: Request) -> Response:
    """Stops the mails."""
    try:
        await services_of(request).contact.unsubscribe(_token(request))
    except NotFound:
        return _invalid(request)
    return _notice(request, t("alerts.unsubscribe.done"), t("alerts.unsubscribe.done_words"))


def _token(request: Request) -> str:
    token: str = request.path_params["token"]
    return token


async def _application(request: Request, found: Contact) -> str:
    ref = ids.text(ids.APPLICATION, found.app_id)
    return (await services_of(request).application.find(found.org_id, ref)).name


def _notice(
    request: Request, title: str, words: str, button: str | None = None, *, status: int = 200
) -> Response:
    return render.page(
        request,
        "customer/alert_link.html",
        theme_of(request),
        status=status,
        title=title,
        words=words,
        button=button,
    )


def _invalid(request: Request) -> Response:
    return _notice(request, t("alerts.invalid.title"), t("alerts.invalid.words"), status=404)


def routes() -> list[Route]:
    return [
        route("/alerts/confirm/{token}", ask_to_confirm, "GET"),
        route("/alerts/confirm/{token}", confirm, "POST"),
        route("/alerts/unsubscribe/{token}", ask_to_unsubscribe, "GET"),
        route("/alerts/unsubscribe/{token}", unsubscribe, "POST"),
    ]
