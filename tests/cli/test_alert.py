"""`angarium alert test` and the mails of `angarium dev`: processes, a real mail server and a receiver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from tests.kit import mail as kit
from tests.kit.patience import until
from tests.kit.receiver import Receiver, Reply
from tests.kit.server import angarium, announced, end

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
        process = await angarium("alert", "test", "--json", "--to", "you@example.com", **variables)
        out, _ = await process.communicate()
        assert process.returncode == 1
        assert json.loads(out) == {"channel": "mail", "sent": False, "said": "550 No such user"}
        assert len(receiver.requests) == 1


async def test_alert_test_without_channels_says_what_to_set() -> None:
    process = await angarium("alert", "test")
    _, error = await process.communicate()
    assert process.returncode == 1
    assert b"ANGARIUM_SMTP_URL" in error


async def test_dev_writes_the_mail_to_its_log(directory: Path) -> None:
    log = directory / "log"
    with log.open("wb") as file:
        process = await angarium(
            "dev", "--json", "--port", "0", "--profile", "standard", "--data", str(directory / "data"),
            stderr=file.fileno(), ANGARIUM_LOG_LEVEL="info", ANGARIUM_LOG_FORMAT="json",
        )  # fmt: skip
        try:
            line = await announced(process)
            await _add_contact(line)
            await until(lambda: "mail.printed" in log.read_text())
        finally:
            await end(process)
    (found,) = [one for one in map(json.loads, _json_lines(log)) if one["event"] == "mail.printed"]
    assert found["to"] == "dev@example.com"
    assert f"{line['url']}/alerts/confirm/" in found["text"]


def _json_lines(log: Path) -> list[str]:
    return [one for one in log.read_text().splitlines() if one.startswith("{")]


async def _add_contact(line: dict[str, str]) -> None:
    headers = {"authorization": f"Bearer {line['token']}"}
    async with httpx.AsyncClient(base_url=f"{line['url']}/api/v1", headers=headers, timeout=60) as client:
        app_id = (await client.post("/app", json={"name": "Acme"})).json()["id"]
        body = {"contacts": [{"email": "dev@example.com"}]}
        assert (await client.put(f"/app/{app_id}/contact", json=body)).status_code == 200
