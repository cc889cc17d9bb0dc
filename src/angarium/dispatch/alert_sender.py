"""Tells people of failing endpoints: gathers notices into digests, and sends them by mail and webhook.

Only the owner of the first shard does this. Notices and mails are in the database, so a process that dies
loses none. A mail is claimed, sent and then marked as sent; if the process dies in between, it is sent again
with the same Message-ID. Deliveries never wait for a mail server: mails are sent in a thread, and no database
connection is held meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import structlog

from angarium.alert import hook, letter
from angarium.alert.channel import Channels
from angarium.alert.letter import Letter
from angarium.alert.mail import Mail, mail
from angarium.alert.smtp import SendResult, Verdict
from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.alert import FAILING_FOR, OPERATORS, Digest, Recipient, opened, sent
from angarium.core.alert_link import AlertLink, Purpose, token
from angarium.core.audit import SYSTEM, AuditEvent
from angarium.core.contact import LINK_LIFETIME, ContactStatus
from angarium.core.errors import StoreUnavailable
from angarium.core.keyring import NONCE_BYTES, Keyring
from angarium.core.product import STANDARD, Product
from angarium.store import alert as store
from angarium.store import audit, contact, organization
from angarium.store.alert import Outgoing
from angarium.store.database import Database
from angarium.store.fault import DatabaseFault

log = structlog.get_logger(__name__)

EVERY: Final = 5.0  # seconds between looks for notices and mails
AT_ONCE: Final = 20  # mails over one connection
RECIPIENTS: Final = 200  # whose digests are written in one step
LEASE: Final = 600.0  # seconds for which a mail is claimed: longer than sending can take
PAUSES: Final = (30.0, 120.0, 600.0, 1800.0)  # seconds between tries; the last is repeated
GIVEN_UP: Final = 86400.0  # seconds after which a mail is not tried again
HOOK_TIMEOUT: Final = 15.0


class AlertSender:
    """Works while `leads` returns true."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        leads: Callable[[], bool],
        keyring: Keyring,
        products: Mapping[str, Product],
        channels: Channels,
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._leads = leads
        self._keyring = keyring
        self._products = products
        self._channels = channels
        self._audience = channels.audience
        self._never = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self._clock.wait(self._never, self._clock.now() + EVERY)
            if not self._audience or not self._leads():
                continue
            try:
                await self.step()
            except (StoreUnavailable, DatabaseFault) as error:
                log.warning("alert.waiting", error=str(error))

    async def step(self) -> None:
        """Note failing endpoints, write the digests that are due, and send the mails that are due."""
        while await self._note_failing() == store.MARKED:
            pass
        await self._write_digests()
        while await self._send() == AT_ONCE:
            pass

    async def _note_failing(self) -> int:
        now = self._clock.now()
        async with self._database.connection() as connection:
            return await store.add_failing(connection, self._audience, now, now - FAILING_FOR)

    async def _write_digests(self) -> None:
        async with self._database.connection() as connection:
            waiting = await store.due(connection, self._clock.now(), RECIPIENTS)
        for recipient_id, window in waiting:
            now = self._clock.now()
            async with self._database.transaction() as connection:
                if (first := opened(window, now)) is not None:
                    await store.open_window(connection, recipient_id, first)
                    continue
                assert window is not None
                digest = await store.take(connection, recipient_id)
                if digest is None:
                    continue
                await store.write(
                    connection,
                    ids.new(now, self._entropy(8)),
                    recipient_id,
                    store.DIGEST,
                    now,
                    app_id=None if recipient_id in OPERATORS else digest.entries[0].app_id,
                    digest=digest,
                )
                await store.open_window(connection, recipient_id, sent(window, now))

    async def _send(self) -> int:
        """Send the mails that are due, at most AT_ONCE. Returns how many there were."""
        now = self._clock.now()
        async with self._database.connection() as connection:
            claimed = await store.claim(connection, now, now + LEASE, AT_ONCE)
            names = await organization.profiles(connection, {one.org_id for one in claimed if one.org_id})
        mails: list[tuple[Outgoing, Mail]] = []
        for one in claimed:
            if one.recipient_id == Recipient.WEBHOOK:
                await self._call(one)
            elif (made := self._made(one, names)) is None:
                await self._settle(one, None)
            else:
                mails.append((one, made))
        if mails and self._channels.mail is not None:
            results = await self._channels.mail.send([made for _, made in mails])
            for (one, _), result in zip(mails, results, strict=True):
                await self._sent(one, result)
        return len(claimed)

    def _made(self, one: Outgoing, names: Mapping[str, str]) -> Mail | None:
        """The same as `_mail`. A mail that cannot be made because of a bug must not block the others."""
        try:
            return self._mail(one, names)
        except Exception:
            log.exception("alert.broken", mail=str(one.id))
            return None

    def _mail(self, one: Outgoing, names: Mapping[str, str]) -> Mail | None:
        """The mail; None if it is not wanted any more, or its channel was removed."""
        channels = self._channels
        if channels.mail is None:
            return None
        if one.recipient_id == Recipient.MAIL:
            written, to = self._for_operator(one.digest), channels.operator
        else:
            written, to = self._for_contact(one, names), (one.email or "",)
        if written is None or not to:
            return None
        return mail(written, channels.sender, to, one.id, one.created_at.timestamp())

    def _for_operator(self, digest: Digest | None) -> Letter | None:
        base = self._channels.base
        return None if digest is None else letter.for_operator(digest, base and f"{base}/admin")

    def _for_contact(self, one: Outgoing, names: Mapping[str, str]) -> Letter | None:
        base = self._channels.base
        if base is None or one.app_id is None or one.email is None or one.org_id is None:
            return None
        product = self._products.get(names.get(one.org_id, STANDARD), self._products[STANDARD])
        if one.kind == store.CONFIRMATION:
            if one.nonce is None:  # confirmed meanwhile
                return None
            expires_at = int(one.created_at.timestamp() + LINK_LIFETIME)
            link = AlertLink(Purpose.CONFIRM, one.app_id, one.recipient_id, one.nonce, expires_at)
            return letter.confirmation(
                product.profile.title, one.application or "", self._url("confirm", link)
            )
        if one.digest is None or one.status is not ContactStatus.ACTIVE:
            return None
        link = AlertLink(Purpose.UNSUBSCRIBE, one.app_id, one.recipient_id)
        return letter.for_contact(
            one.digest,
            product.profile.ids.endpoint,
            self._url("unsubscribe", link),
            f"{base}/portal/{ids.text(ids.APPLICATION, one.app_id)}",
        )

    def _url(self, page: str, link: AlertLink) -> str:
        return f"{self._channels.base}/alerts/{page}/{token(link, self._keyring, self._entropy(NONCE_BYTES))}"

    async def _call(self, one: Outgoing) -> None:
        """Call the operator's webhook."""
        webhook, post, written = self._channels.webhook, self._channels.post, self._for_operator(one.digest)
        if webhook is None or post is None or written is None:
            await self._settle(one, None)
            return
        body = hook.body(written, one.digest, hook.form_of(webhook))
        result = await post(webhook.url, hook.HEADERS, body, HOOK_TIMEOUT)
        said = result.error or str(result.status_code)
        verdict = Verdict.SENT if result.kind is None else Verdict.LATER
        await self._sent(one, SendResult(verdict, said))

    async def _sent(self, one: Outgoing, result: SendResult) -> None:
        """Store what became of a mail."""
        facts = {"mail": str(one.id), "kind": one.kind, "to": _name_of(one), "said": result.said}
        match result.verdict:
            case Verdict.SENT:
                log.info("alert.sent", **facts)
                await self._settle(one, None)
            case Verdict.REFUSED:
                log.warning("alert.refused", **facts)
                await self._bounced(one, result.said)
            case Verdict.LATER:
                now = self._clock.now()
                if now - one.created_at.timestamp() >= GIVEN_UP:
                    log.error("alert.dropped", **facts)
                    await self._settle(one, None)
                    return
                log.warning("alert.failed", tries=one.tries, **facts)
                await self._settle(one, now + PAUSES[min(one.tries, len(PAUSES)) - 1])

    async def _bounced(self, one: Outgoing, said: str) -> None:
        """The mail server of a contact refused a mail permanently: the contact gets no more."""
        now = self._clock.now()
        async with self._database.transaction() as connection:
            await store.settle(connection, one.id, None)
            if one.app_id is None:
                return
            found = await contact.lock(connection, one.app_id, one.recipient_id)
            if found is None or found.status is ContactStatus.UNSUBSCRIBED:
                return
            changed = replace(found, status=ContactStatus.BOUNCING, bounce=said, nonce=None)
            await contact.update(connection, changed, datetime_at(now))
            event = AuditEvent(
                found.org_id,
                found.app_id,
                "contact.bounced",
                ids.text(ids.CONTACT, found.id),
                {"status": found.status.value},
                {"status": changed.status.value},
            )
            await audit.record(connection, ids.new(now, self._entropy(8)), SYSTEM, event)

    async def _settle(self, one: Outgoing, again_at: float | None) -> None:
        async with self._database.connection() as connection:
            await store.settle(connection, one.id, again_at)


def _name_of(one: Outgoing) -> str:
    """The recipient in the log, without its address."""
    if one.recipient_id == Recipient.MAIL:
        return "operator"
    if one.recipient_id == Recipient.WEBHOOK:
        return "webhook"
    return ids.text(ids.CONTACT, one.recipient_id)
