"""The commands of Bluum's documents, as printed, against `angarium dev`; and dead letters over the CLI.

Only what the documents leave to the reader is filled in: $BASE_URL, $AUTH, $WEBHOOK_ID, $ACCOUNT_ID, and in
one command the host of the tunnel. The commands run in order against one server.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from angarium.core import ids
from angarium.service.intake import Draft
from angarium.store.database import Database
from tests.cli.test_serve import healthy
from tests.dialects.bluum import bluum, standing
from tests.kit.command import run
from tests.kit.patience import PATIENCE
from tests.kit.port import free_port
from tests.kit.receiver import Receiver, Reply
from tests.kit.server import angarium
from tests.kit.task import finish_tasks

ACCOUNT = "3d0b0e65-35d3-4dcd-8df7-10286ebb4b4b"
LIST_TYPES = """\
curl -X GET "$BASE_URL/webhooks/event-types" \\
-H "Authorization: Basic $AUTH"
"""
REGISTER = """\
curl -X POST "$BASE_URL/webhooks" \\
-H "Authorization: Basic $AUTH" \\
-H "Content-Type: application/json" \\
-d '{
"name": "Production webhook",
"url": "https://your-app.com/webhooks/bluum",
"eventTypeNames": ["order.*", "transfer.*"]
}'
"""
LIST = """\
# List webhooks
curl -X GET "$BASE_URL/webhooks" \\
-H "Authorization: Basic $AUTH"
"""
UPDATE = """\
# Update a webhook
curl -X PATCH "$BASE_URL/webhooks/$WEBHOOK_ID" \\
-H "Authorization: Basic $AUTH" \\
-H "Content-Type: application/json" \\
-d '{
"eventTypeNames": ["order.*", "transfer.*", "account.*"]
}'
"""
DELETE = """\
# Delete a webhook
curl -X DELETE "$BASE_URL/webhooks/$WEBHOOK_ID" \\
-H "Authorization: Basic $AUTH"
"""
REGISTER_TUNNEL = """\
curl -X POST "$BASE_URL/webhooks" \\
-H "Authorization: Basic $AUTH" \\
-H "Content-Type: application/json" \\
-d '{
"name": "Development webhook",
"url": "https://abc123.ngrok.io/webhooks/bluum",
"eventTypeNames": ["order.*", "transfer.*"]
}'
"""
ORDER = """\
# This will trigger order.accepted and eventually order.filled
curl -X POST "$BASE_URL/trading/accounts/$ACCOUNT_ID/orders" \\
-H "Authorization: Basic $AUTH" \\
-H "Content-Type: application/json" \\
-d '{
"symbol": "AAPL",
"side": "buy",
"type": "market",
"time_in_force": "day",
"qty": "1"
}'
"""
TO_PRODUCTION = """\
curl -X PATCH "$BASE_URL/webhooks/$WEBHOOK_ID" \\
-H "Authorization: Basic $AUTH" \\
-H "Content-Type: application/json" \\
-d '{
"url": "https://your-app.com/webhooks/bluum",
"description": "Production webhook"
}'
"""

Shell = Callable[..., Any]


@pytest.fixture(scope="module")
def bluum_line() -> Iterator[dict[str, str]]:
    """What one `angarium dev` says of Bluum."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="angarium-test-", dir=memory)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANGARIUM_")}
    process = subprocess.Popen(
        (
            *(sys.executable, "-m", "angarium.cli.main", "dev", "--json", "--port", "0"),
            *("--data", directory, "--profile", "bluum"),
        ),
        env=kept | {"ANGARIUM_LOG_LEVEL": "warning"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "it ended before it was ready"
        yield json.loads(line)["profiles"]["bluum"]
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def shell(bluum_line: dict[str, str], tmp_path: Path) -> Shell:
    """Runs a command as a reader of the document would, checks the status and gives the JSON."""
    # the command stays as it is: curl's own defaults file adds the status to what it prints
    (tmp_path / ".curlrc").write_text('silent\nwrite-out = "\\n%{http_code}"\nmax-time = 20\n')
    home = str(tmp_path)
    line = bluum_line
    auth = base64.b64encode(f"{line['api_key']}:{line['api_secret']}".encode()).decode()

    async def run(
        command: str, *, prefix: str = "", expected: int = 200, investor: bool = False, **variables: str
    ) -> Any:
        said = auth
        if investor:
            said = base64.b64encode(f"{line['investor_key']}:{line['investor_secret']}".encode()).decode()
        environment = {"PATH": os.environ["PATH"], "BASE_URL": line["base_url"] + prefix, "AUTH": said}
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euc", command),
            env=environment | {"HOME": home, "CURL_HOME": home} | variables,
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        body, _, status = out.decode().rpartition("\n")
        assert int(status) == expected, out.decode()
        return json.loads(body) if body.strip() else None

    return run


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_acceptance_1_3_b1_b2_b3_b4_b6_the_documents_commands_work_as_printed(
    shell: Shell, prefix: str
) -> None:
    types = await shell(LIST_TYPES, prefix=prefix)
    assert {"order.filled", "kyc.verification.approved"} <= {row["name"] for row in types["data"]}
    made = await shell(REGISTER, prefix=prefix, expected=201)
    assert made["name"] == "Production webhook"
    assert made["secret"].startswith("whsec_")
    listed = await shell(LIST, prefix=prefix)
    assert [row["id"] for row in listed["data"]] == [made["id"]]
    assert "secret" not in listed["data"][0]
    changed = await shell(UPDATE, prefix=prefix, WEBHOOK_ID=made["id"])
    assert changed["eventTypeNames"] == ["order.*", "transfer.*", "account.*"]
    assert changed["url"] == made["url"]
    changed = await shell(TO_PRODUCTION, prefix=prefix, WEBHOOK_ID=made["id"])
    assert changed["description"] == "Production webhook"
    assert changed["url"] == "https://your-app.com/webhooks/bluum"
    assert await shell(DELETE, prefix=prefix, expected=204, WEBHOOK_ID=made["id"]) is None
    await shell(DELETE, prefix=prefix, expected=404, WEBHOOK_ID=made["id"])


async def test_acceptance_2_b5_b8_events_and_investors_are_refused(shell: Shell) -> None:
    refused = await shell(REGISTER.replace("eventTypeNames", "events"), expected=400)
    assert "eventTypeNames" in refused["error"]["message"]
    refused = await shell(REGISTER, expected=403, investor=True)
    assert refused["error"]["type"] == "permission_error"


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_acceptance_5_b22_the_documents_order_gives_accepted_and_then_filled(
    shell: Shell, prefix: str
) -> None:
    async with Receiver() as receiver:
        host = receiver.url.removesuffix("/hook")
        command = REGISTER_TUNNEL.replace("https://abc123.ngrok.io", host)
        made = await shell(command, prefix=prefix, expected=201)
        order = await shell(ORDER, prefix=prefix, expected=201, ACCOUNT_ID=ACCOUNT)
        requests = await receiver.wait_for(2)
        await shell(DELETE, prefix=prefix, expected=204, WEBHOOK_ID=made["id"])
    events = [json.loads(request.body) for request in requests]
    assert [event["event"] for event in events] == ["order.accepted", "order.filled"]
    assert {event["data"]["id"] for event in events} == {order["id"]}
    assert events[0]["id"] != events[1]["id"]
    for request in requests:
        assert request.path == "/webhooks/bluum"
        Webhook(made["secret"]).verify(request.body.decode(), dict(request.headers))


# ------------------------------------------------------------------------------------------- in production


async def test_in_production_urls_are_https_and_there_is_no_sandbox(database_url: str) -> None:
    variables = {
        "ANGARIUM_DATABASE_URL": database_url,
        "ANGARIUM_JWT_SECRET": "s" * 48,
        "ANGARIUM_SECRET_KEY": base64.b64encode(b"k" * 32).decode(),
        "ANGARIUM_LISTEN": f"127.0.0.1:{free_port()}",
        "ANGARIUM_PROFILES": "bluum",
    }
    arguments = ("profile", "install", "bluum", "--org", "org_production", "--json")
    installed = await asyncio.to_thread(partial(run, *arguments, **variables))
    assert installed.returncode == 0, installed.stderr
    line = json.loads(installed.stdout)
    assert line["api_key"].startswith("bluum_live_")
    server = await angarium("serve", stderr=None, **variables)
    try:
        url = f"http://{variables['ANGARIUM_LISTEN']}"
        await healthy(url)
        auth = httpx.BasicAuth(line["api_key"], line["api_secret"])
        async with httpx.AsyncClient(timeout=PATIENCE, base_url=url, auth=auth) as client:
            assert len((await client.get("/v1/webhooks/event-types")).json()["data"]) == 17
            for wrong in (
                "http://your-app.com/webhooks/bluum",
                "https://127.0.0.1/x",
                "https://localhost/x",
                "https://169.254.169.254/latest",
                "https://[::ffff:10.0.0.1]/x",
            ):
                body = {"url": wrong, "eventTypeNames": ["order.*"]}
                answer = await client.post("/webhooks", json=body)
                assert answer.status_code == 400, wrong
                assert answer.json()["error"]["param"] == "url"
            body = {"url": "https://your-app.com/webhooks/bluum", "eventTypeNames": ["order.*"]}
            assert (await client.post("/webhooks", json=body)).status_code == 201
            for path in (
                f"/trading/accounts/{ACCOUNT}/orders",
                "/transfers/deposits",
                "/transfers/withdrawals",
            ):
                for prefix in ("", "/v1"):
                    assert (await client.post(prefix + path, json={})).status_code == 404
    finally:
        server.terminate()
        await asyncio.wait_for(server.communicate(), PATIENCE)
    assert server.returncode == 0


# ----------------------------------------------------------------------- dead letters over the command line


async def dead_letter(url: str, *arguments: str, status: int = 0) -> list[dict[str, Any]]:
    told = ("dead-letter", *arguments, "--database", "--json")
    done = await asyncio.to_thread(run, *told, ANGARIUM_DATABASE_URL=url)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def test_acceptance_7_b19_c6_an_operator_lists_and_replays_dead_letters(database: Database) -> None:
    async with standing(database, product=bluum(retries="20ms")) as stand, Receiver() as receiver:
        receiver.default = Reply(500)
        tenant, _ = await stand.tenant()
        made = await tenant.webhook(receiver.url, "order.*")
        other, _ = await stand.tenant("other")
        await other.webhook(receiver.url, "order.*")
        event_id = await stand.send(tenant)
        await stand.send(other)
        await stand.world.until_states({2: 2})
        where = ("--org", stand.org_id)
        everything = await dead_letter(database.url, "list", *where)
        assert {row["status"] for row in everything} == {"failed"}
        assert len(everything) == 2
        (row,) = await dead_letter(database.url, "list", *where, "--app", "first")
        assert row["messageId"] == event_id.replace("evt_", "msg_")
        assert (row["eventType"], row["attempts"], row["url"]) == ("order.filled", 2, receiver.url)
        narrow = (*where, "--app", "first", "--endpoint", made["id"], "--since", "1h")
        (row,) = await dead_letter(database.url, "resend", *narrow, "--dry-run")
        assert row == {"messages": 1, "exact": True}
        assert len(receiver.requests) == 4, "nothing was sent yet"

        assert await dead_letter(database.url, "resend", *narrow, status=2) == [], "it asked for no answer"
        assert await dead_letter(database.url, "resend", *where, "--yes", status=2) == [], "--all is missing"
        assert await dead_letter(database.url, "resend", *where, "--all", "--dry-run") == [
            {"messages": 2, "exact": True}
        ]
        assert len(receiver.requests) == 4, "nothing was sent yet"

        receiver.default = Reply(200)
        (row,) = await dead_letter(database.url, "resend", *narrow, "--yes")
        assert (row["status"], row["data"]["expected"]) == ("running", 1)
        await finish_tasks(database, stand.world.clock)
        await stand.world.until_states({0: 1, 2: 1})
        bodies = {one.body for one in receiver.requests if one.header("webhook-id") == event_id}
        assert len(bodies) == 1, "the same id, the same bytes"
        assert await dead_letter(database.url, "list", *narrow) == []
        await dead_letter(database.url, "list", *where, "--app", "nobody", status=1)
        await dead_letter(database.url, "list", *where, "--since", "yesterday", status=2)


async def test_an_operator_replays_over_the_native_api(database: Database) -> None:
    async with standing(database, product=bluum(retries="20ms")) as stand, Receiver() as receiver:
        receiver.default = Reply(500)
        tenant, _ = await stand.tenant()
        made = await tenant.webhook(receiver.url, "order.*")
        app = ids.text(ids.APPLICATION, tenant.application.id)
        await stand.services.intake.accept(Draft(stand.org_id, app, "order.filled", b"{}"))
        await stand.world.until_states({2: 1})
        receiver.default = Reply(200)
        token = stand.services.token.for_organization(stand.org_id)
        endpoint = made["id"].replace("wh_", "ep_")
        answer = await stand.client.post(
            f"/api/v1/app/{app}/endpoint/{endpoint}/recover",
            json={"since": made["created_at"]},
            headers={"authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 202, answer.text
        await finish_tasks(database, stand.world.clock)
        await stand.world.until_states({0: 1})
