"""Requests that create what another request creates at the same moment, over two real connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from angarium.core import ids
from angarium.core.alert import AlertKind
from angarium.core.contact import ContactDraft
from angarium.store.database import Database
from tests.api.conftest import Api, Backend
from tests.kit.patience import until

HOOK = "http://localhost:9/hook"
CONTACT = {"contacts": [{"email": "dev@example.com"}]}
_BLOCKED = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)


@dataclass(frozen=True)
class Call:
    """A request that creates something unless it is there. `{app}` is an application."""

    method: str
    path: str
    body: dict[str, Any]
    table: str  # into which it inserts
    statuses: tuple[int, ...] = (200, 201)  # of two such requests at once
    same: str | None = "id"  # what both responses have in common


CALLS = (
    Call("PUT", "/event-type/order.paid", {"description": "Paid."}, "event_type", same="name"),
    Call("PUT", "/app/acme", {"name": "Acme", "uid": "acme"}, "application"),
    Call("POST", "/app?get_if_exists=true", {"name": "Acme", "uid": "acme"}, "application"),
    Call("PUT", "/app/{app}/endpoint/orders", {"url": HOOK, "uid": "orders"}, "endpoint"),
    Call("POST", "/app/{app}/listener", {"name": "laptop"}, "endpoint", (200, 200)),
    Call(
        "POST",
        "/auth/app-portal-access/acme",
        {"application": {"name": "Acme", "uid": "acme"}},
        "application",
        (200, 200),
        same=None,
    ),
    Call(
        "POST",
        "/app/acme/msg",
        {"eventType": "order.paid", "payload": {}, "application": {"name": "Acme", "uid": "acme"}},
        "application",
        (202, 202),
        same=None,
    ),
    Call("PUT", "/organization", {"profile": "standard"}, "organization", (200, 200)),
    Call("PUT", "/app/{app}/contact", CONTACT, "contact", (200, 200), same="contacts"),
    Call("POST", "/app/{app}/contact", CONTACT["contacts"][0], "contact", (200, 200)),
)


@asynccontextmanager
async def held_back(database: Database, table: str, requests: int) -> AsyncIterator[None]:
    """No row is inserted into the table until this many requests wait, all of which have found none."""
    async with database.transaction() as connection:
        await connection.execute(f"lock table {table} in share mode")
        yield
        await until(lambda: _waiting(database, requests), f"{requests} requests wait for {table}")


async def _waiting(database: Database, requests: int) -> bool:
    # a connection of its own: a transaction sees the activity of others as it was at the first look
    async with database.connection() as connection:
        return int(await connection.fetchval(_BLOCKED)) >= requests


async def at_once(
    database: Database, table: str, requests: Sequence[Callable[[], Awaitable[Any]]]
) -> list[Any]:
    async with held_back(database, table, len(requests)):
        running = [asyncio.ensure_future(request()) for request in requests]
    return await asyncio.gather(*running)


async def call(api: Api, case: Call, app: str) -> tuple[int, Any]:
    answer = await api.client.request(
        case.method,
        f"/api/v1{case.path.format(app=app)}",
        json=case.body,
        headers={"authorization": f"Bearer {api.token}"},
    )
    return answer.status_code, answer.json()


@pytest.mark.parametrize("case", CALLS, ids=lambda case: f"{case.method} {case.path}")
async def test_two_requests_that_create_the_same_at_once_both_succeed(
    api: Api, database: Database, case: Call
) -> None:
    app = await api.application()
    answers = await at_once(database, case.table, [partial(call, api, case, app)] * 2)
    assert tuple(sorted(status for status, _ in answers)) == case.statuses, answers
    if case.same is not None:
        first, second = (body[case.same] for _, body in answers)
        assert first == second


async def test_the_later_of_two_upserts_replaces_what_the_earlier_one_created(
    api: Api, database: Database
) -> None:
    path = "/event-type/order.paid"
    put = [
        partial(call, api, Call("PUT", path, {"description": text}, "event_type"), "")
        for text in ("One", "Two")
    ]
    answers = await at_once(database, "event_type", put)
    later = next(body for status, body in answers if status == 200)
    assert (await api.get("/event-type/order.paid"))["description"] == later["description"]
    actions = [one["action"] for one in (await api.get("/audit"))["data"]]
    assert actions == ["event_type.updated", "event_type.created"]


@pytest.mark.parametrize(
    ("path", "table", "fields"),
    [("/app", "application", {"name": "Acme"}), ("/app/{app}/endpoint", "endpoint", {"url": HOOK})],
)
async def test_a_uid_that_another_object_takes_at_once_is_refused(
    api: Api, database: Database, path: str, table: str, fields: dict[str, Any]
) -> None:
    app = await api.application()
    calls = [
        Call("PUT", f"{path}/one", fields | {"uid": "shared"}, table),
        Call("PUT", f"{path}/two", fields | {"uid": "shared"}, table),
    ]
    answers = await at_once(database, table, [partial(call, api, case, app) for case in calls])
    assert sorted(status for status, _ in answers) == [201, 409]


async def test_two_contacts_that_are_added_at_once_are_both_kept(
    api: Api, backend: Backend, database: Database
) -> None:
    app = await backend.services.application.find(api.org_id, await api.application())
    drafts = [ContactDraft(f"{name}@example.com", tuple(AlertKind)) for name in ("a", "b")]
    await at_once(database, "contact", [partial(backend.services.contact.add, app, one) for one in drafts])
    kept = (await api.get(f"/app/{ids.text(ids.APPLICATION, app.id)}/contact"))["contacts"]
    assert sorted(one["email"] for one in kept) == ["a@example.com", "b@example.com"]


async def test_a_contact_that_confirms_while_its_kinds_are_changed_stays_confirmed(
    api: Api, database: Database
) -> None:
    path = f"/app/{await api.application()}/contact"
    await api.put(path, {"contacts": [{"email": "dev@example.com"}]})
    fewer = {"contacts": [{"email": "dev@example.com", "kinds": ["endpoint.disabled"]}]}
    async with database.transaction() as connection:
        await connection.execute("update contact set status = 'active', nonce = null")
        changing = asyncio.ensure_future(api.put(path, fewer))
        await until(lambda: _waiting(database, 1), "the change waits for the confirmation")
    (contact,) = (await changing)["contacts"]
    assert (contact["status"], contact["kinds"]) == ("active", ["endpoint.disabled"])
