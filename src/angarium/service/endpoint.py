"""Manages endpoints: the URLs that receive an application's messages, with their secrets and headers.

Each change is recorded in the audit log, in its own transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.address import AddressPolicy
from angarium.core.audit import difference, endpoint_view, secret_view
from angarium.core.errors import BadRequest, Invalid, TooManyEndpoints, UidTaken
from angarium.core.event import NO_EVENTS, Events
from angarium.core.keyring import Keyring
from angarium.core.nouns import Application, Endpoint, SigningKey
from angarium.core.quota import MOST_ENDPOINTS, NO_LIMITS, QuotaLimits, limits
from angarium.core.url import check_url
from angarium.service import endpoint_field as fields
from angarium.service.endpoint_field import (
    Change,
    Difference,
    EndpointDraft,
    HeaderChange,
    changed_for,
    check_event_types,
    check_headers,
    kept_login,
)
from angarium.service.product import Products
from angarium.service.use_case import Subject, UseCase, existing
from angarium.store import application as application_store
from angarium.store import background_task, usage
from angarium.store import endpoint as store
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.endpoint import Stats
from angarium.store.place import place
from angarium.store.shard import PULLED, shard_of

STATS_SPAN: Final = 28 * 86400.0
_SLACK: Final = 300.0  # seconds by which a caller's clock may be off


class Endpoints(UseCase):
    """Find, list, create, change and delete endpoints, and show and replace their secrets."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        keyring: Keyring,
        *,
        policy: AddressPolicy,
        https_only: bool,
        products: Products,
        quota: QuotaLimits = NO_LIMITS,
        events: Events = NO_EVENTS,
    ) -> None:
        """`quota`: the limits of applications that have no others."""
        super().__init__(database, clock, entropy)
        self._keyring = keyring
        self._policy = policy
        self._https_only = https_only
        self._products = products
        self._quota = quota
        self._events = events

    async def find(self, app_id: UUID, ref: str) -> Endpoint:
        """The endpoint with this id or uid. Raises NotFound."""
        async with self._database.connection() as connection:
            return await self._find(connection, app_id, ref)

    async def page(self, app_id: UUID, cursor: UUID | None, *, ascending: bool, limit: int) -> list[Endpoint]:
        async with self._database.connection() as connection:
            return await store.page(
                connection, app_id, cursor, self._keyring, ascending=ascending, limit=limit
            )

    async def create(
        self,
        application: Application,
        draft: EndpointDraft,
        *,
        secret: str | None = None,
        headers: Mapping[str, str] | None = None,
        pulled: bool = False,
    ) -> Endpoint:
        """`pulled`: its deliveries are fetched (see service/listener.py), so its URL is not checked.

        Raises Invalid, Conflict when the uid is taken, or TooManyEndpoints.
        """
        checked, login = (draft, None) if pulled else self._checked(draft, None)
        new = self._new(application, checked, secret, dict(headers or {}), login)
        if pulled:
            new = replace(new, shard=PULLED)
        await self._products.of(application.org_id)
        async with self._database.transaction() as connection:
            await check_event_types(connection, application.org_id, draft.event_types)
            made = await self._insert(connection, new)
        self._events.endpoint_created()
        return made

    async def upsert(
        self, application: Application, ref: str, draft: EndpointDraft, *, headers: Mapping[str, str] | None
    ) -> tuple[Endpoint, bool]:
        """Replace the endpoint `ref`, or create one. Its secret stays, and its headers too unless given.

        Raises as `update` and `create` do.
        """
        if headers is not None:
            check_headers(headers)
        await self._products.of(application.org_id)
        async with self._database.transaction() as connection:
            await check_event_types(connection, application.org_id, draft.event_types)
            found = await store.find(connection, application.id, ref, self._keyring, lock=True)
            checked, login = self._checked(draft, found)
            if found is None:
                new = self._new(application, checked, None, dict(headers or {}), login)
                try:
                    made = await self._insert(connection, new)
                    self._events.endpoint_created()
                    return made, True
                except UidTaken:  # created concurrently, or the uid of the body is another endpoint's
                    found = await store.find(connection, application.id, ref, self._keyring, lock=True)
                    if found is None:
                        raise
                    checked, login = self._checked(draft, found)
            change: HeaderChange | None = None if headers is None else lambda _: dict(headers)
            wanted = changed_for(found.headers, found.url, checked.url, change)
            return await self._store(connection, found, checked, login, wanted), False

    async def update(
        self, application: Application, ref: str, change: Change, *, headers: HeaderChange | None = None
    ) -> Endpoint:
        """Apply `change`, and `headers` if given.

        `headers` gets the current headers, without those that must not be sent to the new URL.
        Raises NotFound, Invalid, or Conflict when the uid is taken.
        """
        async with self._database.transaction() as connection:
            found = await self._find(connection, application.id, ref, lock=True)
            before = EndpointDraft.of(found)
            draft = change(before)
            if found.shard == PULLED and (draft.url, draft.fifo) != (before.url, before.fifo):
                raise Invalid.field("url", "The url and fifo of a listener cannot be changed.")
            login = found.login
            if draft.url != before.url:
                draft, login = self._checked(draft, found)
            if draft.event_types != before.event_types:
                await check_event_types(connection, application.org_id, draft.event_types)
            wanted = changed_for(found.headers, found.url, draft.url, headers)
            if headers is not None:
                check_headers(wanted)
            return await self._store(connection, found, draft, login, wanted)

    async def delete(self, app_id: UUID, ref: str) -> None:
        """Delete the endpoint and cancel its pending and waiting deliveries. Raises NotFound."""
        async with self._database.transaction() as connection:
            found = await self._find(connection, app_id, ref, lock=True)
            await store.delete(connection, found, self._now())
            await self._record(connection, "endpoint.deleted", _subject(found), before=endpoint_view(found))
            await self._cancel(connection, found)

    async def stats(self, app_id: UUID, ref: str, since: datetime | None, until: datetime | None) -> Stats:
        """Raises NotFound, or BadRequest when the span is longer than 28 days or ends in the future."""
        now = self._clock.now()
        end = now if until is None else until.timestamp()
        start = end - STATS_SPAN if since is None else since.timestamp()
        if end > now + _SLACK or start > end or end - start > STATS_SPAN + _SLACK:
            raise BadRequest(code="invalid_range")
        last = ids.made_by(end) if until is None else ids.highest(end)
        async with self._database.connection() as connection:
            found = await self._find(connection, app_id, ref)
            return await store.stats(connection, found, ids.lowest(start), last)

    async def compare(
        self,
        application: Application,
        ref: str,
        *,
        url: str | None,
        secret: str | None,
        headers: Mapping[str, str],
    ) -> Difference:
        """Which of the given values differ from the endpoint's. Raises NotFound, or Invalid for a URL that
        cannot be stored."""
        found = await self.find(application.id, ref)
        differs = False
        if url is not None:
            draft, login = self._checked(replace(EndpointDraft.of(found), url=url), found)
            differs = (draft.url, login) != (found.url, found.login)
        return fields.difference(found, differs, secret, headers, self._clock.now())

    async def reveal_secret(self, app_id: UUID, ref: str) -> Endpoint:
        """The endpoint with its secret. The audit log records that it was shown. Raises NotFound."""
        async with self._database.transaction() as connection:
            found = await self._find(connection, app_id, ref)
            await self._record(
                connection, "endpoint.secret.revealed", _subject(found), after=secret_view(found)
            )
        return found

    async def rotate_secret(
        self, app_id: UUID, ref: str, secret: str | None, grace: float, *, two_phase: bool = False
    ) -> SigningKey:
        """Set a new secret, given or generated; the old one also signs for `grace` seconds.

        `two_phase`: where only one signature fits, the old secret is used until then, or until the new one
        is activated. Raises NotFound, Invalid, or BadRequest when too many old secrets are in use.
        """

        def rotated(found: Endpoint) -> Endpoint:
            now = self._clock.now()
            if secret is None:
                new = fields.made(self._entropy, like=fields.in_force(found.keys, now))
            else:
                new = fields.chosen(secret, field="key")
            keys = fields.rotated(found.keys, new, now=now, grace=grace, two_phase=two_phase)
            return replace(found, keys=keys)

        return (await self._change(app_id, ref, rotated, "endpoint.secret.rotated")).keys[0]

    async def activate_secret(self, app_id: UUID, ref: str) -> Endpoint:
        """Put the pending secret in force now. Raises NotFound, or BadRequest when none is pending."""
        return await self._change(
            app_id,
            ref,
            lambda found: replace(found, keys=fields.activated(found.keys, self._clock.now())),
            "endpoint.secret.activated",
        )

    async def set_headers(self, app_id: UUID, ref: str, headers: Mapping[str, str]) -> None:
        """Replace all headers. Raises NotFound or Invalid."""
        await self._change_headers(app_id, ref, lambda _: dict(headers))

    async def patch_headers(
        self, app_id: UUID, ref: str, changes: Mapping[str, str | None], removed: Iterable[str]
    ) -> None:
        """Set some headers and remove others. Raises NotFound or Invalid."""
        check_headers({name: value for name, value in changes.items() if value is not None})
        await self._change_headers(app_id, ref, lambda before: fields.merged(before, changes, removed))

    async def _change_headers(self, app_id: UUID, ref: str, change: HeaderChange) -> None:
        def changed(found: Endpoint) -> Endpoint:
            headers = change(found.headers)
            check_headers(headers)
            return replace(found, headers=headers)

        await self._change(app_id, ref, changed, "endpoint.headers.changed")

    async def _change(
        self, app_id: UUID, ref: str, change: Callable[[Endpoint], Endpoint], action: str
    ) -> Endpoint:
        async with self._database.transaction() as connection:
            found = await self._find(connection, app_id, ref, lock=True)
            return await self._write(connection, found, change(found), action)

    async def _insert(self, connection: Connection, new: Endpoint) -> Endpoint:
        """Raises Conflict when the uid is taken, or TooManyEndpoints."""
        own = await application_store.hold(connection, new.org_id, new.app_id)
        product = await self._products.of(new.org_id, connection)
        most = limits(new.org_id, own, product.profile.quota, self._quota).endpoints_hard
        made = await store.create(connection, new, self._keyring, self._entropy)
        await self._record(connection, "endpoint.created", _subject(made), after=endpoint_view(made))
        # counted last: a repeated request with an existing uid gets Conflict, even at the limit
        count = await store.count(connection, new.app_id, MOST_ENDPOINTS if most is None else most + 1)
        if most is not None and count > most:
            self._events.quota_refused("endpoints", 1)
            raise TooManyEndpoints(most)
        await usage.count_endpoints(connection, new.app_id, count, self._clock.now())
        return made

    async def _store(
        self,
        connection: Connection,
        found: Endpoint,
        draft: EndpointDraft,
        login: str | None,
        headers: dict[str, str],
    ) -> Endpoint:
        """Write the endpoint, and cancel, release or reorder deliveries as `disabled` or `fifo` changes."""
        changed = replace(draft.onto(found, login, self._now()), headers=headers)
        stored = await self._write(connection, found, changed, "endpoint.updated")
        was_disabled = found.disabled_at is not None
        if draft.disabled and not was_disabled:
            await self._cancel(connection, stored, wait=True)
        if (was_disabled and not draft.disabled) or stored.url != found.url:
            await store.reset_health(connection, stored)  # earlier failures are of other settings
        if was_disabled and not draft.disabled:
            await self._release(connection, stored)
        if stored.fifo and not found.fifo:
            await place(connection, stored.app_id, stored.id, anew=True)
        return stored

    async def _cancel(self, connection: Connection, endpoint: Endpoint, *, wait: bool = False) -> None:
        owner = self._new_id(), endpoint.org_id, endpoint.app_id, endpoint.id
        await background_task.cancel_queued(connection, *owner, self._clock.now(), wait=wait)

    async def _release(self, connection: Connection, endpoint: Endpoint) -> None:
        owner = self._new_id(), endpoint.org_id, endpoint.app_id, endpoint.id
        await background_task.release_waiting(connection, *owner, self._clock.now(), fifo=endpoint.fifo)

    async def _find(self, connection: Connection, app_id: UUID, ref: str, *, lock: bool = False) -> Endpoint:
        """The endpoint with this id or uid, unless deleted; `lock` it for a change. Raises NotFound."""
        return existing(await store.find(connection, app_id, ref, self._keyring, lock=lock))

    async def _write(
        self, connection: Connection, found: Endpoint, changed: Endpoint, action: str
    ) -> Endpoint:
        """Store `changed` in place of `found`. An update without a difference is not recorded.

        Raises NotFound, or Conflict when the uid is taken.
        """
        changed = replace(changed, updated_at=self._now())
        stored = existing(await store.update(connection, changed, self._keyring, self._entropy))
        before, after = endpoint_view(found), endpoint_view(stored)
        if anew := [name for name, value in stored.headers.items() if found.headers.get(name) != value]:
            after["headersSet"] = sorted(anew)  # their values may be secrets
        if found.keys != stored.keys and before["secrets"] == after["secrets"]:
            after["secretInForce"] = after["secrets"][0]
        if (changes := difference(before, after)) is not None:
            if changes[1].keys() == {"disabled"}:
                action = "endpoint.disabled" if stored.disabled_at is not None else "endpoint.enabled"
            await self._record(connection, action, _subject(stored), *changes)
        return stored

    def _checked(self, draft: EndpointDraft, before: Endpoint | None) -> tuple[EndpointDraft, str | None]:
        """The draft with its URL as it is stored, and the login from the URL. Raises Invalid."""
        try:
            url = check_url(draft.url, https_only=self._https_only, policy=self._policy)
            url, login = kept_login(url, before)
        except ValueError as error:
            raise Invalid.field("url", str(error)) from error
        return replace(draft, url=url), login

    def _new(
        self,
        application: Application,
        draft: EndpointDraft,
        secret: str | None,
        headers: dict[str, str],
        login: str | None,
    ) -> Endpoint:
        check_headers(headers)
        at = self._clock.now()
        now = datetime_at(at)
        endpoint_id = ids.new(at, self._entropy(8))
        new = Endpoint(
            id=endpoint_id,
            app_id=application.id,
            org_id=application.org_id,
            url=draft.url,
            shard=shard_of(endpoint_id),
            created_at=now,
            updated_at=now,
        )
        new = draft.onto(new, login, now)
        key = fields.made(self._entropy) if secret is None else fields.chosen(secret, field="secret")
        return replace(new, headers=headers, keys=(key,))


def _subject(endpoint: Endpoint) -> Subject:
    return Subject(endpoint.org_id, endpoint.app_id, ids.text(ids.ENDPOINT, endpoint.id))
