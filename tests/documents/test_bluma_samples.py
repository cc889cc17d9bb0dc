"""Bluma's receivers, copied from its document, get real requests, also where a sample has an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from angarium.core import ids
from angarium.core.product import Product
from angarium.store.database import Database
from tests.dialects.bluma import COMPLETED, Customer, Stand, bluma, standing
from tests.dialects.test_bluma_delivery import BODIES
from tests.documents.sample import Redis, Running, Tampered, compose, running, sample
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver

PATH = "/webhooks/bluma"
NODE = "import express from 'express';\nconst app = express();\n"
LISTEN = "app.listen(3000);\n"
PYTHON = "from flask import Flask, request\napp = Flask(__name__)\n"
RUN = "app.run(port=3000)\n"
STUBS = "".join(
    f"async function {name}(...given) {{ console.log('{name}', JSON.stringify(given)); }}\n"
    for name in ("downloadVideo", "notifyUser", "sendEmail", "handleVideoQueued", "handleVideoProcessing",
                 "handleCreditsExhausted", "alertAdmin")
)  # fmt: skip
DATABASE = """
const rows = new Set();
const db = {
  videos: { update: async () => {} },
  webhook_events: {
    create: async ({ data }) => {
      if (rows.has(data.event_id)) throw Object.assign(new Error('unique'), { code: 'P2002' });
      rows.add(data.event_id);
    },
  },
};
"""
HANDLE = ("bluma/handle.mjs", STUBS, DATABASE)
VERIFY = "bluma/verify.mjs"
NOTHING = "def handle_webhook_event(event):\n    print('handled', event['id'])\n"
RECEIVERS = {
    "endpoint.mjs": ("node", compose("bluma/endpoint.mjs", VERIFY, *HANDLE)),
    "usage.mjs": ("node", compose(NODE, VERIFY, "bluma/usage.mjs", LISTEN)),
    "cache.mjs": ("node", compose(NODE, VERIFY, *HANDLE, "bluma/cache.mjs", LISTEN)),
    "database.mjs": ("node", compose(NODE, VERIFY, *HANDLE, "bluma/database.mjs", LISTEN)),
    "queue.mjs": ("node", compose(NODE, VERIFY, *HANDLE, "bluma/queue.mjs", LISTEN)),
    "endpoint.py": ("python", compose("bluma/verify.py", NOTHING, "bluma/endpoint.py")),
    "usage.py": ("python", compose(PYTHON, "bluma/verify.py", "bluma/usage.py", RUN)),
}
EVENTS: dict[str, Any] = {
    "video.completed": COMPLETED,
    "video.failed": {"id": "batch_1", "user_id": "user_1", "error": {"detail": "No asset"}},
    "video.queued": {"id": "batch_1"},
    "video.processing": {"id": "batch_1"},
    "credits.low": {"remaining": 9},
    "credits.exhausted": {"remaining": 0},
    "video.deleted": {"id": "batch_1"},
}


def patient(**delivery: Any) -> Product:
    """The product with time for receivers that are processes of their own and have only just started."""
    return bluma(timeout="60s", **delivery)


def test_the_samples_run_as_they_were_printed() -> None:
    for name, (_, source) in RECEIVERS.items():
        printed = sample(f"bluma/{name}").splitlines()
        run = source.splitlines()
        imports = [line for line in printed if line.startswith("import ")]
        rest = printed[len(imports) :]
        assert any(run[start : start + len(rest)] == rest for start in range(len(run))), name
        assert set(imports) <= set(run)


@asynccontextmanager
async def registered(
    stand: Stand, customer: Customer, source: str, language: str, **variables: str
) -> AsyncIterator[tuple[Running, str]]:
    """A receiver with the secret of its own webhook; and the webhook's id."""
    made = await customer.webhook("http://127.0.0.1:9/", *EVENTS)
    variables["BLUMA_WEBHOOK_SECRET"] = made["secret"]
    async with running(source, language, **variables) as receiver:
        await customer.call("PATCH", f"/webhooks/{made['id']}", {"url": receiver.origin + PATH})
        yield receiver, made["id"]


async def completed(stand: Stand, customer: Customer, webhook_id: str, count: int) -> list[dict[str, Any]]:
    """The log once it has so many lines."""
    rows: list[dict[str, Any]] = []

    async def come() -> bool:
        rows[:] = await customer.deliveries(webhook_id)
        return len(rows) >= count

    await until(come, pause=0.1)
    return rows


async def test_every_receiver_of_the_document_takes_our_requests_and_nothing_else(
    database: Database,
) -> None:
    async with (
        standing(database, product=patient(retries="1h")) as stand,
        Receiver() as tamper,
        AsyncExitStack() as stack,
    ):
        customer = await stand.customer()
        started = await asyncio.gather(
            *(
                stack.enter_async_context(registered(stand, customer, source, language))
                for language, source in RECEIVERS.values()
            )
        )
        receivers = dict(zip(RECEIVERS, started, strict=True))

        # one of each type; then what is easily read as other bytes by one language or the other
        for event_type, data in EVENTS.items():
            await stand.emit(customer, event_type, data)
        large = json.dumps({**COMPLETED, "note": "é" * 17_000}).encode()  # 100 KiB when written as \\u00e9
        assert 100_000 < len(large) < 102_400
        for body in (*BODIES.values(), large):
            await stand.emit(customer, "video.deleted", body)
        total = len(EVENTS) + len(BODIES) + 1
        for name, (_, webhook_id) in receivers.items():
            rows = await completed(stand, customer, webhook_id, total)
            assert [row["status_code"] for row in rows] == [200] * total, name
        # the default branch
        await receivers["endpoint.mjs"][0].says("Unknown event type: video.deleted")

        # one bit of one byte on the way
        for _, webhook_id in receivers.values():
            await customer.call("PATCH", f"/webhooks/{webhook_id}", {"events": ["video.queued"]})
        for name, (receiver, webhook_id) in receivers.items():
            tamper.default = lambda request, url=receiver.origin + PATH: Tampered(request, url)
            await customer.call(
                "PATCH", f"/webhooks/{webhook_id}", {"url": tamper.url, "events": ["credits.low"]}
            )
            await stand.emit(customer, "credits.low", {"remaining": 3})
            (row, *_) = await completed(stand, customer, webhook_id, total + 1)
            assert row["status_code"] == 401, name
            assert "rejected the signature" in row["error_message"]
            assert "next_retry_at" in row
            await customer.call("PATCH", f"/webhooks/{webhook_id}", {"events": ["video.queued"]})

        # the document's own check: a request without the header is an error in the sample, not a 401
        async with httpx.AsyncClient(timeout=60) as client:
            for name, (receiver, _) in receivers.items():
                url = receiver.origin + PATH
                assert await curl(sample("bluma/check.sh"), url) == "401", name
                kind = {"content-type": "application/json"}
                answer = await client.post(url, content=b"{}", headers=kind)
                assert answer.status_code == 500, name


async def curl(command: str, url: str) -> str:
    """Run the printed command against another URL; gives the status of the answer."""
    assert "https://yourapp.com/webhooks/bluma" in command
    script = command.replace("https://yourapp.com/webhooks/bluma", url)
    script = script.replace("curl ", "curl -s -o /dev/null -w '%{http_code}' ", 1)
    process = await asyncio.create_subprocess_exec("bash", "-c", script, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return out.decode()


async def test_duplicates_are_answered_200_by_the_samples_that_look_for_them(database: Database) -> None:
    """The in-memory one and the database one see a resend as a repeat."""
    async with standing(database, product=patient()) as stand:
        customer = await stand.customer()
        for name in ("cache.mjs", "database.mjs"):
            language, source = RECEIVERS[name]
            async with registered(stand, customer, source, language) as (receiver, webhook_id):
                await stand.emit(customer)
                (row,) = await completed(stand, customer, webhook_id, 1)
                (one,) = await stand.world.fetch(
                    "select message_id, endpoint_id from attempt order by id desc limit 1"
                )

                await stand.services.replay.resend(
                    customer.application.id, ids.text("msg_", one[0]), ids.text("ep_", one[1])
                )
                rows = await completed(stand, customer, webhook_id, 2)
                assert [row["status_code"] for row in rows] == [200, 200]
                await receiver.says(f"Duplicate event {row['event_id']}")
            await customer.call("DELETE", f"/webhooks/{webhook_id}", status=204)


async def test_the_complete_example_fails_with_todays_redis_client_until_setex_is_spelled_as_it_is_there(
    database: Database,
) -> None:
    """node-redis has had no `setex` since its fourth version. The sample answers 500 and we try again."""
    printed = compose("bluma/complete.mjs", STUBS)
    async with standing(database, product=patient(retries="1h")) as stand, Redis() as redis:
        customer = await stand.customer()
        async with registered(stand, customer, printed, "node", REDIS_URL=redis.url) as (
            receiver,
            webhook_id,
        ):
            await stand.emit(customer)
            (row,) = await completed(stand, customer, webhook_id, 1)
            assert row["status_code"] == 500
            assert "its code failed" in row["error_message"]
            await receiver.says("redis.setex is not a function")
            assert not receiver.said("Processing event"), "the message is not lost: it was not acknowledged"
        await customer.call("DELETE", f"/webhooks/{webhook_id}", status=204)

        mended = printed.replace("redis.setex(", "redis.setEx(")
        async with registered(stand, customer, mended, "node", REDIS_URL=redis.url) as (receiver, webhook_id):
            event_id = await stand.emit(customer)
            (row,) = await completed(stand, customer, webhook_id, 1)
            assert row["status_code"] == 200
            assert redis.values[f"event:{event_id}"] == "processed"
            await receiver.says("downloadVideo")


async def test_what_is_marked_before_it_is_handled_is_lost_when_handling_fails(database: Database) -> None:
    """Two samples remember the id first. A failure afterwards is never made good: the repeat is skipped."""
    failing = STUBS.replace(
        "async function downloadVideo(...given) {",
        "async function downloadVideo() { throw new Error('disk full');",
    )
    clients = {
        "the database first": compose(
            NODE, VERIFY, "bluma/handle.mjs", failing, DATABASE, "bluma/database.mjs", LISTEN
        ),
        "the mark first": compose("bluma/complete.mjs", failing).replace("redis.setex(", "redis.setEx("),
        "the handling first": compose(
            NODE, VERIFY, "bluma/handle.mjs", failing, DATABASE, "bluma/cache.mjs", LISTEN
        ),
    }
    answers = {"the database first": [500, 200], "the mark first": [200], "the handling first": [500, 500]}
    async with standing(database, product=patient(retries="300ms")) as stand, Redis() as redis:
        customer = await stand.customer()
        for name, source in clients.items():
            async with registered(stand, customer, source, "node", REDIS_URL=redis.url) as (
                receiver,
                webhook_id,
            ):
                await stand.emit(customer)
                rows = await completed(stand, customer, webhook_id, len(answers[name]))
                assert [row["status_code"] for row in rows][::-1] == answers[name], name
                if name == "the database first":
                    await receiver.says("Duplicate event")  # acknowledged, and never handled
            await customer.call("DELETE", f"/webhooks/{webhook_id}", status=204)
