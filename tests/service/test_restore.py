"""What a restore undoes is repeated from an export; what the log proves is recorded, once."""

from __future__ import annotations

import io
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import pytest

from angarium.clock import SystemClock, datetime_at, steady
from angarium.core import ids
from angarium.core.address import AddressPolicy
from angarium.core.errors import Conflict, CredentialExpired, NotAuthenticated, NotFound
from angarium.core.keyring import Keyring
from angarium.core.product import STANDARD
from angarium.core.token_key import TokenKey
from angarium.service.api_key import ApiKeys
from angarium.service.application import ApplicationDraft, Applications
from angarium.service.endpoint import Endpoints
from angarium.service.endpoint_field import EndpointDraft
from angarium.service.erasure import Erasures
from angarium.service.product import Products
from angarium.service.reapply import ExportedRecord, Reapplied, Reapply, export
from angarium.service.restore import Reconcile, Reconciled, Restore
from angarium.service.token import Tokens
from angarium.store import guard as guards
from angarium.store import installation
from angarium.store.database import Database
from angarium.store.guard import Guard
from tests.conftest import Clones
from tests.kit.world import product

ORG: Final = "org_23rb8YdGqMT0qIzpgGwdXfHirMu"
RING: Final = Keyring([b"k" * 32])


class UseCases:
    """The use cases over one database."""

    def __init__(self, database: Database) -> None:
        self.clock = SystemClock()
        shared = database, self.clock, os.urandom
        self.database = database
        self.application = Applications(*shared)
        products = Products(database, self.clock, {STANDARD: product()})
        self.endpoint = Endpoints(
            *shared, RING, policy=AddressPolicy(()), https_only=False, products=products
        )
        self.key = ApiKeys(*shared)
        self.token = Tokens(*shared, TokenKey.of("s" * 48))
        self.erasure = Erasures(*shared)
        self.restore = Restore(*shared)
        self.reconcile = Reconcile(*shared)
        self.reapply = Reapply(*shared, applications=self.application, endpoints=self.endpoint, keys=self.key)

    async def live(self, token: str) -> bool:
        try:
            await self.token.check_live(self.token.verify(token))
        except CredentialExpired:
            return False
        return True


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[UseCases]:
    database = await Database.connect(url, size=2)
    try:
        yield UseCases(database)
    finally:
        await database.close()


def _disabled(draft: EndpointDraft, *, to: bool) -> EndpointDraft:
    return replace(draft, disabled=to)


async def endpoint_of(cases: UseCases, app: Any, number: int) -> str:
    made = await cases.endpoint.create(app, EndpointDraft(url=f"https://example.com/{number}"))
    return ids.text(ids.ENDPOINT, made.id)


async def test_what_must_not_be_undone_is_repeated_and_what_cannot_be_is_named(
    clones: Clones, database_url: str
) -> None:
    async with opened(database_url) as before:
        app, other, erased = [
            await before.application.create(ORG, ApplicationDraft(name, name))
            for name in ("one", "two", "three")
        ]
        deleted, disabled, toggled, rotated, moved = [
            await endpoint_of(before, app, number) for number in range(5)
        ]
        new = before.key.draw("ak_", with_secret=False)
        await before.key.register(new, org_id=ORG, app_id=app.id, scope="all", name="a key")
        kept, organization = (before.token.for_organization(ORG) for _ in range(2))
        link, old_link = (before.token.for_application(ORG, app.id) for _ in range(2))
    name = database_url.partition("?")[0].rpartition("/")[2]
    with clones.of(name) as restored_url:
        async with opened(database_url) as after:
            key = await after.key.verify(new.key)
            await after.token.organization.refuse(ORG, after.token.verify(organization).digest, 2e9)
            await after.token.revoke(after.token.verify(link))
            await after.token.end_all(app.id, session_ids=None)
            await after.key.revoke(ORG, key.id)
            await after.endpoint.delete(app.id, deleted)
            await after.application.delete(ORG, ids.text(ids.APPLICATION, other.id))
            await after.erasure.application(ORG, ids.text(ids.APPLICATION, erased.id))
            for ref, states in ((disabled, [True]), (toggled, [True, False])):
                for state in states:
                    await after.endpoint.update(app, ref, partial(_disabled, to=state))
            await after.endpoint.rotate_secret(app.id, rotated, None, 0)
            await after.endpoint.update(
                app, moved, lambda draft: replace(draft, url="https://example.com/new", disabled=True)
            )
            later = await after.application.create(ORG, ApplicationDraft("later", "later"))
            await after.application.delete(ORG, ids.text(ids.APPLICATION, later.id))
            lines = [msgspec.json.encode(one) async for one in export(after.database, UUID(int=0))]
            found_ids = [json.loads(line)["id"] for line in lines]
            assert found_ids == sorted(found_ids)
        async with opened(restored_url) as restored:
            assert await restored.live(organization)
            done = Reapplied()
            await restored.reapply.run([*lines, b'{"id": "audit_x"}'], done)
            assert dict(done.repeated) == {
                "token.revoked": 1, "token.ended": 1, "token.all_ended": 1, "api_key.revoked": 1,
                "endpoint.deleted": 1, "application.deleted": 1, "application.erase.begun": 1,
                "endpoint.disabled": 2, "endpoint.enabled": 1,
            }  # fmt: skip
            assert dict(done.gone) == {"application.deleted": 1}
            assert done.targets == [
                f"endpoint.secret.rotated {rotated}",
                f"endpoint.updated {moved}",
                f"application.created {ids.text(ids.APPLICATION, later.id)}",
            ]
            assert done.malformed == 1
            restored = UseCases(restored.database)  # another process, which has not looked at the tokens
            assert not await restored.live(organization)
            assert not await restored.live(link)
            assert not await restored.live(old_link)  # its application's tokens were all revoked
            assert await restored.live(kept)
            with pytest.raises(NotAuthenticated):
                await restored.key.verify(new.key)
            with pytest.raises(NotFound):
                await restored.endpoint.find(app.id, deleted)
            for gone in ("two", "three"):
                with pytest.raises(NotFound):
                    await restored.application.find(ORG, gone)
            found = {ref: await restored.endpoint.find(app.id, ref) for ref in (disabled, toggled, moved)}
            assert found[disabled].disabled_at is not None
            assert found[toggled].disabled_at is None
            assert found[moved].disabled_at is not None
            again = Reapplied()
            await restored.reapply.run(lines, again)
            assert again == Reapplied(known=len(lines))


async def test_a_record_of_another_organization_changes_nothing_here(database_url: str) -> None:
    async with opened(database_url) as cases:
        app = await cases.application.create(ORG, ApplicationDraft("one", "one"))
        app_id = ids.text(ids.APPLICATION, app.id)
        forged = ExportedRecord(
            id=ids.text("audit_", ids.new(cases.clock.now(), os.urandom(8))),
            at=datetime_at(cases.clock.now()), org_id="org_other", actor="system",
            action="application.deleted", app_id=app_id, target=app_id,
        )  # fmt: skip
        done = Reapplied()
        await cases.reapply.run([msgspec.json.encode(forged)], done)
        assert dict(done.gone) == {"application.deleted": 1}
        assert await cases.application.find(ORG, "one") is not None


async def test_a_hold_is_a_new_epoch_and_ends_at_a_pace(database_url: str) -> None:
    async with opened(database_url) as cases:
        for early in (cases.restore.release(5), cases.restore.require_hold()):
            with pytest.raises(Conflict, match="the database is not held"):
                await early
    guard = Guard()
    database = await Database.connect(database_url, size=1)
    try:
        async with database.connection() as connection:
            await guard.admit(connection)
        assert guard.accepts
        restore = Restore(database, SystemClock(), os.urandom)
        at = datetime_at(SystemClock().now())
        assert await restore.begin(at, accepting=True) == []
        fresh = Guard()
        async with database.connection() as connection:
            await fresh.admit(connection)
            with pytest.raises(Exception, match="was restored to an earlier time"):
                await guard.admit(connection)
        assert fresh.hold is not None
        assert fresh.hold.accepting
        assert fresh.accepts
        assert fresh.waiting is not None
        await restore.release(7)
        async with database.connection() as connection:
            await fresh.admit(connection)
            assert vars(fresh)["hold"] is None
            assert fresh.pace == 7
            rows = await connection.fetch("select action, after from angarium.audit order by id")
        assert [row["action"] for row in rows] == ["restore.begun", "restore.released"]
        assert rows[1]["after"] == {"pace": 7}
    finally:
        await database.close()


async def test_the_pace_ends_once_no_process_has_had_to_wait_for_it_for_a_while(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await Database.connect(database_url, size=1)
    busy, quiet = Guard(), Guard()
    ago = "update angarium.installation set paced_at = paced_at - make_interval(secs => $1)"
    try:
        restore = Restore(database, SystemClock(), os.urandom)
        await restore.begin(datetime_at(SystemClock().now()), accepting=False)
        await restore.release(7)

        async def paces(*guards: Guard) -> list[int | None]:
            for one in guards:
                await one._look(database)
            return [one.pace for one in guards]

        assert await paces(busy, quiet) == [7, 7]
        monkeypatch.setattr(guards, "steady", lambda: steady() + installation.QUIET + 1)
        async with database.connection() as connection:
            await connection.execute(ago, installation.QUIET)
        busy.limited = True  # a delivery waits in this process, so the other does not end the pace
        assert await paces(busy, quiet, busy, quiet) == [7, 7, 7, 7]
        async with database.connection() as connection:
            await connection.execute(ago, installation.QUIET)
        await paces(quiet)
        assert await paces(busy, quiet) == [None, None]
        assert busy.waiting is None
    finally:
        await database.close()


async def test_a_database_with_newer_messages_was_not_restored_to_that_time(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    app_id, message_id = ids.new(1.8e9, b"a" * 8), ids.new(SystemClock().now(), b"m" * 8)
    await connection.execute(
        "insert into application (id, org_id, name, created_at, updated_at)"
        " values ($1, 'o', 'n', now(), now())",
        app_id,
    )
    await connection.execute(
        "insert into message (app_id, id, expires_at, event_type) values ($1, $2, now(), 'a.b')",
        app_id, message_id,
    )  # fmt: skip
    await connection.close()
    database = await Database.connect(database_url, size=1)
    try:
        restore = Restore(database, SystemClock(), os.urandom)
        with pytest.raises(Conflict, match="was not restored to that time"):
            await restore.begin(datetime_at(SystemClock().now() - 60))
        await restore.begin(datetime_at(SystemClock().now()))
    finally:
        await database.close()


async def test_a_line_of_an_earlier_attempt_proves_nothing_about_a_resend(database_url: str) -> None:
    app_id, endpoint_id, message_id = (ids.new(SystemClock().now(), bytes([n] * 8)) for n in range(3))
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "insert into retry (endpoint_id, message_id, app_id, shard, state, attempts, due_at, manual_at)"
        " values ($1, $2, $3, 0, 0, 2, now(), now())",
        endpoint_id, message_id, app_id,
    )  # fmt: skip

    def line(number: int, **more: Any) -> bytes:
        said = {
            "event": "delivery.attempted", "message": ids.text(ids.MESSAGE, message_id),
            "endpoint": ids.text(ids.ENDPOINT, endpoint_id), "attempt": number, "manual": False,
            "move": "deliver", "status": 200, "error": None, "duration_ms": 3,
            "timestamp": "2026-11-29T08:00:00Z",
        }  # fmt: skip
        return json.dumps(said | more).encode() + b"\n"

    database = await Database.connect(database_url, size=1)
    try:
        shared = database, SystemClock(), os.urandom
        async with database.transaction() as held:
            now = datetime_at(SystemClock().now())
            await installation.hold(held, now, now, accepting=False)
        found = Reconciled()
        text = [
            line(1), line(2), line(3, move="retry", status=500), line(3, move="exhaust", status=None),
            b'{"event":"delivery.attempted"}\n', line(3, message="msg_x"), line(3, status=10_000),
            b'{"event":"shards.taken"}\n', b"delivery.attempted " + b"x" * 600_000 + b"\n",
        ]  # fmt: skip
        await Reconcile(*shared).run(io.BytesIO(b"".join(text)), found)
        assert (found.lines, found.attempts, found.delivered, found.recorded) == (9, 4, 2, 0)
        assert (found.malformed, found.first_malformed) == (4, [5, 6, 7, 9])
        await Reconcile(*shared).run(io.BytesIO(line(3, manual=True)), found)
        assert found.recorded == 1
        row = await connection.fetchrow("select number, state, final, manual from attempt")
        assert tuple(row) == (3, 0, True, True)
        assert await connection.fetchval("select count(*) from retry") == 0
    finally:
        await connection.close()
        await database.close()
