"""Manages the contacts of applications: email addresses that get alerts when endpoints fail.

A new contact gets a link, and no other mail until it is confirmed, so the form cannot be used to send mail to
other people. Each mail has a link to unsubscribe. A contact that has unsubscribed, or whose mail was refused,
gets mail again only after another confirmation. Confirmations are limited for each application and address.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from angarium.clock import Clock
from angarium.core import ids
from angarium.core.alert_link import AlertLink, Purpose, read
from angarium.core.audit import contact_view, difference
from angarium.core.contact import (
    CONFIRMATIONS_OF_ADDRESS,
    CONFIRMATIONS_OF_APPLICATION,
    DAY,
    MAX_CONTACTS,
    Contact,
    ContactDraft,
    ContactStatus,
)
from angarium.core.email import is_email
from angarium.core.errors import BadRequest, Conflict, FieldError, Invalid, NotFound, TooManyFailures
from angarium.core.keyring import Keyring
from angarium.core.nouns import Application
from angarium.service.use_case import Subject, UseCase, existing
from angarium.store import alert, application
from angarium.store import contact as store
from angarium.store.connection import Connection
from angarium.store.database import Database

AGAIN: Final = 3600.0  # seconds until a refused confirmation may be tried again


class Contacts(UseCase):
    """List, set, confirm and unsubscribe contacts."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes] = os.urandom,
        keyring: Keyring | None = None,
        *,
        available: bool = True,
    ) -> None:
        """`keyring`: opens the tokens of links. `available`: whether mail is configured."""
        super().__init__(database, clock, entropy)
        self._keyring = keyring
        self.available = available

    async def of(self, app_id: UUID) -> list[Contact]:
        """The contacts of an application, in order of creation."""
        async with self._database.connection() as connection:
            return await store.contacts(connection, app_id)

    async def replace(self, owner: Application, drafts: Sequence[ContactDraft]) -> list[Contact]:
        """Make these the contacts of the application. Contacts are identified by their address; one that
        stays keeps its status.

        Raises Invalid, BadRequest if no mail can be sent, or TooManyFailures.
        """
        async with self._database.transaction() as connection:
            return await self._replace(connection, owner, lambda _: drafts)

    async def add(self, owner: Application, draft: ContactDraft) -> Contact:
        """Add one contact, or change the kinds of the one with this address. Raises as `replace`."""
        self._refuse(_faults(draft, ("body",)))
        email = draft.email.lower()

        def with_it(before: Sequence[Contact]) -> list[ContactDraft]:
            rest = (one for one in before if one.email.lower() != email)
            return [*(ContactDraft(one.email, one.kinds) for one in rest), draft]

        async with self._database.transaction() as connection:
            found = await self._replace(connection, owner, with_it)
        return next(one for one in found if one.email.lower() == email)

    async def remove(self, app_id: UUID, contact_id: UUID) -> None:
        """Delete one contact. Raises NotFound."""
        async with self._database.transaction() as connection:
            await self._delete(connection, existing(await store.lock(connection, app_id, contact_id)))

    async def ask(self, app_id: UUID, contact_id: UUID) -> Contact:
        """Send a new confirmation link. Earlier links become invalid.

        Raises NotFound, BadRequest, TooManyFailures, or Conflict if the contact is active.
        """
        async with self._database.transaction() as connection:
            found = existing(await store.lock(connection, app_id, contact_id))
            if found.status is ContactStatus.ACTIVE:
                raise Conflict("This contact is confirmed.")
            self._check_available()
            asked = replace(found, nonce=uuid4())
            await store.update(connection, asked, self._now())
            await self._mail_confirmation(connection, asked)
            await self._record(connection, "contact.asked", _subject(found))
            return asked

    async def of_link(self, token: str, purpose: Purpose) -> Contact | None:
        """The contact of a link; None if it was deleted. Raises NotFound if the link is not valid."""
        link = self._read(token, purpose)
        async with self._database.transaction() as connection:
            found = await store.lock(connection, link.app_id, link.contact_id)
        if purpose is Purpose.CONFIRM and (found is None or found.nonce != link.nonce):
            raise NotFound()
        return found

    async def confirm(self, token: str) -> Contact:
        """Confirm the address of a contact. The link is valid once. Raises NotFound."""
        link = self._read(token, Purpose.CONFIRM)
        async with self._database.transaction() as connection:
            found = await store.lock(connection, link.app_id, link.contact_id)
            if found is None or found.nonce != link.nonce:
                raise NotFound()
            changed = replace(found, status=ContactStatus.ACTIVE, nonce=None, bounce=None)
            await self._change(connection, found, changed, "contact.confirmed")
            return changed

    async def unsubscribe(self, token: str) -> None:
        """Stop all mails to a contact. Can be repeated. Raises NotFound if the link is not valid."""
        link = self._read(token, Purpose.UNSUBSCRIBE)
        async with self._database.transaction() as connection:
            found = await store.lock(connection, link.app_id, link.contact_id)
            if found is None or found.status is ContactStatus.UNSUBSCRIBED:
                return
            changed = replace(found, status=ContactStatus.UNSUBSCRIBED, nonce=None)
            await self._change(connection, found, changed, "contact.unsubscribed")

    async def _replace(
        self,
        connection: Connection,
        owner: Application,
        change: Callable[[Sequence[Contact]], Sequence[ContactDraft]],
    ) -> list[Contact]:
        """`change` gets the contacts as they are, while no other request can change them."""
        await application.hold(connection, owner.org_id, owner.id)
        found = await store.contacts(connection, owner.id, lock=True)
        drafts = change(found)
        self._check(drafts)
        before = {one.email.lower(): one for one in found}
        wanted = {draft.email.lower(): draft for draft in drafts}
        for email, contact in before.items():
            if email not in wanted:
                await self._delete(connection, contact)
        for email, draft in wanted.items():
            if email not in before:
                await self._create(connection, owner, draft)
            elif before[email].kinds != draft.kinds:
                changed = replace(before[email], kinds=draft.kinds)
                await self._change(connection, before[email], changed, "contact.updated")
        return await store.contacts(connection, owner.id)

    def _read(self, token: str, purpose: Purpose) -> AlertLink:
        if self._keyring is None:
            raise NotFound()
        return read(token, purpose, self._keyring, self._clock.now())

    def _check(self, drafts: Sequence[ContactDraft]) -> None:
        faults = []
        for place, draft in enumerate(drafts):
            faults += _faults(draft, ("body", "contacts", place))
        emails = [draft.email.lower() for draft in drafts]
        if len(set(emails)) < len(emails):
            faults.append(FieldError(("body", "contacts"), "An address must occur only once."))
        if len(drafts) > MAX_CONTACTS:
            words = f"Must have at most {MAX_CONTACTS} contacts, not {len(drafts)}."
            faults.append(FieldError(("body", "contacts"), words))
        self._refuse(faults)

    def _refuse(self, faults: Sequence[FieldError]) -> None:
        if faults:
            raise Invalid(*faults)

    def _check_available(self) -> None:
        if not self.available:
            raise BadRequest(code="mail_unavailable")

    async def _create(self, connection: Connection, owner: Application, draft: ContactDraft) -> None:
        self._check_available()
        now = self._now()
        made = Contact(
            id=self._new_id(),
            app_id=owner.id,
            org_id=owner.org_id,
            email=draft.email,
            kinds=draft.kinds,
            status=ContactStatus.PENDING,
            created_at=now,
            updated_at=now,
            nonce=uuid4(),
        )
        await store.create(connection, made)
        await self._mail_confirmation(connection, made)
        await self._record(connection, "contact.created", _subject(made), after=contact_view(made))

    async def _delete(self, connection: Connection, found: Contact) -> None:
        await store.delete(connection, found.app_id, [found.id])
        await self._record(connection, "contact.deleted", _subject(found), before=contact_view(found))

    async def _change(self, connection: Connection, found: Contact, changed: Contact, action: str) -> None:
        await store.update(connection, changed, self._now())
        changes = difference(contact_view(found), contact_view(changed))
        await self._record(connection, action, _subject(found), *(changes or (None, None)))

    async def _mail_confirmation(self, connection: Connection, contact: Contact) -> None:
        since = self._now() - timedelta(seconds=DAY)
        of_application, of_address = await alert.confirmations(
            connection, contact.app_id, contact.email, since
        )
        if of_application >= CONFIRMATIONS_OF_APPLICATION or of_address >= CONFIRMATIONS_OF_ADDRESS:
            raise TooManyFailures(
                code="too_many_confirmations",
                address=CONFIRMATIONS_OF_ADDRESS,
                application=CONFIRMATIONS_OF_APPLICATION,
                retry_after=AGAIN,
            )
        await alert.write(
            connection,
            self._new_id(),
            contact.id,
            alert.CONFIRMATION,
            self._clock.now(),
            app_id=contact.app_id,
            email=contact.email,
        )


def _faults(draft: ContactDraft, where: tuple[str | int, ...]) -> list[FieldError]:
    """What is wrong with a contact. `where`: its place in the request."""
    faults = []
    if not is_email(draft.email):
        words = f"Must be an email address such as user@example.com, not {draft.email[:100]!r}."
        faults.append(FieldError((*where, "email"), words))
    if not draft.kinds:
        faults.append(FieldError((*where, "kinds"), "Must have at least one kind."))
    return faults


def _subject(contact: Contact) -> Subject:
    return Subject(contact.org_id, contact.app_id, ids.text(ids.CONTACT, contact.id))
