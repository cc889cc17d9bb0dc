"""A command that acts on many counts, asks, and does nothing without an answer."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import sys
from pathlib import Path

import pytest

from tests.api.conftest import api, backend, client, new_organization
from tests.cli.test_remote import Caller, caller
from tests.kit.patience import PATIENCE

__all__ = ["api", "backend", "caller", "client", "new_organization"]

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
async def lost(caller: Caller) -> Caller:
    """Three messages that two endpoints never got."""
    endpoints = [await caller.api.endpoint(caller.app) for _ in range(2)]
    for number in range(3):
        await caller.run("message", "send", "--type", "order.filled", "--data", f'{{"n":{number}}}')
    for disabled in (True, False):
        for endpoint in endpoints:
            await caller.api.patch(f"/app/{caller.app}/endpoint/{endpoint}", {"disabled": disabled})
    return caller


async def canceled(caller: Caller) -> int:
    listed = await caller.api.get(f"/app/{caller.app}/log?status=canceled")
    return len(listed["data"])


async def commands(caller: Caller) -> dict[str, tuple[tuple[str, ...], str]]:
    """Each command that acts on many, and the count that it says."""
    endpoints = (await caller.api.get(f"/app/{caller.app}/endpoint"))["data"]
    messages = (await caller.api.get(f"/app/{caller.app}/msg"))["data"]
    one = endpoints[0]["id"]
    return {
        "delivery resend --all": (("delivery", "resend", "--all", "--no-wait"), "6 deliveries"),
        "delivery resend": (("delivery", "resend", "--status", "canceled", "--no-wait"), "6 deliveries"),
        "dead-letter resend --all": (("dead-letter", "resend", "--all", "--no-wait"), "6 deliveries"),
        "dead-letter resend": (("dead-letter", "resend", "--endpoint", one, "--no-wait"), "3 deliveries"),
        "endpoint recover": (("endpoint", "recover", one, "--since", "1h", "--no-wait"), "3 messages"),
        "message resend": (("message", "resend", messages[0]["id"]), "2 endpoints"),
        "message expunge": (("message", "expunge", messages[0]["id"]), "payload of"),
        "attempt expunge": (
            ("attempt", "expunge", "atmpt_0ujsswThIGTUYm2K8FjOOfXtY1K", "--message", messages[0]["id"]),
            "response of",
        ),
        "application expire-tokens": (("application", "expire-tokens", caller.app), "sessions"),
        "endpoint delete": (("endpoint", "delete", one), "will be deleted"),
        "application delete": (("application", "delete", caller.app), "will be deleted"),
        "message erase": (("message", "erase", messages[0]["id"], "--no-wait"), "cannot be undone"),
        "application erase": (("app", "erase", caller.app, "--no-wait"), "cannot be undone"),
    }


async def test_without_a_terminal_nothing_is_done_unless_yes_is_given(lost: Caller) -> None:
    for command, count in (await commands(lost)).values():
        for arguments in (command, (*command, "--json")):
            out = await lost.run(*arguments)
            assert (lost.code, out) == (2, ""), arguments
            words = re.sub(r"[\s│]+", " ", lost.said)
            assert count in words, words
            assert "confirm with --yes" in words
    assert await canceled(lost) == 6
    assert (await lost.api.get(f"/app/{lost.app}/endpoint"))["data"]


@pytest.mark.parametrize(
    "which",
    [
        "delivery resend --all",
        "delivery resend",
        "dead-letter resend --all",
        "dead-letter resend",
        "endpoint recover",
        "message resend",
        "message expunge",
        "application expire-tokens",
        "endpoint delete",
        "application delete",
        "message erase",
        "application erase",
    ],
)
async def test_yes_answers_for_scripts(lost: Caller, which: str) -> None:
    command, _ = (await commands(lost))[which]
    await lost.run(*command, "--yes")
    assert lost.code == 0, lost.said


@pytest.mark.parametrize("command", [("delivery", "resend"), ("dead-letter", "resend")])
async def test_everything_takes_all(lost: Caller, command: tuple[str, ...]) -> None:
    for more in ((), ("--yes",), ("--dry-run",)):
        await lost.run(*command, *more)
        assert lost.code == 2
        assert "--all" in lost.said
    await lost.run(*command, "--all", "--since", "1h", "--yes")
    assert lost.code == 2, "either a filter or everything"
    assert await canceled(lost) == 6


async def test_nothing_to_do_is_not_asked_about(caller: Caller) -> None:
    endpoint = await caller.api.endpoint(caller.app)
    for command in (
        ("delivery", "resend", "--all"),
        ("dead-letter", "resend", "--all"),
        ("endpoint", "recover", endpoint, "--since", "1h"),
    ):
        out = await caller.run(*command)
        assert caller.code == 0
        assert (
            "No undelivered messages since then" if "recover" in command else "No deliveries match"
        ) in out


async def answered(caller: Caller, answer: bytes, *arguments: str) -> tuple[int | None, str]:
    """The command with a terminal as its standard input, at which a person answers."""
    controller, terminal = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "angarium", *arguments,
            cwd=REPOSITORY, stdin=terminal, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"ANGARIUM_URL": caller.url, "ANGARIUM_TOKEN": caller.api.token},
        )  # fmt: skip
        os.write(controller, answer)
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        os.close(controller)
        os.close(terminal)
    return process.returncode, out.decode()


async def test_at_a_terminal_it_asks_and_does_what_is_answered(lost: Caller) -> None:
    for answer in (b"n\n", b"\n"):
        code, out = await answered(lost, answer, "delivery", "resend", "--all", "--no-wait")
        assert "6 deliveries will be sent again. Continue? [y/N]" in out
        assert "nothing was done" in out
        assert code == 1
        assert await canceled(lost) == 6
    code, out = await answered(lost, b"y\n", "delivery", "resend", "--all", "--no-wait")
    assert code == 0, out
    assert "qtask_" in out
