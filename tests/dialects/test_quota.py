"""What a sender gets at the hard limit of messages, in the form of each API."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import msgspec
import pytest

from angarium import profiles
from angarium.core.profile_scenario import Scenario, ScenarioStep
from angarium.core.quota import QuotaLimits
from angarium.store.database import Database
from tests.kit.clock import ManualClock
from tests.kit.stand import ORG, Stand, product, standing

LATE: Final = 1_796_083_200.0 - 3600.0  # an hour before December 2026
LIMIT: Final = 2
END: Final = "2026-12-01T00:00:00Z"
FACTS: Final = {"limit": LIMIT, "used": LIMIT, "endsAt": END}
WORDS: Final = f"Message limit of the month reached: 2 of 2 used. The next month begins at {END}."
NATIVE: Final = {"code": "message_limit_reached", "detail": WORDS, **FACTS}
FORMS: Final[dict[str, dict[str, Any]]] = {
    "bluum": {"error": {"type": "rate_limit_error", "code": "BLUM-429-001", "message": WORDS, **FACTS}},
    "bloom": {"errors": [{"message": WORDS, "extensions": {"code": "RATE_LIMITED", **FACTS}}]},
    "bluma": {
        "error": {
            "type": "rate_limit_exceeded",
            "title": "Rate Limit Exceeded",
            "status": 429,
            "detail": WORDS,
            **FACTS,
        }
    },
}


@asynccontextmanager
async def at_the_limit(database: Database, name: str) -> AsyncIterator[Stand]:
    """A product, and a call of its own API that sends a message. The limit of messages is reached."""
    profile = profiles.load(name)
    first = profile.events[0].name if profile.events else "order.filled"
    send = Scenario(name="send", path="/things", steps=(ScenarioStep(first, data={"n": "1"}),))
    made = product(msgspec.structs.replace(profile, scenarios=(send,)))
    quota = QuotaLimits(messages_hard=LIMIT)
    clock = ManualClock(LATE)
    async with standing(database, made, clock=clock, quota=quota, sandbox=True) as stand:
        for _ in range(LIMIT):
            await stand.send(first)
        await stand.native("GET", "//usage")  # adds up what was sent
        yield stand


async def native(stand: Stand, path: str, body: Any) -> httpx.Response:
    """A call of the operator."""
    token = stand.services.token.for_organization(ORG)
    headers = {"authorization": f"Bearer {token}"}
    return await stand.client.post(f"/api/v1/app/{stand.app_id}{path}", json=body, headers=headers)


@pytest.mark.parametrize("name", ["standard", "bluum", "bluma", "bloom"])
async def test_an_operator_gets_the_native_form_for_every_product(database: Database, name: str) -> None:
    async with at_the_limit(database, name) as stand:
        events = stand.product.profile.events
        body = {"eventType": events[0].name if events else "order.filled", "payload": {}}
        answer = await native(stand, "/msg", body)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3600")
        assert answer.json() == NATIVE
        batch = await native(stand, "/msg/batch", {"messages": [body, body]})
        assert batch.json()["results"] == [{"status": 429, **NATIVE}] * 2
        (row,) = await stand.world.fetch("select count(*) from message")
        assert row[0] == LIMIT


@pytest.mark.parametrize("name", sorted(FORMS))
async def test_a_call_of_a_products_own_api_gets_its_form_with_the_facts(
    database: Database, name: str
) -> None:
    async with at_the_limit(database, name) as stand:
        base = stand.product.profile.management.base_paths[0]
        answer = await stand.client.post(f"{base}/things", json={}, headers=_key(stand))
        assert answer.status_code == 429, answer.text
        assert answer.headers["retry-after"] == "3600"
        assert answer.json() == FORMS[name]


def _key(stand: Stand) -> dict[str, str]:
    key = next(iter(stand.keys.values()))
    if stand.product.profile.management.scheme == "basic":
        return {"authorization": f"Basic {base64.b64encode(key.encode()).decode()}"}
    return {"authorization": f"Bearer {key}"}
