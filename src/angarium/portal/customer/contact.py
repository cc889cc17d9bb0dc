"""Page of an application's contacts: the addresses that get alerts, and the kinds of alerts."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import Route

from angarium.core import ids
from angarium.core.alert import ALL_KINDS
from angarium.core.claims import Capability
from angarium.core.contact import MAX_CONTACTS, Contact, ContactDraft, ContactStatus
from angarium.core.errors import BadRequest, Conflict, Invalid, NotFound, TooManyFailures
from angarium.portal.kit.form import Form
from angarium.portal.kit.route import action, error_words, page, status_of
from angarium.portal.kit.text import t
from angarium.portal.kit.visit import Visit

MANAGE: Final = Capability.MANAGE_ENDPOINT
_BADGES: Final = {
    ContactStatus.PENDING: "wait",
    ContactStatus.ACTIVE: "good",
    ContactStatus.UNSUBSCRIBED: "none",
    ContactStatus.BOUNCING: "bad",
}


async def show(visit: Visit) -> Response:
    """The contacts of the application."""
    return await _list(visit)


async def save(visit: Visit, form: Form) -> Response:
    """Adds a contact, or changes what is reported to the one with this address."""
    chosen = form.all("kind")
    kinds = tuple(kind for kind in ALL_KINDS if kind in chosen)
    email = form.text("email")
    try:
        await visit.services.contact.add(visit.application, ContactDraft(email, kinds))
    except (Invalid, BadRequest, TooManyFailures) as error:
        fault = error_words(error) if isinstance(error, Invalid) else error.detail
        return await _list(visit, email=email, chosen=chosen, fault=fault, status=status_of(error))
    return visit.go(visit.path("alerts", done="contact"))


async def ask(visit: Visit, _: Form) -> Response:
    """Mails a new link."""
    try:
        await visit.services.contact.ask(visit.app_id, _contact_id(visit))
    except (BadRequest, Conflict, TooManyFailures) as error:
        return await _list(visit, fault=error.detail, status=status_of(error))
    return visit.go(visit.path("alerts", done="contact-asked"))


async def remove(visit: Visit, form: Form) -> Response:
    """Removes a contact."""
    contact_id = _contact_id(visit)
    found = next((one for one in await visit.services.contact.of(visit.app_id) if one.id == contact_id), None)
    if found is None:
        raise NotFound()
    asked = visit.question(
        form,
        heading=t("alerts.remove_question", email=found.email),
        happens=t("alerts.remove_happens", email=found.email),
        button=t("alerts.remove"),
        back=visit.path("alerts"),
        section="alerts",
    )
    if asked is not None:
        return asked
    await visit.services.contact.remove(visit.app_id, contact_id)
    return visit.go(visit.path("alerts", done="contact-deleted"))


async def _list(
    visit: Visit,
    *,
    email: str = "",
    chosen: list[str] | None = None,
    fault: str | None = None,
    status: int = 200,
) -> Response:
    contacts = await visit.services.contact.of(visit.app_id)
    return visit.render(
        "customer/contacts.html",
        section="alerts",
        heading=t("alerts.title"),
        status=status,
        available=visit.services.contact.available,
        contacts=[_row(one) for one in contacts],
        kinds=[(kind.value, _words(kind)) for kind in ALL_KINDS],
        chosen=[kind.value for kind in ALL_KINDS] if chosen is None else chosen,
        email=email,
        fault=fault,
        most=MAX_CONTACTS,
        full=len(contacts) >= MAX_CONTACTS,
        manage=visit.may(MANAGE),
    )


def _row(contact: Contact) -> dict[str, object]:
    return {
        "ref": ids.text(ids.CONTACT, contact.id),
        "email": contact.email,
        "kinds": [_words(kind) for kind in contact.kinds],
        "badge": _BADGES[contact.status],
        "status": t(f"alerts.state.{contact.status}"),
        "bounce": contact.bounce,
        "active": contact.status is ContactStatus.ACTIVE,
    }


def _words(kind: str) -> str:
    return t(f"alerts.kind.{kind.replace('.', '_')}")


def _contact_id(visit: Visit) -> UUID:
    found = ids.parse(ids.CONTACT, visit.request.path_params["contact"])
    if found is None:
        raise NotFound()
    return found


def routes() -> list[Route]:
    path = "/alerts/{contact}"
    return [
        page("/alerts", show),
        action("/alerts", save, MANAGE),
        action(f"{path}/ask", ask, MANAGE),
        action(f"{path}/remove", remove, MANAGE),
    ]
