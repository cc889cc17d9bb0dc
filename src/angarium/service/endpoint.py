"""Endpoints: where an application's messages go, and everything that may be changed about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from angarium.clock import Clock, datetime_at
from angarium.core import ids
from angarium.core.address import AddressPolicy
from angarium.core.audit import Deed, difference, endpoint_view, secret_view
from angarium.core.errors import BadRequest, Invalid, NotFound
from angarium.core.keyring import Keyring
from angarium.core.nouns import Application, DisabledReason, Endpoint, SigningKey
from angarium.core.patterns import is_wildcard
from angarium.core.url import check_url, hide_login, is_hidden, same_door
from angarium.service import audit, endpoint_secret
from angarium.service.endpoint_header import check_headers, merged
from angarium.store import background_task, event_type
from angarium.store import endpoint as store
from angarium.store.database import Database
from angarium.store.endpoint import Stats
from angarium.store.shard import PULLED, shard_of

STATS_SPAN: Final = 28 * 86400.0
MAX_TEXT: Final = 10_000  # characters of a description or a name
_SLACK: Final = 300.0  # seconds that a caller's clock may differ


@dataclass(frozen=True, slots=True)
class EndpointDraft:
    """What can be said about an endpoint, apart from its secret and headers."""

    url: str
    description: str = ""
    uid: str | None = None
    version: int = 1
    rate_limit: int | None = None
    event_types: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    disabled: bool = False
    fifo: bool = False
    name: str | None = None
    """For people, where a product's API has one; None leaves the name that there is."""


Change = Callable[[EndpointDraft], EndpointDraft]
HeaderChange = Callable[[dict[str, str]], dict[str, str]]


class Endpoints:
    """Find, list, create, change and delete endpoints, their secrets and their headers."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        entropy: Callable[[int], bytes],
        keyring: Keyring,
        *,
        policy: AddressPolicy,
        https_only: bool,
    ) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._keyring = keyring
        self._policy = policy
        self._https_only = https_only

    async def find(self, app_id: UUID, ref: str) -> Endpoint:
        """The endpoint with this id or uid. Raises NotFound."""
        async with self._database.connection() as connection:
            return await self._find(connection, app_id, ref)

    async def reveal(self, app_id: UUID, ref: str) -> Endpoint:
        """The endpoint, for somebody who is to see its secret: nothing is shown that is not recorded."""
        async with self._database.transaction() as connection:
            found = await self._find(connection, app_id, ref)
            await self._record(connection, found, "endpoint.secret.revealed", after=secret_view(found))
        return found

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
        """`pulled`: its deliveries are fetched (see service/listener.py), so its URL is not looked at.

        Raises Invalid, or Conflict when the uid is taken.
        """
        checked, login = (draft, None) if pulled else self._checked(draft, None)
        new = self._new(application, checked, secret, dict(headers or {}), login)
        if pulled:
            new = replace(new, shard=PULLED)
        async with self._database.transaction() as connection:
            await _check_event_types(connection, application.org_id, draft.event_types)
            return await self._create(connection, new)

    async def upsert(
        self, application: Application, ref: str, draft: EndpointDraft, *, headers: Mapping[str, str] | None
    ) -> tuple[Endpoint, bool]:
        """Replace the endpoint `ref` (its secret stays, its headers too unless given), or make a new one."""
        if headers is not None:
            check_headers(headers)
        async with self._database.transaction() as connection:
            await _check_event_types(connection, application.org_id, draft.event_types)
            found = await store.find(connection, application.id, ref, self._keyring, lock=True)
            draft, login = self._checked(draft, found)
            if found is None:
                new = self._new(application, draft, None, dict(headers or {}), login)
                return await self._create(connection, new), True
            return await self._store(connection, found, draft, login, headers=headers), False

    async def update(
        self, application: Application, ref: str, change: Change, *, headers: HeaderChange | None = None
    ) -> Endpoint:
        """Change what `change` changes, and the headers too if they are to be.

        Raises NotFound, Invalid, or Conflict when the uid is taken.
        """
        async with self._database.transaction() as connection:
            found = await self._find(connection, application.id, ref, lock=True)
            before = _draft_of(found)
            draft = change(before)
            if found.shard == PULLED and (draft.url, draft.fifo) != (before.url, before.fifo):
                raise Invalid.field("url", "This is a listener: it fetches its messages and has no address.")
            login = found.login
            if draft.url != before.url:
                draft, login = self._checked(draft, found)
            if draft.event_types != before.event_types:
                await _check_event_types(connection, application.org_id, draft.event_types)
            wanted = None if headers is None else headers(found.headers)
            if wanted is not None:
                check_headers(wanted)
            return await self._store(connection, found, draft, login, headers=wanted)

    async def delete(self, app_id: UUID, ref: str) -> None:
        """What it is still owed is canceled. Raises NotFound."""
        async with self._database.transaction() as connection:
            found = await self._find(connection, app_id, ref, lock=True)
            await store.delete(connection, found, self._now())
            await self._record(connection, found, "endpoint.deleted", before=endpoint_view(found))
            await self._cancel(connection, found)

    async def rotate(
        self, app_id: UUID, ref: str, secret: str | None, grace: float, *, two_phase: bool = False
    ) -> SigningKey:
        """A new secret, given or made; the old one signs too for `grace` seconds.

        `two_phase`: where there is room for one signature only, the old one stays in force until then, or
        until the new one is activated.
        """
        async with self._database.transaction() as connection:
            found = await self._find(connection, app_id, ref, lock=True)
            now = self._clock.now()
            if secret is None:
                new = endpoint_secret.made(self._entropy, like=endpoint_secret.in_force(found.keys, now))
            else:
                new = endpoint_secret.chosen(secret, field="key")
            keys = endpoint_secret.rotated(found.keys, new, now=now, grace=grace, two_phase=two_phase)
            await self._write(connection, found, replace(found, keys=keys), "endpoint.secret.rotated")
        return keys[0]

    async def activate(self, app_id: UUID, ref: str) -> Endpoint:
        """Put the pending secret in force now. Raises NotFound, or BadRequest when none is pending."""
        async with self._database.transaction() as connection:
            found = await self._find(connection, app_id, ref, lock=True)
            keys = endpoint_secret.activated(found.keys, self._clock.now())
            return await self._write(
                connection, found, replace(found, keys=keys), "endpoint.secret.activated"
            )

    async def set_headers(self, app_id: UUID, ref: str, headers: Mapping[str, str]) -> None:
        """Replace all headers. Raises NotFound or Invalid."""
        await self._change_headers(app_id, ref, lambda _: dict(headers))

    async def patch_headers(
        self, app_id: UUID, ref: str, changes: Mapping[str, str | None], removed: Iterable[str]
    ) -> None:
        """Set some headers, take away others. Raises NotFound or Invalid."""
        check_headers({name: value for name, value in changes.items() if value is not None})
        await self._change_headers(app_id, ref, lambda before: merged(before, changes, removed))

    async def stats(self, app_id: UUID, ref: str, since: datetime | None, until: datetime | None) -> Stats:
        """Raises NotFound, or BadRequest when the span is longer than 28 days or ends in the future."""
        now = self._clock.now()
        end = now if until is None else until.timestamp()
        start = end - STATS_SPAN if since is None else since.timestamp()
        if end > now + _SLACK or start > end or end - start > STATS_SPAN + _SLACK:
            raise BadRequest(
                "The range must end in the past and be at most 28 days long.", code="invalid_range"
            )
        async with self._database.connection() as connection:
            found = await self._find(connection, app_id, ref)
            return await store.stats(connection, found, ids.lowest(start), ids.highest(end))

    async def _change_headers(self, app_id: UUID, ref: str, change: HeaderChange) -> None:
        async with self._database.transaction() as connection:
            found = await self._find(connection, app_id, ref, lock=True)
            headers = change(found.headers)
            check_headers(headers)
            await self._write(connection, found, replace(found, headers=headers), "endpoint.headers.changed")

    async def _find(self, connection: Any, app_id: UUID, ref: str, *, lock: bool = False) -> Endpoint:
        found = await store.find(connection, app_id, ref, self._keyring, lock=lock)
        if found is None:
            raise NotFound()
        return found

    async def _create(self, connection: Any, new: Endpoint) -> Endpoint:
        made = await store.create(connection, new, self._keyring, self._entropy)
        await self._record(connection, made, "endpoint.created", after=endpoint_view(made))
        return made

    async def _write(self, connection: Any, found: Endpoint, changed: Endpoint, action: str) -> Endpoint:
        stored = await store.update(
            connection, replace(changed, updated_at=self._now()), self._keyring, self._entropy
        )
        if stored is None:
            raise NotFound()
        before, after = endpoint_view(found), endpoint_view(stored)
        if anew := [name for name, value in stored.headers.items() if found.headers.get(name) != value]:
            after["headersSet"] = sorted(anew)  # their values may be secrets
        if found.keys != stored.keys and before["secrets"] == after["secrets"]:
            after["secretInForce"] = after["secrets"][0]
        if (changes := difference(before, after)) is not None:
            if changes[1].keys() == {"disabled"}:
                action = "endpoint.disabled" if stored.disabled_at is not None else "endpoint.enabled"
            await self._record(connection, stored, action, *changes)
        return stored

    async def _record(
        self,
        connection: Any,
        endpoint: Endpoint,
        action: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        target = ids.text(ids.ENDPOINT, endpoint.id)
        deed = Deed(endpoint.org_id, endpoint.app_id, action, target, before, after)
        await audit.record(connection, self._clock.now(), self._entropy, deed)

    async def _store(
        self,
        connection: Any,
        found: Endpoint,
        draft: EndpointDraft,
        login: str | None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Endpoint:
        """Write the draft and its URL's login, and do what a switch of order or `disabled` brings along."""
        if draft.description != found.description:
            check_text("description", draft.description)
        check_text("name", draft.name)
        was_disabled = found.disabled_at is not None
        changed = replace(
            found,
            uid=draft.uid,
            url=draft.url,
            login=login,
            description=draft.description,
            version=draft.version,
            rate_limit=draft.rate_limit,
            event_types=draft.event_types,
            channels=draft.channels,
            metadata=draft.metadata,
            fifo=draft.fifo,
            name=found.name if draft.name is None else draft.name,
            headers=found.headers if headers is None else dict(headers),
        )
        if draft.disabled != was_disabled:
            changed = replace(
                changed,
                disabled_at=self._now() if draft.disabled else None,
                disabled_reason=DisabledReason.MANUAL if draft.disabled else None,
            )
        stored = await self._write(connection, found, changed, "endpoint.updated")
        if draft.disabled and not was_disabled:
            await self._cancel(connection, stored)
        if was_disabled and not draft.disabled:
            await store.forgive(connection, stored)
        if found.fifo != stored.fifo:
            await store.set_order(connection, stored)
        return stored

    async def _cancel(self, connection: Any, endpoint: Endpoint) -> None:
        at = self._clock.now()
        task_id = ids.new(at, self._entropy(8))
        await background_task.cancel_owed(
            connection, task_id, endpoint.org_id, endpoint.app_id, endpoint.id, at
        )

    def _now(self) -> datetime:
        return datetime_at(self._clock.now())

    def _checked(self, draft: EndpointDraft, before: Endpoint | None) -> tuple[EndpointDraft, str | None]:
        """The draft with its URL as it is kept, and the login of the URL. Raises Invalid."""
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
        check_text("description", draft.description)
        check_text("name", draft.name)
        at = self._clock.now()
        now = datetime_at(at)
        endpoint_id = ids.new(at, self._entropy(8))
        key: SigningKey
        if secret is None:
            key = endpoint_secret.made(self._entropy)
        else:
            key = endpoint_secret.chosen(secret, field="secret")
        return Endpoint(
            id=endpoint_id,
            app_id=application.id,
            org_id=application.org_id,
            uid=draft.uid,
            url=draft.url,
            description=draft.description,
            version=draft.version,
            rate_limit=draft.rate_limit,
            event_types=draft.event_types,
            channels=draft.channels,
            metadata=draft.metadata,
            headers=headers,
            keys=(key,),
            fifo=draft.fifo,
            shard=shard_of(endpoint_id),
            disabled_at=now if draft.disabled else None,
            disabled_reason=DisabledReason.MANUAL if draft.disabled else None,
            revision=1,
            created_at=now,
            updated_at=now,
            name=draft.name,
            login=login,
        )


def check_text(field: str, text: str | None) -> None:
    """Raises Invalid for a text that no person reads to the end: lists show many of them."""
    if text is not None and len(text) > MAX_TEXT:
        raise Invalid.field(field, f"At most {MAX_TEXT:,} characters.")


def kept_login(url: str, before: Endpoint | None) -> tuple[str, str | None]:
    """A checked URL as it is kept, and its login: the one that there is, where it came back as it is shown.

    Raises ValueError when there is none, or when it would go to another host than it was given for.
    """
    shown, login = hide_login(url)
    if not is_hidden(login):
        return shown, login
    if before is None or before.login is None or hide_login(before.url)[1] != login:
        raise ValueError("the URL has *** where its password was not shown; write the password")
    if not same_door(before.url, url):
        raise ValueError("the URL leads to another host; write the password that is hidden as *** again")
    return shown, before.login


def _draft_of(endpoint: Endpoint) -> EndpointDraft:
    return EndpointDraft(
        url=endpoint.url,
        description=endpoint.description,
        uid=endpoint.uid,
        version=endpoint.version,
        rate_limit=endpoint.rate_limit,
        event_types=endpoint.event_types,
        channels=endpoint.channels,
        metadata=endpoint.metadata,
        disabled=endpoint.disabled_at is not None,
        fifo=endpoint.fifo,
        name=endpoint.name,
    )


async def _check_event_types(connection: Any, org_id: str, patterns: tuple[str, ...] | None) -> None:
    """Raises Invalid unless every name is an event type in use; a wildcard need only be well-formed."""
    names = [pattern for pattern in patterns or () if not is_wildcard(pattern)]
    if not names:
        return
    known = await event_type.known(connection, org_id, names)
    missing = [name for name in names if name not in known]
    if missing:
        raise Invalid.field("eventTypes", f"These event types do not exist: {', '.join(missing[:10])}")
