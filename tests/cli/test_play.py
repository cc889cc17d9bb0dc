"""`angarium play` against a real server."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx

from angarium.core import ids
from tests.api.conftest import api, backend, client, new_organization
from tests.api.test_play import signed
from tests.cli.test_remote import Caller, caller
from tests.kit.patience import PATIENCE, until

__all__ = ["api", "backend", "caller", "client", "new_organization"]

BODY = '{"type": "order.filled", "data": {"city": "Zürich"}}'.encode()


async def opened(caller: Caller) -> tuple[dict[str, Any], str]:
    """An inbox and the secret of an endpoint that delivers to it."""
    inbox: dict[str, Any] = await caller.api.post(f"/app/{caller.app}/inbox")
    endpoint = await caller.api.endpoint(caller.app, inbox["url"])
    return inbox, (await caller.api.get(f"/app/{caller.app}/endpoint/{endpoint}/secret"))["key"]


async def arrive(caller: Caller, inbox: dict[str, Any], headers: dict[str, str]) -> int:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        url = caller.url + urlsplit(inbox["url"]).path
        return (await client.post(url, content=BODY, headers=headers)).status_code


async def test_what_comes_in_is_shown_with_a_tick_and_forgeries_with_a_code(caller: Caller) -> None:
    inbox, secret = await opened(caller)
    told = ("play", "--inbox", inbox["id"], "--within", "60")
    await arrive(caller, inbox, signed(BODY, secret))
    text = await caller.run(*told, "--count", "1")
    assert caller.code == 0, caller.said
    assert inbox["url"] in text
    assert "✓ verified" in text
    assert "Zürich" in text
    await arrive(caller, inbox, {})
    first, good, bad = await caller.lines(*told, "--count", "2")
    assert (first["id"], good["verified"], bad["verified"], caller.code) == (inbox["id"], True, False, 1)


async def test_it_follows_what_comes_while_it_answers_as_told(caller: Caller) -> None:
    inbox, secret = await opened(caller)
    told = ("play", "--inbox", inbox["id"], "--status", "503", "--count", "3", "--within", "60")
    statuses: set[int] = set()

    app_id, inbox_id = ids.parse(ids.APPLICATION, caller.app), ids.parse(ids.INBOX, inbox["id"])
    assert app_id is not None
    assert inbox_id is not None

    async def told_so() -> bool:
        return (await caller.api.services.play.find(app_id, inbox_id)).answer.status_code == 503

    async with asyncio.TaskGroup() as group:
        playing = group.create_task(caller.lines(*told))
        await until(told_so)  # what came before would be shown and counted too
        while not playing.done():
            statuses.add(await arrive(caller, inbox, signed(BODY, secret)))
            await asyncio.wait([playing], timeout=0.2)
    first, *requests = playing.result()
    assert first["status"] == 503
    assert statuses == {503}
    assert len({one["id"] for one in requests}) == 3
    assert caller.code == 0


async def test_what_it_made_is_taken_away_again_unless_it_is_to_be_kept(caller: Caller) -> None:
    told = ("play", "--within", "0.2", "--subscribe", "--events", "order.*", "--failure-rate", "20")
    (first,) = await caller.lines(*told)
    assert (caller.code, first["failures"]) == (0, 20)
    assert (await caller.api.get(f"/app/{caller.app}/endpoint"))["data"] == []
    await caller.api.get(f"/app/{caller.app}/inbox/{first['id']}/request", status=404)
    (kept,) = await caller.lines("play", "--within", "0.2", "--keep", "--delay", "1")
    await caller.api.get(f"/app/{caller.app}/inbox/{kept['id']}/request")
    await caller.lines("play", "--status", "299")
    assert caller.code == 1
    assert "status" in caller.said
    await caller.run("play", "--inbox", kept["id"], "--count", "1", "--within", "0.2")
    assert caller.code == 1
