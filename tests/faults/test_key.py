"""Both kinds of keys are replaced under load, in files, without a restart: no token is refused in between."""

from __future__ import annotations

import asyncio
import base64
import signal
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from angarium.cli.credential import make_token
from angarium.settings import Settings
from tests.faults.account import account, report
from tests.faults.harness import (
    CYCLES,
    KEY,
    LONG,
    ORG,
    SECRET,
    Server,
    client,
    servers,
    shared_by,
    until_delivered,
)
from tests.kit.patience import PATIENCE, until
from tests.kit.receiver import Receiver, Reply
from tests.kit.server import angarium

NEW_SECRET = "n" * 48
NEW_KEY = base64.b64encode(b"n" * 32).decode()
CHILDREN = 2
PACE = 0.05 if LONG else 0.2  # seconds between the requests of one client
SOME = 50 if LONG else 20  # messages


class Files:
    """The two files, and a server that is notified when they change."""

    def __init__(self, directory: Path) -> None:
        self.secret, self.key = directory / "jwt-secret", directory / "secret-key"
        self.secret.write_text(SECRET)
        self.key.write_text(KEY)
        self.changes = 0

    @property
    def variables(self) -> dict[str, str]:
        return {
            "ANGARIUM_JWT_SECRET": "",
            "ANGARIUM_SECRET_KEY": "",
            "ANGARIUM_JWT_SECRET_FILE": str(self.secret),
            "ANGARIUM_SECRET_KEY_FILE": str(self.key),
        }

    async def write(self, server: Server, file: Path, *keys: str) -> None:
        """New content, which every child reads."""
        _write(file, ",".join(keys))
        self.changes += 1
        server.process.send_signal(signal.SIGHUP)
        await until(
            lambda: server.log.read_text().count('"keys.read"') == CHILDREN * self.changes,
            "every child has read the keys",
        )


async def test_keys_are_replaced_under_load_and_no_token_is_refused_in_between(
    directory: Path, database_url: str
) -> None:
    files = Files(directory)
    async with Receiver(Reply()) as receiver, servers(directory) as started:
        server = await started.serve(
            database_url, "--processes", str(CHILDREN), ANGARIUM_LOG_LEVEL="info", **files.variables
        )
        old, new = server.token, make_token(Settings.model_validate({"jwt_secret": NEW_SECRET}), ORG)
        async with client(server) as api:
            (endpoint,) = await api.app("one", receiver.url)
            await shared_by(database_url, CHILDREN)
            secret = (await api.call("GET", f"/app/one/endpoint/{endpoint}/secret"))[1]["key"]
            _, link = await api.call("POST", "/auth/app-portal-access/one", {})
            assert link["token"]
            _, gone = await api.call("POST", "/auth/app-portal-access/one", {})
            async with api.session.post(
                f"{server.url}/api/v1/auth/credential/revoke",
                json={"token": gone["token"]},
                headers={"authorization": f"Bearer {old}"},
            ) as answer:
                assert answer.status == 204

            async def rotate() -> None:
                await files.write(server, files.secret, SECRET, NEW_SECRET)
                await files.write(server, files.secret, NEW_SECRET, SECRET)
                for token in (old, new, link["token"]):
                    assert await _status(api, token) == 200
                assert await _status(api, gone["token"]) == 401  # revoked by the hash of its text
                server.token = new
                await until(lambda: not api.under_way[old], "no request with the old token is under way")
                await files.write(server, files.secret, NEW_SECRET)
                assert await _status(api, old) == await _status(api, link["token"]) == 401

                await files.write(server, files.key, KEY, NEW_KEY)
                await files.write(server, files.key, NEW_KEY, KEY)
                variables = files.variables | {"ANGARIUM_DATABASE_URL": database_url}
                done = await angarium("key", "rewrap", "--yes", stderr=PIPE, **variables)
                said, errors = await asyncio.wait_for(done.communicate(), PATIENCE)
                assert done.returncode == 0, errors
                assert b"under an older key:  0" in said
                await files.write(server, files.key, NEW_KEY)

            rotating = asyncio.create_task(rotate())
            while not rotating.done():
                await api.load("one", SOME * CYCLES, clients=4, pace=PACE)
            await rotating
            await api.load("one", SOME, clients=4)
            shown = (await api.call("GET", f"/app/one/endpoint/{endpoint}/secret"))[1]["key"]
            assert shown == secret

            # what is not valid changes nothing
            _write(files.secret, "too short")
            server.process.send_signal(signal.SIGHUP)
            await until(
                lambda: server.log.read_text().count('"keys.refused"') == CHILDREN, "the keys are refused"
            )
            assert await _status(api, new) == 200
            seconds = await until_delivered(api.accepted, receiver)
            result = account(api.accepted, receiver)
        assert not api.refused, api.refused
        assert "too short" not in server.log.read_text()
        for request in receiver.requests:
            Webhook(secret).verify(request.body, {name.lower(): value for name, value in request.headers})
    report("both keys replaced under load", CYCLES, result, seconds_after_the_load=f"{seconds:.1f}")
    assert result.lost == 0
    assert result.duplicates == 0


# a parent passes the signal on wherever the keys are: short, the test above has that
@pytest.mark.parametrize("processes", [1, CHILDREN] if LONG else [1])
async def test_a_server_whose_keys_are_variables_outlives_sighup(
    directory: Path, database_url: str, processes: int
) -> None:
    async with servers(directory) as started:
        server = await started.serve(database_url, "--processes", str(processes), ANGARIUM_LOG_LEVEL="info")
        async with client(server) as api:
            await api.app("one", "http://127.0.0.1:9/")
            for number in (1, 2):
                server.process.send_signal(signal.SIGHUP)
                await until(
                    lambda number=number: (  # type: ignore[misc]
                        server.log.read_text().count('"keys.not_in_files"') >= number
                    ),
                    "the log says that no key can be read again",
                )
            assert await _status(api, server.token) == 200
        assert server.process.returncode is None


def _write(file: Path, text: str) -> None:
    file.write_text(text)


async def _status(api: Any, token: str) -> int:
    """What the API answers to a token."""
    path = "/api/v1/app/one/endpoint"
    headers = {"authorization": f"Bearer {token}"}
    async with api.session.get(f"{api.server.url}{path}", headers=headers) as answer:
        return int(answer.status)
