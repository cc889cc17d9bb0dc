"""Receivers of Bluum's document and verification of Bloom's as printed, and their faults."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from angarium.core import ids
from angarium.store.database import Database
from tests.dialects.bluum import FILLED, Stand, Tenant, standing
from tests.documents.sample import NODE_MODULES, Running, compose, running, sample
from tests.kit.patience import PATIENCE
from tests.node.npm import BIN

PATH = "/webhooks/bluum"
NODE = "import express from 'express';\nconst app = express();\napp.use(express.json());\n"
PROCESS = "async function processEvent(event) { console.log('processed', event.id); }\n"
HANDLE = "function handleEvent(event, data) { console.log('handled', event, data.id); }\n"
LISTEN = "app.listen(3000);\n"
PYTHON = """
from flask import Flask, jsonify, request

app = Flask(__name__)

class process_event:
    @staticmethod
    def delay(event):
        print("processed", event["id"])
"""


def indented(text: str) -> str:
    """The page that the sample was taken from has lost its indentation, without which it is no Python."""
    lines = text.splitlines()
    body = next(number for number, line in enumerate(lines) if line.startswith("def ")) + 1
    return "\n".join([*lines[:body], *(f"    {line}" for line in lines[body:])]) + "\n"


async def told(stand: Stand, tenant: Tenant, receiver: Running, *events: str) -> list[str]:
    """Send these events about one order to the receiver alone; gives their ids."""
    made = await tenant.webhook(receiver.origin + PATH)
    before = await stand.attempts()
    sent = []
    for count, event_type in enumerate(events, 1):
        sent.append(await stand.send(tenant, event_type, {**FILLED, "status": event_type.partition(".")[2]}))
        await stand.until_attempts(before + count)
    await tenant.call("DELETE", f"/webhooks/{made['id']}", status=204)
    return sent


async def statuses(stand: Stand) -> list[int]:
    rows = await stand.world.fetch("select status_code from attempt where status is not null")
    return [row["status_code"] for row in rows]


async def test_bluums_receivers_take_our_requests(database: Database) -> None:
    sources = {
        "node": compose(NODE, PROCESS, "bluum/endpoint.mjs", LISTEN),
        "python": compose(PYTHON, indented(sample("bluum/endpoint.py")), "app.run(port=3000)\n"),
    }
    async with standing(database) as stand:
        tenant, _ = await stand.tenant()
        for language, source in sources.items():
            async with running(source, language) as receiver:
                (event_id,) = await told(stand, tenant, receiver, "order.filled")
                await receiver.says("Received event: order.filled")
                await receiver.says(f"processed {event_id}")
                async with httpx.AsyncClient(timeout=60) as client:
                    answer = await client.post(
                        receiver.origin + PATH, json={"event": "x", "data": {}, "id": "1"}
                    )
                assert answer.json() == {"received": True}
        assert await statuses(stand) == [200, 200]


async def test_bluums_sample_that_remembers_data_id_drops_the_second_event_of_an_order(
    database: Database,
) -> None:
    """`data.id` is the order's id. The event's own id is `id`, and `webhook-id`."""
    printed = compose(NODE, HANDLE, "bluum/dedupe.mjs", LISTEN)
    mended = printed.replace("const eventId = data.id;", "const eventId = req.body.id;")
    async with standing(database) as stand:
        tenant, _ = await stand.tenant()
        events = ("order.accepted", "order.filled")
        async with running(printed, "node") as receiver:
            first, second = await told(stand, tenant, receiver, *events)
            assert first != second
            assert ids.parse("evt_", first) is not None
            await receiver.says(f"handled order.accepted {FILLED['id']}")
            assert not receiver.said("handled order.filled"), "acknowledged with 200, and never handled"
        async with running(mended, "node") as receiver:
            await told(stand, tenant, receiver, *events)
            await receiver.says("handled order.accepted")
            await receiver.says("handled order.filled")
        assert set(await statuses(stand)) == {200}


async def run_alone(tmp_path: Path, source: str) -> tuple[int | None, str]:
    """A Node program that only runs and ends; its exit status and what it wrote."""
    program = tmp_path / "sample.mjs"
    program.write_text(source, "utf-8")
    if not (tmp_path / "node_modules").is_symlink():
        (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    process = await asyncio.create_subprocess_exec(
        str(BIN / "node"), str(program), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode, out.decode()


async def test_blooms_verification_sample_and_its_three_faults(tmp_path: Path) -> None:
    printed = sample("bloom/verify.mjs")
    status, said = await run_alone(tmp_path, printed)
    assert status != 0
    assert "'payload' has already been declared" in said, "one name for two things"

    renamed = printed.replace("const payload = wh.verify", "const content = wh.verify")
    status, said = await run_alone(tmp_path, renamed)
    assert status != 0
    assert "timestamp too old" in said, "it is of 2021, and anything older than five minutes is refused"

    then = "Date.now = () => 1614265330_000;\n" + renamed + "console.log('content', content);\n"
    status, said = await run_alone(tmp_path, then)
    assert (status, said.strip()) == (0, "content undefined"), "svix 2 verifies, and gives nothing back"

    of_payload = then.replace("const payload = '{", "const payload = '{ ")
    status, said = await run_alone(tmp_path, of_payload)
    assert "No matching signature" in said, "one byte more"
