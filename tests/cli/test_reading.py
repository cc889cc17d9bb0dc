"""Every reading command prints with --json what the API answers, field by field."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from angarium.core import ids
from angarium.store.database import Database
from tests.api.conftest import Backend, api, backend, client, new_organization
from tests.cli.test_remote import Caller, caller
from tests.kit.commands import commands, options
from tests.kit.rows import add_attempt

__all__ = ["api", "backend", "caller", "client", "new_organization"]

# command and arguments -> path below /api/v1
LISTS = {
    "application list": "/app",
    "endpoint list": "/app/{app}/endpoint",
    "event-type list": "/event-type",
    "message list": "/app/{app}/msg",
    "delivery list": "/app/{app}/log",
    "delivery list --message {message}": "/app/{app}/log?message={message}",
    "dead-letter list": "/app/{app}/log?status=failed&status=canceled",
    "attempt list --message {message}": "/app/{app}/attempt/msg/{message}",
    "attempt list --endpoint {endpoint}": "/app/{app}/attempt/endpoint/{endpoint}",
    "background-task list": "/background-task",
    "audit list --action endpoint": "/audit?action=endpoint",
    "api-key list --with-tokens": "/auth/credential",
    "token list": "/auth/credential",
    "usage": "/usage",
}
OBJECTS = {
    "application show {app}": "/app/{app}",
    "endpoint show {endpoint}": "/app/{app}/endpoint/{endpoint}",
    "endpoint stats {endpoint}": "/app/{app}/endpoint/{endpoint}/stats",
    "endpoint secret {endpoint}": "/app/{app}/endpoint/{endpoint}/secret",
    "endpoint headers {endpoint}": "/app/{app}/endpoint/{endpoint}/headers",
    "event-type show order.filled": "/event-type/order.filled",
    "message show {message}": "/app/{app}/msg/{message}",
    "attempt show {attempt} --message {message}": "/app/{app}/msg/{message}/attempt/{attempt}",
    "background-task show {task}": "/background-task/{task}",
    "quota show {app}": "/app/{app}/quota",
}
# what they read is not the API's
ELSEWHERE = {
    "key check", "key rewrap", "profile check", "profile list", "profile show", "profile install", "settings",
    "verify", "sign", "doctor", "init", "dev", "diff", "export", "event-type export",
    "health", "alert test", "restore begin", "restore reconcile", "restore apply",
}  # fmt: skip
CHANGING = {
    "application create", "application update", "application delete", "application link",
    "application erase", "message erase", "application export", "message export",
    "application expire-tokens", "endpoint create", "endpoint update", "endpoint delete", "endpoint enable",
    "endpoint disable", "endpoint recover", "endpoint replay-missing", "endpoint send-example",
    "endpoint rotate-secret", "event-type create", "event-type update", "event-type delete", "message send",
    "message resend", "message expunge", "attempt expunge", "delivery resend", "dead-letter resend",
    "background-task cancel", "api-key revoke", "token revoke", "trigger", "listen", "play",
    "apply", "event-type import", "quota set",
}  # fmt: skip


def test_every_command_with_json_is_in_one_of_these_tables() -> None:
    having = {name for name, command in commands().items() if "--json" in options(command)}
    reading = {" ".join(words.split()[:2]) for words in (*LISTS, *OBJECTS)}
    assert having == reading | ELSEWHERE | CHANGING | {"message tail"}, "tail is tested in test_remote"


@pytest.fixture
async def furnished(caller: Caller, backend: Backend, database: Database) -> dict[str, str]:
    """One of everything, by name."""
    made = {"app": caller.app}
    await caller.api.event_type("order.filled", schemas={"1": {"type": "object"}})
    made["endpoint"] = await caller.api.endpoint(caller.app)
    body = '{"eventType": "order.filled", "payload": {"amount": 1.00, "big": 1E400}}'
    sent = await caller.api.client.post(
        f"/api/v1/app/{caller.app}/msg",
        content=body,
        headers={"authorization": f"Bearer {caller.api.token}"},
    )
    made["message"] = sent.json()["id"]
    for disabled in (True, False):
        await caller.api.patch(f"/app/{caller.app}/endpoint/{made['endpoint']}", {"disabled": disabled})
    made["attempt"] = await attempted(database, backend, made)
    window = {"since": (await caller.api.get(f"/app/{caller.app}"))["createdAt"]}
    path = f"/app/{caller.app}/endpoint/{made['endpoint']}/replay-missing"
    made["task"] = (await caller.api.post(path, window, status=202))["id"]
    return made


async def attempted(database: Database, backend: Backend, made: dict[str, str]) -> str:
    """An attempt of the message."""
    attempt = ids.new(backend.clock.now(), os.urandom(8))

    def parsed(prefix: str, text: str) -> Any:
        return ids.parse(prefix, text)

    app, sent = parsed(ids.APPLICATION, made["app"]), parsed(ids.MESSAGE, made["message"])
    async with database.connection() as connection:
        await add_attempt(connection, app, sent, attempt, parsed(ids.ENDPOINT, made["endpoint"]))
    return ids.text(ids.ATTEMPT, attempt)


async def answer(caller: Caller, path: str) -> Any:
    headers = {"authorization": f"Bearer {caller.api.token}"}
    return (await caller.api.client.get(f"/api/v1{path}", headers=headers)).raise_for_status().json()


async def test_what_they_print_is_what_the_api_answers(caller: Caller, furnished: dict[str, str]) -> None:
    kinds: dict[str, Callable[[Any], Any]] = {"token list": lambda one: one["kind"] == "token"}
    for words, path in LISTS.items():
        printed = await caller.lines(*words.format(**furnished).split())
        assert caller.code == 0, caller.said
        answered = (await answer(caller, path.format(**furnished)))["data"]
        answered = [one for one in answered if kinds.get(words, bool)(one)]
        assert printed == answered, words
        assert printed, f"{words}: there must be something to compare"
    for words, path in OBJECTS.items():
        (printed,) = await caller.lines(*words.format(**furnished).split())
        assert printed == await answer(caller, path.format(**furnished)), words


async def test_on_the_database_they_print_the_same(
    caller: Caller, furnished: dict[str, str], database: Database
) -> None:
    where = ("--database", "--org", caller.api.org_id)
    for words in ("dead-letter list", "api-key list --with-tokens", "token list"):
        over_the_api = await caller.lines(*words.split())
        variables = {"ANGARIUM_DATABASE_URL": database.url, "ANGARIUM_URL": ""}
        assert await caller.lines(*words.split(), *where, **variables) == over_the_api, caller.said
        assert over_the_api


async def test_people_get_a_table_or_the_fields(caller: Caller, furnished: dict[str, str]) -> None:
    for words in LISTS:
        heading, *rows = (await caller.run(*words.format(**furnished).split())).splitlines()
        assert rows, words
        assert "  " in heading
    for words in OBJECTS:
        assert await caller.run(*words.format(**furnished).split())


async def test_payloads_keep_their_digits(caller: Caller, furnished: dict[str, str]) -> None:
    for words in ("message list", f"message show {furnished['message']}"):
        out = await caller.run(*words.split(), "--json")
        assert '{"amount":1.00,"big":1E400}' in out


async def test_a_list_is_read_page_after_page_up_to_its_limit(caller: Caller) -> None:
    for number in range(105):
        await caller.api.event_type(f"order.n{number}")
    assert len(await caller.lines("event-type", "list", "--limit", "103")) == 103
    assert len(await caller.lines("event-type", "list", "--limit", "3")) == 3
    assert len(await caller.lines("event-type", "list", "--limit", "1000")) == 105


# ------------------------------------------------------------------------------------------- changing


async def test_nouns_are_made_changed_and_deleted(caller: Caller) -> None:
    metadata = ("--metadata", '{"a": "b"}')
    (made,) = await caller.lines("application", "create", "--name", "Two", "--uid", "two", *metadata)
    assert (made["uid"], made["metadata"]) == ("two", {"a": "b"})
    told = ("--rate-limit", "5", "--clear", "metadata")
    (changed,) = await caller.lines("application", "update", "two", *told)
    assert (changed["name"], changed["throttleRate"], changed["metadata"]) == ("Two", 5, {})
    place = ("--app", "two")
    (made,) = await caller.lines(
        "endpoint", "create", "--to", "http://localhost:9/hook", "--events", "order.*", "--uid", "ep", *place
    )
    assert made["eventTypes"] == ["order.*"]
    (changed,) = await caller.lines("endpoint", "update", "ep", "--clear", "events", "--fifo", *place)
    assert (changed["eventTypes"], changed["fifo"]) == (None, True)
    assert (await caller.lines("endpoint", "disable", "ep", *place))[0]["disabled"] is True
    assert (await caller.lines("endpoint", "enable", "ep", *place))[0]["disabled"] is False
    (headers,) = await caller.lines("endpoint", "headers", "ep", "--set", "X-Shop: 1", *place)
    assert headers["headers"] == {"X-Shop": "1"}
    (headers,) = await caller.lines("endpoint", "headers", "ep", "--remove", "X-Shop", *place)
    assert headers["headers"] == {}
    (before,) = await caller.lines("endpoint", "secret", "ep", *place)
    await caller.run("endpoint", "rotate-secret", "ep", "--grace", "60", *place)
    assert (await caller.lines("endpoint", "secret", "ep", *place))[0]["key"] != before["key"]
    assert "msg_" in await caller.run("endpoint", "send-example", "ep", "--type", "svix.ping", *place)
    assert "/login" in await caller.run("application", "link", "two", "--read-only")
    await caller.run("application", "expire-tokens", "two", "--yes")
    assert caller.code == 0, caller.said
    described = ("--name", "a.b", "--description", "x", "--schemas", '{"1": {"type": "object"}}')
    (made,) = await caller.lines("event-type", "create", *described)
    assert made["schemas"] == {"1": {"type": "object"}}
    (changed,) = await caller.lines("event-type", "update", "a.b", "--deprecated")
    assert (changed["description"], changed["deprecated"]) == ("x", True)
    for noun, *ref in (("event-type", "a.b"), ("endpoint", "ep", *place), ("application", "two")):
        assert "is deleted" in await caller.run(noun, "delete", *ref, "--yes")
        assert caller.code == 0, caller.said
    assert [one["name"] for one in await caller.lines("event-type", "list")] == []
    await caller.run("application", "update", "two")
    assert (caller.code, "nothing to change" in caller.said) == (2, True)
    await caller.run("application", "update", "two", "--clear", "colour")
    assert (caller.code, "choose from name, uid" in caller.said) == (2, True)


async def test_a_task_is_canceled_and_a_payload_and_a_token_end(
    caller: Caller, furnished: dict[str, str]
) -> None:
    (task,) = await caller.lines("background-task", "cancel", furnished["task"])
    assert task["status"] == "failed"
    assert "is deleted" in await caller.run("message", "expunge", furnished["message"], "--yes")
    (shown,) = await caller.lines("message", "show", furnished["message"])
    assert shown["payload"] == {"expired": True}
    token = caller.api.as_application(caller.app).token
    await caller.run("token", "revoke", "-", given=token.encode())
    assert caller.code == 0, caller.said
    await caller.run("endpoint", "list", "--token", token)
    assert (caller.code, json.loads(f'"{caller.said[:8]}"')) == (1, "angarium")
    await caller.run("api-key", "revoke", f"key_{'0' * 27}")
    assert caller.code == 1
