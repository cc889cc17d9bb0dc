"""Erases an application or a message: everything of it is deleted, and the audit log has the proof.

The request marks what is to be erased, so that from its commit on nothing of it is accepted, sent or
recorded. A background task deletes the rows (dispatch/erasure.py), counts what is left in every table, and
then records `application.erased` or `message.erased`.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.audit import fingerprint
from angarium.core.nouns import Application
from angarium.core.patterns import is_uid
from angarium.service import audit
from angarium.service.use_case import Subject, UseCase, existing
from angarium.store import background_task, erase, message
from angarium.store.background_task import ERASE_APPLICATION, ERASE_MESSAGE, BackgroundTask
from angarium.store.connection import Connection
from angarium.store.idempotency import subject_of

_BEGUN: Final = {ERASE_APPLICATION: "application.erase.begun", ERASE_MESSAGE: "message.erase.begun"}


class Erasures(UseCase):
    """Begins erasures. Beginning one again returns the task that is running."""

    async def application(self, org_id: str, ref: str) -> BackgroundTask:
        """Erase an application. One that was deleted is found by its id. Raises NotFound."""
        app_id = ids.parse(ids.APPLICATION, ref)
        uid = ref if app_id is None and is_uid(ref, ids.APPLICATION) else None
        now = self._clock.now()
        async with self._database.transaction() as conn:
            found = existing(await erase.find(conn, org_id, app_id, uid))
            running = await background_task.erasing(conn, org_id, ERASE_APPLICATION, found.id)
            if running is not None:
                return running
            await erase.mark(conn, found, datetime_at(now))
            named = _named(found)
            said = {**named, "name": fingerprint(found.name)}
            refs = [one for one in named.values() if one is not None]
            more = {"subjects": [subject_of(org_id, one).hex() for one in refs]}
            subject = Subject(org_id, found.id, named["application"])
            return await self._begin(conn, ERASE_APPLICATION, subject, None, found.id, said, more)

    async def message(self, application: Application, ref: str) -> BackgroundTask:
        """Erase the content of a message, and the responses to it. Raises NotFound."""
        async with self._database.transaction() as conn:
            message_id = existing(await message.find(conn, application.id, ref))
            running = await background_task.erasing(conn, application.org_id, ERASE_MESSAGE, message_id)
            if running is not None:
                return running
            now = datetime_at(self._clock.now())
            if not await erase.mark_message(conn, application.id, message_id, now):
                existing(None)
            named = ids.text(ids.MESSAGE, message_id)
            said = {**_named(application), "message": named}
            subject = Subject(application.org_id, application.id, named)
            return await self._begin(conn, ERASE_MESSAGE, subject, application.id, message_id, said, {})

    async def _begin(
        self,
        conn: Connection,
        kind: str,
        subject: Subject,
        app_id: UUID | None,
        target: UUID,
        said: dict[str, Any],
        more: dict[str, Any],
    ) -> BackgroundTask:
        """Record the request, and create the task. `app_id`: None, if the task outlives the application."""
        task_id = self._new_id()
        await self._record(conn, _BEGUN[kind], subject, after={**said, "task": ids.text(ids.TASK, task_id)})
        arguments = {"target": str(target), "said": said, "actor": audit.current().text, **more}
        assert subject.org_id is not None
        return await background_task.create(
            conn, task_id, subject.org_id, app_id, kind, arguments, self._now()
        )


def _named(application: Application) -> dict[str, str | None]:
    """The fields by which a restored database finds the application."""
    return {"application": ids.text(ids.APPLICATION, application.id), "uid": application.uid}
