"""The commands of Bluma's document, as printed, against `angarium dev` and real receivers.

Only the server's address, the key, the webhook's address and its id are filled in.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from angarium import profiles
from tests.documents.sample import running, sample
from tests.documents.test_bluma_samples import PATH, RECEIVERS
from tests.kit.patience import PATIENCE
from tests.kit.receiver import Receiver, Reply
from tests.kit.server import dev

SEVEN = ["id", "url", "events", "secret", "is_active", "created_at", "warning"]
HOST = "https://api.getbluma.com"


PROFILE = (Path(profiles.__file__).parent / "bluma.toml").read_text("utf-8")
RETRIES, TIMEOUT = 'retries = "3s,5m,30m,1h"', 'timeout = "5s"'


@pytest.fixture
def quick(tmp_path: Path) -> str:
    """The profile with the ladder in a second, so that ten failures need not an hour; and with time for a
    receiver that has only just started."""
    assert RETRIES in PROFILE
    assert TIMEOUT in PROFILE
    changed = PROFILE.replace(RETRIES, 'retries = "100ms,100ms,100ms,100ms"')
    path = tmp_path / "bluma.toml"
    path.write_text(changed.replace(TIMEOUT, 'timeout = "60s"'), "utf-8")
    return str(path)


class Shell:
    """Runs commands of the document."""

    def __init__(self, server: str, key: str) -> None:
        self._filled = {HOST: server, "YOUR_API_KEY": key}

    async def run(self, command: str, **fill: str) -> list[Any]:
        """Every `curl` of the printed text; gives the JSON answers (None for an empty one)."""
        for printed, meant in {**self._filled, **fill}.items():
            command = command.replace(printed, meant)
        command = command.replace("curl ", "echo; curl -sS --max-time 20 ")
        process = await asyncio.create_subprocess_exec(
            "bash", "-ec", command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, err.decode()
        return [json.loads(line) if line else None for line in out.decode().split("\n")[1:]]


async def deliveries(shell: Shell, webhook_id: str, count: int) -> list[dict[str, Any]]:
    """The log, by the printed command, once it has so many lines."""
    async with asyncio.timeout(PATIENCE):
        while True:
            (log,) = await shell.run(sample("bluma/deliveries.sh"), webhook_abc123xyz=webhook_id)
            if len(log["deliveries"]) >= count:
                rows: list[dict[str, Any]] = log["deliveries"]
                return rows


async def test_the_commands_of_the_document_work_as_printed(directory: Path, quick: str) -> None:
    async with (
        dev(directory, ANGARIUM_PROFILES=quick) as server,
        Receiver() as receiver,
        httpx.AsyncClient(timeout=PATIENCE, base_url=server.url) as client,
    ):
        line = server.line["profiles"]["bluma"]
        assert line["base_url"].startswith(server.url)
        client.headers["authorization"] = f"Bearer {line['api_key']}"
        shell = Shell(server.url, line["api_key"])

        # step 2, with Content-Type; step 6, without
        (first,) = await shell.run(
            sample("bluma/register.sh"), **{"https://yourapp.com/webhooks/bluma": receiver.url}
        )
        assert list(first) == SEVEN
        assert first["events"] == ["video.completed", "video.failed", "credits.low"]
        third = await shell.run(
            sample("bluma/register-site.sh"), **{"https://webhook.site/your-unique-id": receiver.url}
        )
        assert list(third[0]) == SEVEN
        for webhook_id in (first["id"], third[0]["id"]):
            assert await shell.run(sample("bluma/delete.sh"), webhook_abc123=webhook_id) == [None]

        # the sample of step 1 with the secret of step 2; then the video of step 6
        answer = await client.post(
            "/api/v1/webhooks", json={"url": "http://127.0.0.1:9/", "events": ["video.completed"]}
        )
        made = answer.json()
        language, source = RECEIVERS["endpoint.py"]
        async with running(source, language, BLUMA_WEBHOOK_SECRET=made["secret"]) as sampled:
            url = {"url": sampled.origin + PATH}
            (await client.patch(f"/api/v1/webhooks/{made['id']}", json=url)).raise_for_status()
            registered, video = await shell.run(
                sample("bluma/register-ngrok.sh"), **{"https://abc123.ngrok.io": sampled.origin}
            )
            assert (list(registered), registered["events"]) == (SEVEN, ["video.completed"])
            assert video["template_id"] == "meme-dialogue"
            (row,) = await deliveries(shell, made["id"], 1)
            assert (row["event_type"], row["status_code"], row["error_message"]) == (
                "video.completed",
                200,
                None,
            )
            # the second one has another secret than the sample was given
            (refused, *_) = await deliveries(shell, registered["id"], 1)
            assert refused["status_code"] == 401, refused
            assert refused["event_id"] == row["event_id"]
            await sampled.says(f"handled {row['event_id']}")

        # ten failures in a row, then the document's cure
        receiver.default = Reply(500)
        (failing,) = await shell.run(
            sample("bluma/register.sh"), **{"https://yourapp.com/webhooks/bluma": receiver.url}
        )
        for _ in range(2):
            await shell.run(sample("bluma/register-ngrok.sh").partition("# Trigger a test video\n")[2])
        rows = await deliveries(shell, failing["id"], 10)
        assert {row["status_code"] for row in rows} == {500}
        shown = await client.get(f"/api/v1/webhooks/{failing['id']}")
        assert shown.json()["is_active"] is False
        recreate = sample("bluma/recreate.sh")
        assert ", ...}" in recreate, "the document leaves the rest to the reader"
        await shell.run(sample("bluma/delete.sh"), webhook_abc123=failing["id"])
        (anew,) = await shell.run(
            recreate,
            **{
                ", ...}": ', "events": ["video.completed"]}',
                "https://yourapp.com/webhooks/bluma": receiver.url,
            },
        )
        assert list(anew) == SEVEN
        assert anew["id"] != failing["id"]
