"""Every command that changes something by itself, without a server's API, says so in the audit log.

The commands are taken from the command line itself. One that has no row here fails the test.
"""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import typer.main

from angarium.cli.main import app
from tests.cli.test_command import SETTINGS
from tests.kit.command import run

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirRc"

OVER_THE_API = "calls a server's API, which writes it down: tests/api/test_audit_route.py"
LOOKS = "changes nothing"
HERE = "changes nothing in a database"
STARTS = "starts the service"
COMMANDS = {
    "send": OVER_THE_API,
    "trigger": OVER_THE_API,
    "listen": OVER_THE_API,
    "play": OVER_THE_API,
    "tail": OVER_THE_API,
    "show": OVER_THE_API,
    "resend": OVER_THE_API,
    "recover": OVER_THE_API,
    "replay": OVER_THE_API,
    "dlq ls": OVER_THE_API,
    "dlq replay": OVER_THE_API,
    "verify": OVER_THE_API,
    "sign": HERE,
    "doctor": LOOKS,
    "init": HERE,
    "version": LOOKS,
    "serve": STARTS,
    "dev": STARTS,
    "demo": STARTS,
    "migrate": "changes the schema, and no content",
    "settings": LOOKS,
    "token": "signs with the secret alone, as every holder of it can; what the token does is recorded",
    "rekey": "encrypts existing values again; no content changes",
    "key new": HERE,
    "key check": LOOKS,
    "key rewrap": "as rekey",
    "deadletter list": LOOKS,
    "deadletter replay": "endpoint.recover.begun, as over the API, which does it by the same use case",
    "profile check": HERE,
    "profile show": LOOKS,
    "profile list": LOOKS,
    "profile docs": HERE,
    "profile install": "organization.profile_given, api_key.made: test_the_command_line_is_on_the_record",
    "apikey list": LOOKS,
    "apikey new": "api_key.made: test_the_command_line_is_on_the_record",
    "apikey revoke": "api_key.revoked: test_the_command_line_is_on_the_record",
}


def _commands(command: Any, name: str = "") -> Iterator[str]:
    inner_commands: dict[str, Any] | None = getattr(command, "commands", None)
    if inner_commands is not None:
        for word, inner in inner_commands.items():
            yield from _commands(inner, f"{name} {word}".strip())
    else:
        yield name


def test_every_command_is_on_the_record_or_has_a_reason_not_to_be() -> None:
    found = set(_commands(typer.main.get_command(app)))
    assert found - set(COMMANDS) == set(), "say what the audit log has of these, or why nothing"
    assert set(COMMANDS) - found == set(), "these are no commands any more"


async def test_the_command_line_is_on_the_record(database_url: str) -> None:
    settings = SETTINGS | {"ANGARIUM_DATABASE_URL": database_url, "ANGARIUM_PROFILES": "bloom"}

    async def command(*arguments: str) -> str:
        done = await asyncio.to_thread(run, *arguments, **settings)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    await command("profile", "install", "bloom", "--org", ORG, "--name", "acme", "--json")
    shown = await command("apikey", "new", "--org", ORG, "--app", "acme")
    listed = [
        json.loads(line) for line in (await command("apikey", "list", "--org", ORG, "--json")).splitlines()
    ]
    await command("apikey", "revoke", listed[-1]["id"], "--org", ORG)
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("select * from all_audit where org_id = $1 order by id", ORG)
    await connection.close()
    assert {row["actor"] for row in rows} == {f"command-line:{getpass.getuser()}"}
    assert {"organization.profile_given", "application.created", "api_key.made", "api_key.revoked"} <= {
        row["action"] for row in rows
    }
    assert shown.strip() not in str(rows)
