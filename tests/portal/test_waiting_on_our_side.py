"""What a fault on our side holds is said to wait on our side: over the API, on pages, and to operators."""

from __future__ import annotations

import errno
import os
import socket
from datetime import datetime
from typing import Any

import aiohappyeyeballs
import pytest

from tests.kit.patience import until
from tests.kit.receiver import Receiver
from tests.kit.stand import Stand
from tests.portal.visitor import Visitor

COUNT = 3
TITLE = "Network is down on our side"


async def unreachable(*arguments: Any, **named: Any) -> socket.socket:
    raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))


async def log(stand: Stand) -> list[dict[str, Any]]:
    return list((await stand.native("GET", "/log"))["data"])


async def sending(stand: Stand) -> dict[str, Any]:
    answer = await stand.client.get("/api/v1/health")
    assert answer.status_code == 200, "messages are accepted all the same"
    told: dict[str, Any] = answer.json()["sending"]
    return told


async def test_a_delivery_that_waits_on_our_side_says_so_until_it_is_sent(
    stand: Stand, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Receiver() as receiver:
        endpoint = await stand.endpoint(receiver.url)
        assert await sending(stand) == {"status": "ok"}
        with monkeypatch.context() as patch:
            patch.setattr(aiohappyeyeballs, "start_connection", unreachable)
            messages = [str((await stand.send("order.filled"))["id"]) for _ in range(COUNT)]

            async def held() -> bool:
                return all(line["ourFault"] is not None for line in await log(stand))

            await until(held, "the fault is told")
            for line in await log(stand):
                fault = line["ourFault"]
                assert (fault["code"], fault["title"]) == ("network_down", TITLE)
                assert datetime.fromisoformat(fault["since"]).timestamp() == stand.clock.now()
                assert (line["nextAttempt"], line["attempts"]) == (None, 0)
            owed = (await stand.native("GET", f"/endpoint/{endpoint}/msg"))["data"]
            (destination,) = (await stand.native("GET", f"/msg/{messages[0]}/endpoint"))["data"]
            for one in (*owed, destination):
                assert one["ourFault"]["code"] == "network_down"
            assert (await stand.native("GET", f"/msg/{messages[0]}/attempt"))["data"] == []

            assert (await visitor.get("/messages")).count("Waiting on our side") == COUNT
            page = await visitor.get(f"/messages/{messages[0]}")
            assert f"Waiting on our side: {TITLE}" in page
            assert "No attempts yet." in page, "no attempt is invented"
            assert f"Waiting on our side: {TITLE}" in await visitor.get(f"/endpoints/{endpoint}")

            told = await sending(stand)
            (fault,) = told["faults"]
            assert (told["status"], fault["reason"], fault["endpoints"]) == ("error", "network_down", 1)
            assert fault["since"]
            assert fault["process"].startswith(f"{os.getpid()}-")

        async def sent() -> bool:
            await stand.clock.advance_to(stand.clock.now() + 1)
            return all(line["status"] == "delivered" for line in await log(stand))

        await until(sent, "the fault is over")
        assert all(line["attempts"] == 1 for line in await log(stand))
        assert all(line["ourFault"] is None for line in await log(stand))
        assert "Waiting on our side" not in await visitor.get("/messages")

        async def over() -> bool:
            await stand.clock.advance_to(stand.clock.now() + 1)
            return await sending(stand) == {"status": "ok"}

        await until(over)
