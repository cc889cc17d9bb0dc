"""`/app/{app_id}/contact`: people who are mailed when its endpoints fail. Svix has no equivalent."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Path
from msgspec import UNSET, UnsetType
from pydantic import Field

from angarium.api.answer import Out
from angarium.api.auth import AppOf, ServicesOf, requires
from angarium.api.body import Wire
from angarium.api.field import CreatedAt, UpdatedAt, says, wire_time
from angarium.api.route import API_PATH, WireRoute
from angarium.core import ids
from angarium.core.alert import ALL_KINDS, AlertKind
from angarium.core.claims import Capability
from angarium.core.contact import Contact, ContactDraft, ContactStatus
from angarium.core.email import MAX_EMAIL
from angarium.core.errors import NotFound

router = APIRouter(prefix=API_PATH, route_class=WireRoute, tags=["Contact"])

CONTACT: Final = f"{ids.CONTACT}0ERndamqNyk3haXpUQDyjOZPphZ"
_MANAGE: Final = requires(Capability.MANAGE_ENDPOINT)
ContactId = Annotated[str, Path(description="Id of the contact.", examples=[CONTACT])]
Email = Annotated[
    str, Field(max_length=MAX_EMAIL), says("The address. It is mailed a link to confirm.", "dev@example.com")
]
Kinds = Annotated[
    list[AlertKind],
    Field(max_length=len(ALL_KINDS)),
    says(
        "What is reported to the contact: an endpoint was disabled, an endpoint is failing, the last retry "
        "of messages failed, a soft limit or a hard limit of the application is reached.",
        ["endpoint.disabled", "message.exhausted"],
    ),
]


class ContactIn(Wire):
    """An address, and what is reported to it."""

    email: Email
    kinds: Kinds = Field(default_factory=lambda: list(ALL_KINDS))


class ContactsIn(Wire):
    """The contacts that replace all others."""

    contacts: Annotated[
        list[ContactIn],
        says(
            "At most 10 contacts. A contact with a new address is mailed a confirmation.",
            [{"email": "dev@example.com"}],
        ),
    ]


class ContactOut(Out):
    """A person who is mailed when endpoints of the application fail."""

    id: Annotated[str, says("Id of the contact.", CONTACT)]
    email: Annotated[str, says("The address.", "dev@example.com")]
    kinds: Annotated[list[AlertKind], says("What is reported to the contact.", ["endpoint.disabled"])]
    status: Annotated[
        ContactStatus,
        says(
            "`pending`: it has not confirmed yet. `active`: it gets mail. `unsubscribed`: it wants no mail. "
            "`bouncing`: its mail server refused a mail, and no more is sent.",
            "active",
        ),
    ]
    created_at: CreatedAt
    updated_at: UpdatedAt
    bounce: Annotated[
        str | UnsetType, says("What the mail server said when it refused a mail.", "550 No such user")
    ] = UNSET


class ContactsOut(Out):
    """The contacts of an application."""

    contacts: Annotated[list[ContactOut], says("In order of creation.")]


def contact_out(contact: Contact) -> ContactOut:
    """A contact as JSON."""
    return ContactOut(
        id=ids.text(ids.CONTACT, contact.id),
        email=contact.email,
        kinds=list(contact.kinds),
        status=contact.status,
        created_at=wire_time(contact.created_at),
        updated_at=wire_time(contact.updated_at),
        bounce=UNSET if contact.bounce is None else contact.bounce,
    )


@router.get("/app/{app_id}/contact", operation_id="v1.contact.list")
async def list_contacts(application: AppOf, services: ServicesOf) -> ContactsOut:
    """List contacts.

    The people who are mailed when endpoints of the application fail.
    """
    found = await services.contact.of(application.id)
    return ContactsOut([contact_out(one) for one in found])


@router.put("/app/{app_id}/contact", operation_id="v1.contact.replace", dependencies=[_MANAGE])
async def replace_contacts(application: AppOf, services: ServicesOf, body: ContactsIn) -> ContactsOut:
    """Replace contacts.

    Contacts are identified by their address. One that is not given is deleted, and one that stays keeps its
    status. A new contact is mailed a link, and gets no other mail until it is confirmed.
    """
    drafts = [ContactDraft(one.email, tuple(dict.fromkeys(one.kinds))) for one in body.contacts]
    found = await services.contact.replace(application, drafts)
    return ContactsOut([contact_out(one) for one in found])


@router.post("/app/{app_id}/contact", operation_id="v1.contact.add", dependencies=[_MANAGE])
async def add_contact(application: AppOf, services: ServicesOf, body: ContactIn) -> ContactOut:
    """Add a contact.

    If there is a contact with this address, only what is reported to it changes. A new contact is mailed a
    link, and gets no other mail until it is confirmed.
    """
    draft = ContactDraft(body.email, tuple(dict.fromkeys(body.kinds)))
    return contact_out(await services.contact.add(application, draft))


@router.delete(
    "/app/{app_id}/contact/{contact_id}",
    operation_id="v1.contact.remove",
    status_code=204,
    dependencies=[_MANAGE],
)
async def remove_contact(application: AppOf, services: ServicesOf, contact_id: ContactId) -> None:
    """Delete a contact.

    It gets no more mail. Links of earlier mails end.
    """
    await services.contact.remove(application.id, _id(contact_id))


@router.post(
    "/app/{app_id}/contact/{contact_id}/confirmation",
    operation_id="v1.contact.ask",
    dependencies=[_MANAGE],
)
async def ask_contact(application: AppOf, services: ServicesOf, contact_id: ContactId) -> ContactOut:
    """Mail a confirmation again.

    For a contact that is pending, has unsubscribed or is bouncing. Links of earlier confirmations end. At
    most three a day are mailed to an address, and 20 for an application.
    """
    return contact_out(await services.contact.ask(application.id, _id(contact_id)))


def _id(text: str) -> UUID:
    if (found := ids.parse(ids.CONTACT, text)) is None:
        raise NotFound()
    return found
