"""Everything of an application as files: what the API returns is in them, and no secret."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from angarium.core import ids
from angarium.core.audit import fingerprint
from angarium.core.nouns import State
from angarium.store import export as store
from angarium.store.database import Database
from tests.api.conftest import Backend, api, backend, client, new_organization
from tests.cli.test_remote import Caller, caller
from tests.kit.rows import add_attempt, move_delivery

__all__ = ["api", "backend", "caller", "client", "new_organization"]

HEADER = "a-secret-header-value"


def uuid_of(prefix: str, text: str) -> UUID:
    found = ids.parse(prefix, text)
    assert found is not None
    return found


def records(directory: Path, kind: str) -> list[Any]:
    return [json.loads(line) for line in (directory / f"{kind}.jsonl").read_text().splitlines()]


@pytest.fixture
async def furnished(caller: Caller, backend: Backend, database: Database) -> Caller:
    """Five messages to two endpoints, the first ones attempted, and another application beside it."""
    call = caller.api.call
    other = await caller.api.application("Other", uid="other")
    for app in (caller.app, other):
        for n in range(2):
            endpoint = await caller.api.endpoint(app, f"http://localhost:9/{n}")
            await call(
                "PUT", f"/app/{app}/endpoint/{endpoint}/headers", {"headers": {"X-A": HEADER}}, status=204
            )
        app_id, endpoint_id = uuid_of(ids.APPLICATION, app), uuid_of(ids.ENDPOINT, endpoint)
        for n in range(5):
            body = {"eventType": "order.paid", "payload": {"n": n, "of": app}, "eventId": f"event-{n}"}
            made = await call("POST", f"/app/{app}/msg", body, status=202)
            message_id = uuid_of(ids.MESSAGE, made["id"])
            if n < 3:
                async with database.connection() as connection:
                    await move_delivery(
                        connection, app_id, endpoint_id, message_id, state=State.DELIVERED, attempts=2
                    )
                    for k in range(2):
                        attempt_id = ids.new(datetime.now(UTC).timestamp() + k, bytes(8))
                        await add_attempt(
                            connection, app_id, message_id, attempt_id, endpoint_id, number=k + 1,
                            response=b"\xff\x00" if k else b"ok",
                        )  # fmt: skip
    async with database.connection() as connection:
        for hour in range(3):
            await connection.execute(
                "insert into attempt_hour values ($1, $2, $3, 1, 0, '{}')",
                uuid_of(ids.APPLICATION, caller.app), UUID(int=0),
                datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour),
            )  # fmt: skip
    return caller


async def test_an_export_has_what_the_api_returns_and_no_secret(
    furnished: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROWS", 3)
    monkeypatch.setattr(store, "MESSAGES", 2)
    app, get = furnished.app, furnished.api.get
    out = tmp_path / "export"
    said = await furnished.run("app", "export", app, "--out", str(out))
    assert furnished.code == 0, furnished.said
    assert f"in 12 files in {out}" in said

    listed = (await get(f"/app/{app}/msg", limit=100))["data"]
    exported = records(out, "message")
    assert [one["id"] for one in exported] == sorted(one["id"] for one in listed)
    assert {one["id"]: json.loads(one["payload"]) for one in exported} == {
        one["id"]: one["payload"] for one in listed
    }
    assert [one["eventId"] for one in exported] == [f"event-{n}" for n in range(5)]
    attempts = records(out, "attempt")
    made = [one for one in attempts if one["statusCode"] is not None and one["revision"] is not None]
    shown = [
        attempt for one in listed for attempt in (await get(f"/app/{app}/attempt/msg/{one['id']}"))["data"]
    ]
    assert sorted(one["id"] for one in made) == sorted(one["id"] for one in shown)
    assert {str(one["response"]) for one in made} == {"ok", "{'base64': '/wA='}"}
    final = [one for one in attempts if one["final"]]
    assert [one["state"] for one in final] == ["delivered"] * 3
    queued = records(out, "delivery")
    log = (await get(f"/app/{app}/log", limit=100))["data"]
    assert sorted((one["messageId"], one["endpointId"]) for one in (*queued, *final)) == sorted(
        (one["messageId"], one["endpointId"]) for one in log
    )
    endpoints = records(out, "endpoint")
    assert [one["id"] for one in endpoints] == [
        one["id"] for one in (await get(f"/app/{app}/endpoint", order="ascending"))["data"]
    ]
    assert endpoints[0]["headers"] == {"X-A": fingerprint(HEADER)}
    secret = (await get(f"/app/{app}/endpoint/{endpoints[0]['id']}/secret"))["key"]
    assert endpoints[0]["secrets"] == [fingerprint(secret)]
    text = "".join(file.read_text() for file in out.glob("*.jsonl"))
    assert HEADER not in text
    assert secret not in text
    assert "other" not in text.lower().replace("another", "")
    assert len(records(out, "event-id")) == 5
    assert len(records(out, "statistics")) == 3
    assert records(out, "audit")[0]["action"] == "application.created"
    assert records(out, "application")[0]["id"] == app


async def test_the_manifest_counts_each_file_and_is_in_the_audit_log(
    furnished: Caller, tmp_path: Path
) -> None:
    out = tmp_path / "export"
    await furnished.run("application", "export", furnished.app, "--out", str(out), "--json")
    manifest = json.loads((out / "manifest.json").read_text())
    for one in manifest["files"]:
        content = (out / one["name"]).read_bytes()
        assert (content.count(b"\n"), hashlib.sha256(content).hexdigest()) == (one["records"], one["sha256"])
    (record,) = (await furnished.api.get("/audit", action="application.exported"))["data"]
    assert record["after"]["files"] == {
        one["name"]: {"records": one["records"], "sha256": one["sha256"]} for one in manifest["files"]
    }


async def test_an_export_that_did_not_end_starts_again_and_one_that_did_is_kept(
    furnished: Caller, tmp_path: Path
) -> None:
    arguments = ("application", "export", furnished.app, "--out", str(tmp_path))
    (tmp_path / "message.jsonl").write_text("half a line")
    await furnished.run(*arguments)
    assert len(records(tmp_path, "message")) == 5
    await furnished.run(*arguments)
    assert furnished.code == 2
    assert "has an export already" in furnished.said


async def test_one_message_is_exported_with_its_attempts_alone(furnished: Caller, tmp_path: Path) -> None:
    first = (await furnished.api.get(f"/app/{furnished.app}/msg", limit=100))["data"][-1]["id"]
    await furnished.run("message", "export", first, "--out", str(tmp_path), ANGARIUM_APP=furnished.app)
    assert furnished.code == 0, furnished.said
    assert [one["id"] for one in records(tmp_path, "message")] == [first]
    assert {one["messageId"] for one in records(tmp_path, "attempt")} == {first}
    assert [one["messageId"] for one in records(tmp_path, "delivery")] == [first]
    assert [one["eventId"] for one in records(tmp_path, "event-id")] == ["event-0"]
    (record,) = (await furnished.api.get("/audit", action="message.exported"))["data"]
    assert record["target"] == first


@pytest.mark.parametrize("iterator", ["x", "WzFd", "WyIxIl0", "WyJcdTAwMDAiXQ"])
@pytest.mark.parametrize("kind", ["message", "attempt", "delivery", "statistics", "audit"])
async def test_an_iterator_of_something_else_is_refused(furnished: Caller, kind: str, iterator: str) -> None:
    answer = await furnished.api.get(f"/app/{furnished.app}/export/{kind}", status=422, iterator=iterator)
    assert answer["detail"][0]["loc"] == ["query", "iterator"]
