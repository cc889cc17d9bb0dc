"""Commands that call a server, against a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from angarium.cli.main import app
from tests.api.conftest import Api, Backend, api, backend, client, new_organization
from tests.api.serving import serving
from tests.kit.patience import until

__all__ = ["api", "backend", "client", "new_organization"]


@dataclass
class Caller:
    """Runs commands against the server, as the shell would."""

    url: str
    api: Api
    app: str
    code: int = 0
    said: str = ""

    async def run(self, *arguments: str, given: bytes = b"", **variables: str) -> str:
        env = {"ANGARIUM_URL": self.url, "ANGARIUM_TOKEN": self.api.token, **variables}
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments, input=given, env=env)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        self.code, self.said = done.exit_code, done.stderr
        return done.stdout

    async def lines(self, *arguments: str, **variables: str) -> list[Any]:
        printed = await self.run(*arguments, "--json", given=b"", **variables)
        return [json.loads(line) for line in printed.splitlines()]


@pytest.fixture
async def caller(api: Api, backend: Backend) -> AsyncIterator[Caller]:
    application = await api.application()
    async with serving(backend.app) as url:
        yield Caller(url, api, application)


async def test_a_message_is_sent_shown_and_sent_again(caller: Caller) -> None:
    endpoint = await caller.api.endpoint(caller.app)
    sent = await caller.run("message", "send", "--type", "order.filled", "--data", "-", given=b'{"n":  1}')
    message = sent.strip()
    assert caller.code == 0, caller.said
    (shown,) = await caller.lines("message", "show", message)
    assert (shown["id"], shown["payload"]) == (message, {"n": 1})
    (delivery,) = await caller.lines("delivery", "list", "--message", message)
    assert delivery["endpointId"] == endpoint
    assert "waiting after 0 attempts" in await caller.run("message", "show", message)
    (resent,) = await caller.lines("message", "resend", message)
    assert resent["endpoints"] == [endpoint]
    await caller.run("message", "show", "msg_0ujsswThIGTUYm2K8FjOOfXtY1K")
    assert caller.code == 1
    assert "not found" in caller.said


async def test_the_catalogues_examples_are_sent_in_turn(caller: Caller, tmp_path: Path) -> None:
    for name in ("order.accepted", "order.filled"):
        schema = {"type": "object", "examples": [{"id": "x", "status": name.partition(".")[2]}]}
        await caller.api.event_type(name, schemas={"1": schema})
    await caller.run("trigger", "order.accepted", "order.filled", "--set", "id=ord_1", "--set", "deep.n=2")
    assert caller.code == 0, caller.said
    listed = (await caller.api.get(f"/app/{caller.app}/msg", with_content="true"))["data"]
    assert [one["eventType"] for one in listed] == ["order.filled", "order.accepted"]
    assert listed[0]["payload"] == {"id": "ord_1", "status": "filled", "deep": {"n": 2}}
    file = tmp_path / "sequence"
    file.write_text('{"type": "order.accepted", "data": {"a": 1}}\n{"type": "order.filled", "after": 0.01}\n')
    assert len(await caller.lines("trigger", "--sequence", str(file))) == 2
    await caller.run("trigger", "no.such")
    assert caller.code == 1
    await caller.run("trigger", "--sequence", "/no/such/file")
    assert caller.code == 2


async def test_what_was_lost_is_counted_listed_and_sent_again(caller: Caller) -> None:
    endpoint = await caller.api.endpoint(caller.app)
    for _ in range(3):
        await caller.run("message", "send", "--type", "order.filled", "--data", "{}")
    for disabled in (True, False):
        await caller.api.patch(f"/app/{caller.app}/endpoint/{endpoint}", {"disabled": disabled})
    assert len(await caller.lines("dead-letter", "list")) == 3
    assert "3 messages would" in await caller.run(
        "endpoint", "recover", endpoint, "--since", "1h", "--dry-run"
    )
    (counted,) = await caller.lines(
        "delivery", "resend", "--status", "canceled", "--events", "order.*", "--dry-run"
    )
    assert counted == {"messages": 3, "exact": True}
    assert "0 deliveries would" in await caller.run("delivery", "resend", "--error", "timeout", "--dry-run")
    (task,) = await caller.lines("dead-letter", "resend", "--all", "--yes", "--no-wait")
    assert task["status"] == "running"
    await caller.run("delivery", "resend", "--events", "or*", "--dry-run")
    assert caller.code == 1
    await caller.run("endpoint", "recover", endpoint, "--since", "soon")
    assert caller.code == 2


async def test_a_command_that_waits_for_a_task_says_why_it_failed(caller: Caller) -> None:
    endpoint = await caller.api.endpoint(caller.app)
    command = "endpoint", "replay-missing", endpoint, "--since", "1h"
    waiting = asyncio.create_task(caller.run(*command))
    database = caller.api.services.database

    async def failed() -> bool:
        async with database.transaction() as connection:
            done = await connection.execute(
                "update background_task set status = 'failed', error = 'endpoint_deleted'"
            )
        return done == "UPDATE 1"

    await until(failed)
    assert "The endpoint was deleted." in await waiting
    assert caller.code == 1


async def test_tail_follows_what_happens(caller: Caller) -> None:
    await caller.api.endpoint(caller.app)
    async with asyncio.TaskGroup() as group:
        tail = group.create_task(caller.lines("message", "tail", "--count", "1", "--within", "50"))
        while not tail.done():
            body = {"eventType": "a.b", "payload": {}}
            await caller.api.post(f"/app/{caller.app}/msg", body, status=202)
            await asyncio.wait([tail], timeout=0.5)
    (line,) = tail.result()
    assert (line["eventType"], line["status"]) == ("a.b", "waiting")


async def test_what_is_missing_is_said(caller: Caller) -> None:
    await caller.run("dead-letter", "list", ANGARIUM_TOKEN="")
    assert caller.code == 2
    assert "ANGARIUM_TOKEN" in caller.said
    await caller.run("dead-letter", "list", ANGARIUM_URL="http://127.0.0.1:9")
    assert caller.code == 3
    await caller.run("message", "send", "--type", "a.b", "--data", "{")
    assert caller.code == 2
    await caller.api.application()
    await caller.run("dead-letter", "list")
    assert caller.code == 2
    assert "several" in caller.said
    await caller.run("dead-letter", "list", "--app", caller.app)
    assert caller.code == 0


async def test_a_signature_is_made_verified_and_its_mistake_named(caller: Caller, tmp_path: Path) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = tmp_path / "body"
    body.write_bytes(b'{"test": 2432232314}')
    made = await caller.run(
        "sign", "--secret", secret, "--body", f"@{body}", "--id", "msg_1", "--at", "1614265330"
    )
    headers = tmp_path / "headers"
    headers.write_text(made)
    told = ("verify", "--secret", secret, "--headers", f"@{headers}", "--at", "1614265331")
    assert "is valid" in await caller.run(*told, "--body", f"@{body}")
    assert caller.code == 0
    body.write_bytes(b'{"test": 2432232314}\n')
    (found,) = await caller.lines(*told, "--body", f"@{body}")
    assert (found["verified"], found["mistake"], caller.code) == (False, "trailing_newline", 1)
    await caller.run(*told, "--body", "x", "--scheme", "none")
    assert caller.code == 2
