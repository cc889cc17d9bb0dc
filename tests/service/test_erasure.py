"""Erasing an application or a message: everything of it goes from every table, and nothing of others."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from angarium.clock import datetime_at
from angarium.core import ids
from angarium.core.alert import AlertKind, Audience, Notice, Recipient
from angarium.core.audit import ActorKind
from angarium.core.errors import NotFound
from angarium.core.hourly_stats import HourlyStats
from angarium.core.lifecycle import Move
from angarium.core.nouns import Application, Endpoint
from angarium.core.outcome import AttemptResult
from angarium.core.product import STANDARD
from angarium.core.quota import month_of
from angarium.dispatch import background_task as steps
from angarium.dispatch.lane_registry import DispatchLimits
from angarium.service import audit
from angarium.service.idempotency import KeyClaim
from angarium.service.intake import Intake
from angarium.service.product import Products
from angarium.service.services import Services
from angarium.store import alert, api_key, background_task, complete, erase, hourly_stats, usage
from angarium.store.background_task import BackgroundTask
from angarium.store.connection import Connection
from angarium.store.database import Database
from angarium.store.erase import LAST, TABLES
from angarium.store.fault import DatabaseFault
from tests.kit.at_work import services_of
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Held, Receiver, Reply
from tests.kit.schemas import SCHEMAS
from tests.kit.world import ORG, World, product

MARK = "zebra-7f3a"  # in a payload, a URL, a header, a response, a name, a uid
OUTSIDER = "org_30rb8YdGqMT0qIzpgGwdXfHirMv"
LOG = {"angarium_1.audit", "angarium.audit"}


@asynccontextmanager
async def at_work(world: World, policy: DispatchLimits | None = None) -> AsyncIterator[Services]:
    """All use cases, with intake and a dispatcher."""
    products = Products(world.database, world.clock, {STANDARD: product()})
    async with (
        world.dispatching(policy=policy) as dispatcher,
        world.intake(dispatcher.hand_over) as intake,
    ):
        yield services_of(world, products, intake)


def idle(world: World) -> Services:
    """All use cases, with nothing at work."""
    products = Products(world.database, world.clock, {STANDARD: product()})
    intake = Intake(world.database, world.clock, os.urandom, lambda *_: None, lambda: None, products)
    return services_of(world, products, intake)


async def rows_with(database: Database, *texts: str) -> dict[str, int]:
    """In how many rows of each table a text occurs, in any column, in clear or as bytes."""
    found = {}
    wanted = [*texts, *(text.encode().hex() for text in texts)]
    async with database.connection() as connection:
        tables = await connection.fetch(
            "select relnamespace::regnamespace || '.' || relname from pg_class"
            " where relkind in ('r', 'p') and not relispartition"
            " and relnamespace::regnamespace::text = any($1)",
            SCHEMAS,
        )
        for (name,) in tables:
            count = await connection.fetchval(
                f"select count(*) from {name} t, unnest($1::text[]) as text"
                " where position(text in lower(t::text)) > 0",
                [text.lower() for text in wanted],
            )
            if count:
                found[name] = count
    return found


def names_of(app: Application) -> list[str]:
    return [str(app.id), ids.text(ids.APPLICATION, app.id), MARK]


async def finished(world: World, task: BackgroundTask) -> dict[str, Any]:
    """The data of the task, once it is done."""
    rows: list[Any] = []

    async def done() -> bool:
        nonlocal rows
        await steps.run_due_tasks(world.database, world.clock)
        rows = await world.fetch("select status, data from background_task where id = $1", task.id)
        return bool(rows[0]["status"] != "running")

    await until(done)
    assert rows[0]["status"] == "finished", rows[0]["data"]
    data: dict[str, Any] = rows[0]["data"]
    return data


async def furnish(world: World, services: Services, url: str, mark: str) -> tuple[Application, Endpoint]:
    """An application with something in every table, and `mark` wherever a text may be."""
    app = await world.application(name=f"Name {mark}", uid=f"uid.{mark}", metadata={"a": mark})
    endpoint = await world.endpoint(
        app, f"{url}/{mark}?key={mark}", description=mark, uid=f"ep.{mark}", metadata={"a": mark},
        headers={"X-Custom": mark},
    )  # fmt: skip
    audit.arrived("192.0.2.77")
    audit.acting(ActorKind.ORGANIZATION_TOKEN, "tok_1")
    await services.endpoint.update(
        app, f"ep.{mark}", lambda known: replace(known, url=f"{url}/{mark}/new?key={mark}")
    )
    for n in range(3):
        await services.intake.accept(
            world.draft(
                app,
                json.dumps({"name": f"{mark} {n}"}).encode(),
                event_id=f"{mark}.{n}",
                tags=(mark,),
                idempotency_key=os.urandom(32),
            )
        )
    await services.intake.accept(world.draft(app, mark.encode(), deliver_at=world.clock.now() + 3600))
    inbox = await services.play.create(app)
    now = datetime_at(world.clock.now())
    async with world.database.connection() as connection:
        await connection.execute(
            "insert into play_request values ($1, $2, 'POST', $3, $4, 1, 200, null, $5)",
            inbox.id, world.new_id(), {"x": mark}, mark.encode(), mark,
        )  # fmt: skip
        await connection.execute(
            "insert into contact (app_id, id, org_id, email, kinds, status, created_at, updated_at)"
            " values ($1, $2, 'a', $3, '{endpoint.failing}', 'active', $4, $4)",
            app.id, world.new_id(), f"{mark}@example.com", now,
        )  # fmt: skip
        notice = Notice(app.id, endpoint.id, AlertKind.FAILING, 1, None)
        await alert.add(connection, [notice], Audience((Recipient.MAIL,), contacts=True), world.clock.now())
        await alert.write(
            connection, world.new_id(), world.new_id(), alert.CONFIRMATION, world.clock.now(),
            app_id=app.id, email=f"{mark}@example.com",
        )  # fmt: skip
        await connection.execute("insert into sandbox_counter values ($1, $2, 1)", app.id, mark)
        await connection.execute("insert into token_cutoff values ($1, $2, $3, $3)", app.id, mark, now)
        await connection.execute("insert into listener values ($1, $2, $3)", app.id, endpoint.id, now)
        await connection.execute(
            "insert into fault values ('1', 'dns', $1, $1, 1) on conflict do nothing", now
        )
        await connection.execute("insert into held_lane values ($1, '1', 'dns', $2)", endpoint.id, now)
        await connection.execute(
            "insert into fan_out (message_id, app_id, seq, due_at) values ($1, $2, 1, '2040-01-01')",
            world.new_id(), app.id,
        )  # fmt: skip
        await connection.execute(
            "insert into api_key (id, org_id, app_id, scope, name, lookup, created_at)"
            " values ($1, $2, $3, 'a', $4, uuid_send($1), $5)",
            world.new_id(), app.org_id, app.id, mark, now,
        )  # fmt: skip
        await connection.execute(
            "insert into endpoint_health values ($1, $2) on conflict do nothing", app.id, endpoint.id
        )
        await connection.execute(
            "insert into angarium.audit (org_id, id, app_id, actor, address, action, after)"
            " values ($1, $2, $3, 'portal-session:1', '192.0.2.77', 'portal_link.made', $4)",
            app.org_id, world.new_id(), app.id, {"name": mark},
        )  # fmt: skip
        await usage.fold(connection, 1000)
        counted = HourlyStats()
        counted.note(app.id, endpoint.id, world.clock.now(), 5, None)
        await hourly_stats.add(connection, counted.take())
        await background_task.create(
            connection, world.new_id(), app.org_id, app.id, "endpoint.recover", {"a": mark}, now
        )
        await connection.execute(
            "update background_task set status = 'finished' where app_id = $1 and kind = 'endpoint.recover'",
            app.id,
        )
    hold = await services.idempotency.begin(os.urandom(32))
    assert isinstance(hold, KeyClaim)
    await services.idempotency.finish(hold, 201, mark.encode(), (app.org_id, f"uid.{mark}"))
    return app, endpoint


async def counts(world: World, app_id: UUID) -> dict[str, int]:
    async with world.database.connection() as connection:
        return await erase.left(connection, erase.ErasedApplication(ORG, app_id))


async def test_every_table_with_rows_of_an_application_is_in_the_catalogue(database: Database) -> None:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "select distinct c.table_schema, c.table_name from information_schema.columns c"
            " join pg_class p on p.oid = format('%I.%I', c.table_schema, c.table_name)::regclass"
            " where c.table_schema = any($1) and p.relkind in ('r', 'p') and not p.relispartition"
            " and c.column_name in ('app_id', 'message_id', 'endpoint_id', 'inbox_id', 'subject')",
            SCHEMAS,
        )
    found = {
        row["table_name"] if row["table_schema"] == SCHEMAS[0] else f"control.{row['table_name']}"
        for row in rows
    }
    assert found == {table.name for table in (*TABLES, LAST)}


async def test_an_erased_application_is_in_no_table_but_the_audit_log_and_others_are_untouched(
    world: World,
) -> None:
    async with (
        at_work(world) as services,
        Receiver(default=lambda request: Reply(500, body=request.body)) as receiver,
    ):
        app, endpoint = await furnish(world, services, receiver.url, MARK)
        other, _ = await furnish(world, services, receiver.url, "other")
        await receiver.wait_for(12)
        month = month_of(datetime_at(world.clock.now()))
        for one in (app, other):  # not added up yet
            await world.fetch(
                "insert into usage_entry (app_id, month, endpoints) values ($1, $2, 9)", one.id, month
            )
        before = await counts(world, other.id)
        assert {table.name for table in TABLES if table.left is not None} - set(
            await counts(world, app.id)
        ) <= {"control.idempotency", "pending"}, "there is something in every table"
        with pytest.raises(NotFound):
            await services.erasure.application(OUTSIDER, ids.text(ids.APPLICATION, app.id))
        task = await services.erasure.application(ORG, app.uid or "")
        again = await services.erasure.application(ORG, ids.text(ids.APPLICATION, app.id))
        assert again.id == task.id, "it is running"
        with pytest.raises(NotFound):
            await services.intake.accept(world.draft(app))
        data = await finished(world, task)
        sums = await world.fetch("select org_id, messages from usage where app_id = $1", usage.ERASED)
        assert [tuple(row) for row in sums] == [(ORG, 4)], "the organization keeps the sums"
        found = await rows_with(world.database, *names_of(app), str(endpoint.id))
        assert set(found) <= LOG, found
        assert data["rows"]["message"] == data["rows"]["payload"] == 4
        assert {"attempt", "endpoint", "former_url", "control.api_key", "control.idempotency"} <= set(
            data["rows"]
        )
        records = await world.fetch("select * from all_audit where app_id = $1 order by id", app.id)
        said = {row["action"]: row for row in records}
        assert [row["action"] for row in records][-1] == "application.erased"
        proof = said["application.erased"]
        assert proof["after"]["application"] == ids.text(ids.APPLICATION, app.id)
        assert proof["after"]["uid"] == app.uid
        assert (proof["after"]["rows"], proof["after"]["left"]) == (data["rows"], 0)
        assert proof["actor"] == said["application.erase.begun"]["actor"] == "organization-token:tok_1"
        assert app.name not in str(proof["after"])
        for row in records:
            if not row["action"].startswith("application.era"):
                assert (row["address"], row["before"], row["after"]) == (None, None, {"erased": True})
        after = await counts(world, other.id)
        for queue in ("pending", "retry", "usage_entry"):  # deliveries continued
            before.pop(queue, None)
            after.pop(queue, None)
        assert after == before
        with pytest.raises(NotFound):
            await services.erasure.application(ORG, ids.text(ids.APPLICATION, app.id))


async def test_nothing_is_left_of_what_arrives_and_is_sent_while_it_is_erased(world: World) -> None:
    async with at_work(world) as services, Receiver() as receiver, Receiver(default=Reply(delay=0.5)) as slow:
        app, other = await world.application(uid=MARK), await world.application()
        await world.endpoint(app, receiver.url)
        await world.endpoint(app, slow.url)
        await world.endpoint(other, receiver.url)
        refused = 0
        stop = asyncio.Event()

        async def pour(into: Application) -> int:
            nonlocal refused
            accepted = 0
            while not stop.is_set():
                try:
                    await services.intake.accept(world.draft(into, MARK.encode()))
                    accepted += 1
                except NotFound:
                    refused += 1
                    if into.id == app.id and refused > 20:
                        return accepted
            return accepted

        pouring = [asyncio.create_task(pour(app)) for _ in range(4)]
        beside = asyncio.create_task(pour(other))
        await receiver.wait_for(30)
        task = await services.erasure.application(ORG, MARK)
        await finished(world, task)
        await asyncio.gather(*pouring)
        stop.set()
        kept = await beside
        await world.until_states({0: kept})
        # outcomes of what was in flight, and counts in memory, are written by now or never
        found = await rows_with(world.database, str(app.id))
        assert set(found) <= LOG, found
        assert refused > 20
    assert set(await rows_with(world.database, str(app.id))) <= LOG, "nor when the process stops"


async def test_an_outcome_that_comes_after_the_erasure_is_not_recorded(world: World) -> None:
    app = await world.application()
    endpoint, message = await world.endpoint(app, "http://127.0.0.1:9/"), world.new_id()
    late = complete.Completion(
        attempt_id=world.new_id(), app_id=app.id, endpoint_id=endpoint.id, message_id=message,
        move=Move.DELIVER, failures=0, number=1, due_at=None, manual_at=None,
        answer=AttemptResult(200, None, None, MARK.encode(), 12), succeeded=True, revision=1,
    )  # fmt: skip
    counted = HourlyStats()
    counted.note(app.id, endpoint.id, world.clock.now(), 5, None)
    services = idle(world)
    task = await services.erasure.application(ORG, ids.text(ids.APPLICATION, app.id))
    for _ in range(2):
        async with world.database.connection() as connection:
            await complete.complete(connection, [late], [])
            await hourly_stats.add(connection, counted.take())
        assert await world.fetch("select from attempt") == []
        assert await world.fetch("select from attempt_hour") == []
        counted.note(app.id, endpoint.id, world.clock.now(), 5, None)
        await finished(world, task)


async def test_the_erasure_waits_for_a_transaction_that_saw_the_application(world: World) -> None:
    app = await world.application()
    services = idle(world)
    async with world.database.connection() as slow:
        transaction = slow.transaction()
        await transaction.__aenter__()
        await slow.execute("insert into sandbox_counter values ($1, $2, 1)", app.id, MARK)
        task = await services.erasure.application(ORG, ids.text(ids.APPLICATION, app.id))
        for _ in range(3):
            await steps.run_due_tasks(world.database, world.clock)
            (row,) = await world.fetch("select cursor from background_task where id = $1", task.id)
            assert row["cursor"]["phase"] == "wait"
        await transaction.__aexit__(None, None, None)
    data = await finished(world, task)
    assert data["rows"]["sandbox_counter"] == 1
    assert await world.fetch("select from sandbox_counter") == []


async def register(services: Services, app_id: UUID, name: str) -> None:
    keys = services.api_key
    shown = keys.draw("wk_", with_secret=False)
    await keys.register(shown, org_id=ORG, app_id=app_id, scope="a", name=name)


async def test_no_key_is_created_for_an_application_that_is_erased_at_that_moment(world: World) -> None:
    """The caller found the application before; its key comes when the application is marked, or is gone."""
    app, services = await world.application(), idle(world)
    task = await services.erasure.application(ORG, ids.text(ids.APPLICATION, app.id))
    with pytest.raises(NotFound):
        await register(services, app.id, "marked")
    assert "control.api_key" not in (await finished(world, task))["rows"]
    with pytest.raises(NotFound):
        await register(services, app.id, "gone")
    assert await world.fetch("select from api_key") == []
    assert await world.fetch("select from all_audit where action = 'api_key.made'") == []


async def test_an_erasure_waits_for_a_key_that_is_being_created_and_deletes_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, services = await world.application(), idle(world)
    held, go_on, create = asyncio.Event(), asyncio.Event(), api_key.create

    async def slow(connection: Connection, *key: Any) -> bool:
        held.set()
        await go_on.wait()
        return await create(connection, *key)

    monkeypatch.setattr(api_key, "create", slow)
    async with asyncio.TaskGroup() as group:
        group.create_task(register(services, app.id, "late"))
        await held.wait()
        erasing = group.create_task(services.erasure.application(ORG, ids.text(ids.APPLICATION, app.id)))

        async def waits() -> bool:
            query = "select from pg_stat_activity where wait_event_type = 'Lock' and query like '%placement%'"
            return bool(await world.fetch(f"{query} and datname = current_database()"))

        await until(waits, "the erasure waits for the key")
        go_on.set()
    assert (await finished(world, erasing.result()))["rows"]["control.api_key"] == 1
    assert await world.fetch("select from api_key") == []


async def test_any_process_continues_after_each_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step fails once after its work, as if the process were killed before its commit."""
    for name in ("SLICE", "MESSAGES", "WALK"):
        monkeypatch.setattr(erase, name, 2)
    async with at_work(world) as services, Receiver() as receiver:
        app, _ = await furnish(world, services, receiver.url, MARK)
        await receiver.wait_for(3)
    task = await services.erasure.application(ORG, ids.text(ids.APPLICATION, app.id))

    class Killed(Exception):
        pass

    async def killed(*_: Any) -> None:
        raise Killed

    rows: list[Any] = [{"status": "running"}]
    taken = 0
    async with asyncio.timeout(PATIENCE):
        while rows[0]["status"] == "running":
            with monkeypatch.context() as patch, suppress(Killed):
                patch.setattr(background_task, "advance", killed)
                await steps.step(world.database, world.clock.now())
            taken += await steps.step(world.database, world.clock.now())
            rows = await world.fetch("select status, data from background_task where id = $1", task.id)
    assert rows[0]["status"] == "finished"
    assert taken > 20
    assert rows[0]["data"]["rows"]["message"] == 4
    assert set(await rows_with(world.database, *names_of(app))) <= LOG


async def test_a_step_that_fails_is_taken_again_the_first_one_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as by a deadlock."""
    app = await world.application()
    task = await idle(world).erasure.application(ORG, ids.text(ids.APPLICATION, app.id))

    async def deadlock(_: Connection) -> list[str]:
        raise DatabaseFault("deadlock detected")

    with monkeypatch.context() as patch:
        patch.setattr(erase, "writers", deadlock)
        await steps.step(world.database, world.clock.now())
    (row,) = await world.fetch("select cursor from background_task where id = $1", task.id)
    assert row["cursor"] == {"failures": 1}
    await finished(world, task)


async def test_a_row_that_appears_before_the_end_is_found_and_everything_starts_again(world: World) -> None:
    app = await world.application()
    services = idle(world)
    task = await services.erasure.application(ORG, ids.text(ids.APPLICATION, app.id))

    async def phase() -> str:
        (row,) = await world.fetch("select cursor from background_task where id = $1", task.id)
        return str((row["cursor"] or {}).get("phase", ""))

    while await phase() != "verify":
        await steps.step(world.database, world.clock.now())
    await world.fetch("insert into sandbox_counter values ($1, $2, 1)", app.id, MARK)
    await steps.step(world.database, world.clock.now())
    assert await phase() == "tables"
    assert (await finished(world, task))["rows"]["sandbox_counter"] == 1


async def test_an_erased_message_keeps_its_id_and_states_but_nothing_that_was_said(world: World) -> None:
    async with (
        at_work(world) as services,
        Receiver(default=lambda request: Reply(500, body=request.body)) as receiver,
    ):
        app, other = await world.application(), await world.application()
        await world.endpoint(app, receiver.url, headers={"X-Mark": MARK})
        draft = world.draft(app, MARK.encode(), event_id=MARK, tags=(MARK,), channels=(MARK,))
        first = (await services.intake.accept(draft)).message
        second = (await services.intake.accept(world.draft(app, b'"kept"', event_id="kept"))).message
        await world.until_states({2: 2})
        named = ids.text(ids.MESSAGE, first.id)
        with pytest.raises(NotFound):
            await services.erasure.message(other, named)
        task = await services.erasure.message(app, MARK)
        assert (await services.erasure.message(app, named)).id == task.id
        data = await finished(world, task)
        assert data["rows"] == {"attempt": 3}
        endpoints = {"angarium_1.endpoint"}
        found = await rows_with(world.database, MARK)
        assert set(found) <= LOG | endpoints, found
        left = await world.fetch(
            "select count(*), count(response) + count(exchange) + count(error), min(status_code)"
            " from attempt where message_id = $1 and status is not null",
            first.id,
        )
        assert tuple(left[0]) == (3, 0, 500), "the facts stay"
        kept = await services.message.get(app.id, "kept")
        assert kept.payload == b'"kept"'
        responses = await world.fetch("select count(response) from attempt where message_id = $1", second.id)
        assert responses[0][0] == 3
        gone = await services.message.get(app.id, named)
        assert (gone.payload, gone.event_id, gone.tags, gone.channels) == (None, None, (), ())
        (proof,) = await world.fetch("select * from all_audit where action = 'message.erased'")
        assert proof["target"] == proof["after"]["message"] == named
        assert proof["after"]["application"] == ids.text(ids.APPLICATION, app.id)
        assert MARK not in str(proof["after"])


async def test_a_lane_forgets_an_erased_message_and_a_response_in_flight_is_not_kept(world: World) -> None:
    held = Held(Reply(200, body=MARK.encode()))
    one_at_a_time = DispatchLimits(in_flight=1, longest=10.0)
    async with at_work(world, policy=one_at_a_time) as services, Receiver(default=held) as receiver:
        app = await world.application()
        await world.endpoint(app, receiver.url)
        sent = [
            (await services.intake.accept(world.draft(app, f'"{n} {MARK}"'.encode()))).message
            for n in range(3)
        ]
        await receiver.wait_for(1)
        for one in sent:  # the first one is in flight, the others wait in memory
            await finished(world, await services.erasure.message(app, ids.text(ids.MESSAGE, one.id)))
        await services.intake.accept(world.draft(app, b'"last"'))
        receiver.default = Reply()
        held.release.set()
        await world.until_states({0: 2, 4: 2})
        assert [one.body for one in receiver.requests] == [f'"0 {MARK}"'.encode(), b'"last"']
        assert set(await rows_with(world.database, MARK)) <= LOG
