"""Manages applications. An application is one customer of an organization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.audit import application_view, difference
from angarium.core.errors import UidTaken
from angarium.core.nouns import MAX_NAME, Application, check_text
from angarium.service.use_case import Subject, UseCase, existing
from angarium.store import application as store
from angarium.store import background_task
from angarium.store import contact as contact_store
from angarium.store import endpoint as endpoint_store
from angarium.store.application import EVERY, ApplicationFilter
from angarium.store.connection import Connection


@dataclass(frozen=True, slots=True)
class ApplicationDraft:
    """The fields of an application that an operator sets."""

    name: str
    uid: str | None = None
    rate_limit: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class Applications(UseCase):
    """Find, list, create, change and delete applications."""

    async def find(self, org_id: str, ref: str) -> Application:
        """The application with this id or uid. Raises NotFound."""
        async with self._database.connection() as connection:
            return existing(await store.find(connection, org_id, ref))

    async def page(
        self,
        org_id: str,
        cursor: UUID | None,
        *,
        ascending: bool,
        limit: int,
        wanted: ApplicationFilter = EVERY,
    ) -> list[Application]:
        async with self._database.connection() as connection:
            return await store.page(
                connection, org_id, cursor, ascending=ascending, limit=limit, wanted=wanted
            )

    async def create(self, org_id: str, draft: ApplicationDraft) -> Application:
        """Raises Invalid, or Conflict when the uid is taken."""
        async with self._database.transaction() as connection:
            return await self._create(connection, org_id, draft)

    async def ensure(self, org_id: str, ref: str, draft: ApplicationDraft) -> tuple[Application, bool]:
        """The application `ref`, created from the draft if it is missing, and whether it was created."""
        async with self._database.transaction() as connection:
            if (found := await store.find(connection, org_id, ref)) is not None:
                return found, False
            try:
                return await self._create(connection, org_id, draft), True
            except UidTaken:  # created concurrently
                if (found := await store.find(connection, org_id, ref)) is None:
                    raise
                return found, False

    async def upsert(self, org_id: str, ref: str, draft: ApplicationDraft) -> tuple[Application, bool]:
        """Replace the application `ref`, or create one; and whether it was created."""
        async with self._database.transaction() as connection:
            found = await store.find(connection, org_id, ref, lock=True)
            if found is None:
                try:
                    return await self._create(connection, org_id, draft), True
                except UidTaken:  # created concurrently, or the uid of the body is another application's
                    if (found := await store.find(connection, org_id, ref, lock=True)) is None:
                        raise
            return await self._replace(connection, found, draft), False

    async def update(
        self, org_id: str, ref: str, change: Callable[[ApplicationDraft], ApplicationDraft]
    ) -> Application:
        """Apply `change`. Raises NotFound, Invalid, or Conflict when the uid is taken."""
        async with self._database.transaction() as connection:
            found = existing(await store.find(connection, org_id, ref, lock=True))
            draft = ApplicationDraft(found.name, found.uid, found.rate_limit, found.metadata)
            return await self._replace(connection, found, change(draft))

    async def delete(self, org_id: str, ref: str) -> None:
        """Delete the application and cancel its pending deliveries. Raises NotFound."""
        at = self._clock.now()
        now = datetime_at(at)
        async with self._database.transaction() as connection:
            found = existing(await store.find(connection, org_id, ref, lock=True))
            await store.delete(connection, found, now)
            await contact_store.delete_all(connection, found.id)
            await self._record(
                connection, "application.deleted", _subject(found), before=application_view(found)
            )
            for endpoint_id in await endpoint_store.touch_all(connection, found.id, only_inheriting=False):
                # one task per endpoint: the number of pending deliveries is unbounded
                await background_task.create(
                    connection,
                    ids.new(at, self._entropy(8)),
                    org_id,
                    found.id,
                    background_task.CANCEL,
                    background_task.cancel_arguments(endpoint_id, ids.made_by(at)),
                    now,
                )

    async def _create(self, connection: Connection, org_id: str, draft: ApplicationDraft) -> Application:
        check_text("name", draft.name, MAX_NAME)
        made = await store.create(connection, self._new(org_id, draft))
        await self._record(connection, "application.created", _subject(made), after=application_view(made))
        return made

    def _new(self, org_id: str, draft: ApplicationDraft) -> Application:
        at = self._clock.now()
        now = datetime_at(at)
        return Application(
            id=ids.new(at, self._entropy(8)),
            org_id=org_id,
            uid=draft.uid,
            name=draft.name,
            rate_limit=draft.rate_limit,
            metadata=draft.metadata,
            created_at=now,
            updated_at=now,
        )

    async def _replace(
        self, connection: Connection, found: Application, draft: ApplicationDraft
    ) -> Application:
        check_text("name", draft.name, MAX_NAME, found.name)
        changed = replace(
            found,
            uid=draft.uid,
            name=draft.name,
            rate_limit=draft.rate_limit,
            metadata=draft.metadata,
            updated_at=self._now(),
        )
        stored = existing(await store.update(connection, changed))
        if (changes := difference(application_view(found), application_view(stored))) is not None:
            await self._record(connection, "application.updated", _subject(stored), *changes)
        if stored.rate_limit != found.rate_limit:
            # endpoints without a rate limit use the application's
            await endpoint_store.touch_all(connection, found.id, only_inheriting=True)
        return stored


def _subject(application: Application) -> Subject:
    return Subject(application.org_id, application.id, ids.text(ids.APPLICATION, application.id))
