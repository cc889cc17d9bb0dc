"""A day in the life of a customer, in virtual time: what the tests of pages and the pictures show.

Five endpoints: one that works, one that was broken for some hours in the middle, one that recently refuses
what it is sent, one that is gone and was disabled for it, and a Play inbox.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from angarium.clock import datetime_at
from angarium.core.ids import INBOX, text
from angarium.service.play import KEPT_REQUESTS
from tests.kit.clock import ManualClock
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver, Reply
from tests.kit.stand import ORG, Stand
from tests.portal.browser.served import Served, served

SPAN: Final = 22 * 3600.0
IDLE: Final = 1.0  # seconds without progress after which virtual time continues
WORKING, BROKEN, REFUSING, GONE, PLAY = "orders", "warehouse", "accounting", "old-shop", "play"
JSON: Final = [("content-type", "application/json")]
GOOD: Final = Reply(200, b'{"received": true}', JSON)
BAD: Final = Reply(500, b"<h1>Internal Server Error</h1>", [("content-type", "text/html")])
REFUSED: Final = Reply(401, b'{"error": "signature does not match"}', JSON)
ANSWERS: Final = {
    WORKING: GOOD,
    BROKEN: GOOD,
    REFUSING: GOOD,
    GONE: Reply(410, b""),
}
OWN_TYPES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "invoice.paid": ("An invoice was paid", {"invoice": "in_4821", "amount": "89.00", "currency": "EUR"}),
    "order.canceled": ("An order was canceled", {"order": "or_1204", "reason": "out of stock"}),
    "order.placed": ("An order was placed", {"order": "or_1207", "total": "129.90", "items": 3}),
    "order.shipped": ("An order left the house", {"order": "or_1198", "carrier": "DHL", "parcels": 1}),
}


@dataclass(frozen=True)
class History:
    """What there is to see, by the ids of the native API."""

    site: Served
    endpoints: Mapping[str, str]
    event_type: str
    messages: tuple[str, ...]  # oldest first
    inbox: str
    task: str

    @property
    def names(self) -> dict[str, str]:
        """What a path may name."""
        return {
            "application": self.site.app_id,
            "working": self.endpoints[WORKING],
            "failing": self.endpoints[REFUSING],
            "disabled": self.endpoints[GONE],
            "event_type": self.event_type,
            "message": self.messages[-1],
            "inbox": self.inbox,
            "task": self.task,
        }


@asynccontextmanager
async def history(database_url: str, product: str, messages: int) -> AsyncIterator[History]:
    """That day, with so many messages, until about now; then time stands still."""
    clock = ManualClock(time.time() - SPAN)
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(served(database_url, product, clock))
        receivers = {
            name: await stack.enter_async_context(Receiver(default=answer, path=f"/{name}"))
            for name, answer in ANSWERS.items()
        }
        yield await _lived(site, clock, receivers, messages)


async def _lived(
    site: Served, clock: ManualClock, receivers: Mapping[str, Receiver], messages: int
) -> History:
    stand = site.stand
    examples = await _catalogue(stand)
    play = stand.services.play
    inbox = await play.create(await stand.services.application.find(ORG, stand.app_id))
    urls = {name: receiver.url for name, receiver in receivers.items()} | {PLAY: play.url_of(inbox.id)}
    endpoints = {
        name: await stand.endpoint(url, description=f"Our {name.replace('-', ' ')}")
        for name, url in urls.items()
    }
    limits = {"messagesSoft": messages // 2, "messagesHard": messages * 2, "endpointsHard": 10}
    await stand.native("PATCH", "/quota", limits)
    begun, sent = clock.now(), []
    for number in range(messages):
        receivers[BROKEN].default = BAD if messages * 0.4 <= number < messages * 0.55 else GOOD
        receivers[REFUSING].default = REFUSED if number >= messages * 0.85 else GOOD
        event_type, example = examples[number % len(examples)]
        sent.append(str((await stand.send(event_type, example))["id"]))
        await _rested(stand)
        # the inbox judges the age of a signature, also of a request that its sender has given up
        await until(partial(_received, stand, min(number + 1, KEPT_REQUESTS)), "the inbox has the message")
        await clock.advance_to(clock.now() + SPAN / messages)
        await _rested(stand)
    since = datetime_at(begun).isoformat()
    # some products disabled it
    await stand.native("PATCH", f"/endpoint/{endpoints[BROKEN]}", {"disabled": False})
    task = await stand.native("POST", f"/endpoint/{endpoints[BROKEN]}/recover", {"since": since})
    await stand.run_tasks()
    await _rested(stand)
    return History(site, endpoints, examples[0][0], tuple(sent), text(INBOX, inbox.id), task["id"])


async def _catalogue(stand: Stand) -> list[tuple[str, Mapping[str, Any]]]:
    """The product's event types with examples; the standard product is given some."""
    events = stand.product.profile.events
    if events:
        return [(event.name, event.example or {}) for event in events]
    for name, (description, example) in OWN_TYPES.items():
        fields = {
            key: {"type": "integer" if isinstance(one, int) else "string"} for key, one in example.items()
        }
        schema = {"type": "object", "properties": fields, "required": list(example), "examples": [example]}
        body = {"name": name, "description": description, "schemas": {"1": schema}}
        await stand.native("POST", "//event-type", body)
    return [(name, example) for name, (_, example) in OWN_TYPES.items()]


async def _rested(stand: Stand) -> None:
    """Until nothing is due at this time any more. A lane that may start no more this second continues
    later."""
    deadline = time.monotonic() + PATIENCE
    before, since = -1, 0.0
    while due := await _due(stand):
        now = time.monotonic()
        assert now < deadline, "deliveries are due, and not made"
        if due != before:
            before, since = due, now
        elif now > since + IDLE:
            await stand.clock.advance_to(stand.clock.now() + 1.0)
            since = now
        await asyncio.sleep(0.01)


async def _received(stand: Stand, count: int) -> bool:
    """Whether the inbox has at least so many requests."""
    (row,) = await stand.world.fetch("select count(*) from play_request")
    return int(row[0]) >= count


async def _due(stand: Stand) -> int:
    (row,) = await stand.world.fetch(
        "select count(*) from delivery where due_at <= to_timestamp($1)", stand.clock.now()
    )
    return int(row[0])
