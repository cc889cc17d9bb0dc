"""Limits and use of applications on the command line."""

from __future__ import annotations

import csv
import io

from tests.api.conftest import api, backend, client, new_organization
from tests.cli.test_remote import Caller, caller

__all__ = ["api", "backend", "caller", "client", "new_organization"]


async def test_limits_are_set_shown_and_cleared(caller: Caller) -> None:
    printed = await caller.run(
        "quota",
        "set",
        caller.app,
        "--messages-soft",
        "80",
        "--messages-hard",
        "100",
        "--endpoints-hard",
        "unlimited",
    )
    assert caller.code == 0, caller.said
    assert "messages  0 used, soft limit 80, hard limit 100\n" in printed
    assert "endpoints 0 used, soft limit none (default), hard limit none" in printed
    own = (await caller.api.get(f"/app/{caller.app}/quota"))["own"]
    assert own == {"messagesSoft": 80, "messagesHard": 100, "endpointsHard": "unlimited"}
    printed = await caller.run("quota", "set", caller.app, "--clear", "messages-soft")
    assert "soft limit none (default), hard limit 100" in printed
    assert await caller.run("quota", "show", caller.app) == printed


async def test_what_is_no_limit_is_refused_before_any_call(caller: Caller) -> None:
    for arguments, words in (
        (["--messages-hard", "many"], "many is not a limit; it must be a number or unlimited"),
        (["--clear", "messages"], "--clear messages: choose from messages-soft"),
        ([], "nothing to change"),
    ):
        await caller.run("quota", "set", caller.app, *arguments)
        assert caller.code == 2
        assert words in " ".join(caller.said.replace("│", " ").split())


async def test_usage_is_printed_as_csv_without_formulas(caller: Caller) -> None:
    await caller.api.patch(f"/app/{caller.app}", {"name": '=1+1,"x"'})
    await caller.api.post(f"/app/{caller.app}/msg", {"eventType": "order.filled", "payload": {}}, status=202)
    (row,) = csv.DictReader(io.StringIO(await caller.run("usage", "--csv")))
    assert caller.code == 0, caller.said
    (one,) = (await caller.api.get("/usage"))["data"]
    assert row["applicationName"] == "'" + one["applicationName"]
    assert (row["month"], row["applicationId"], row["messages"]) == (one["month"], caller.app, "1")
    await caller.run("usage", "--csv", "--json")
    assert caller.code == 2
