"""`angarium alert test` with real receivers. test_profile.py has the mails of `angarium dev`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.kit import mail as kit
from tests.kit.command import run
from tests.kit.receiver import Receiver, Reply
from tests.kit.server import angarium

SENDER = {"ANGARIUM_MAIL_FROM": "Acme <alerts@acme.example>"}


async def test_alert_test_sends_to_every_channel_and_says_what_the_servers_said() -> None:
    async with kit.MailServer() as server, Receiver() as receiver:
        variables: Any = {
            "ANGARIUM_SMTP_URL": f"smtp://127.0.0.1:{server.port}",
            "ANGARIUM_ALERT_MAIL_TO": "ops@acme.example,boss@acme.example",
            "ANGARIUM_ALERT_WEBHOOK_URL": receiver.url,
            **SENDER,
        }
        process = await angarium("alert", "test", **variables)
        out, error = await process.communicate()
        assert (process.returncode, error) == (0, b"")
        assert out.decode().splitlines() == ["mail: sent, accepted", "webhook: sent, 200 (json form)"]
        assert server.recipients == [["ops@acme.example", "boss@acme.example"]]
        assert server.mails[0]["Subject"] == "Test of alerts"
        (request,) = receiver.requests
        assert json.loads(request.body)["type"] == "alert.test"
        receiver.default = Reply(404)
        server.answers["you@example.com"] = "550 No such user"
        again = ("alert", "test", "--json", "--to", "you@example.com")
        done = await asyncio.to_thread(run, *again, **variables)
        assert done.returncode == 1
        assert json.loads(done.stdout) == {"channel": "mail", "sent": False, "said": "550 No such user"}
        assert len(receiver.requests) == 1


def test_alert_test_without_channels_says_what_to_set() -> None:
    done = run("alert", "test")
    assert done.returncode == 1
    assert "ANGARIUM_SMTP_URL" in done.stderr
