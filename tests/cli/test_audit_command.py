"""Every command that changes something by itself, without a server's API, says so in the audit log.

The commands are taken from the command line itself. One that has no row here fails the test.
"""

from __future__ import annotations

import asyncio
import getpass
import json

import asyncpg

from tests.cli.test_command import SETTINGS
from tests.kit.command import run
from tests.kit.commands import commands, options

ORG = "org_23rb8YdGqMT0qIzpgGwdXfHirRc"

OVER_THE_API = "calls a server's API, which writes it down: tests/api/test_audit_route.py"
LOOKS = "changes nothing"
HERE = "changes nothing in a database"
STARTS = "starts the service"
COMMANDS = {
    "listen": OVER_THE_API,
    "trigger": OVER_THE_API,
    "play": OVER_THE_API,
    "verify": OVER_THE_API,
    "sign": HERE,
    "doctor": LOOKS,
    "health": LOOKS,
    "alert test": "sends to the operator's own channels",
    "init": HERE,
    "serve": STARTS,
    "dev": STARTS,
    "demo": STARTS,
    "migrate": "changes the schema, and no content",
    "settings": LOOKS,
    "token create": "signs with the secret alone, as every holder of it can; what it does is recorded",
    "key create": HERE,
    "audit export": LOOKS,
    "restore begin": "restore.begun: tests/service/test_restore.py",
    "restore reconcile": "writes what the log of attempts proves; the log is the record",
    "restore apply": "what it repeats, by the use cases, and the records that it reads",
    "restore release": "restore.released: tests/service/test_restore.py",
    "key check": LOOKS,
    "key rewrap": "encrypts existing values again; no content changes",
    "profile check": HERE,
    "profile show": LOOKS,
    "profile list": LOOKS,
    "profile docs": HERE,
    "profile install": "organization.profile_given, api_key.made: test_the_command_line_is_on_the_record",
    "api-key create": "api_key.made: test_the_command_line_is_on_the_record",
    # with --database
    "api-key list": LOOKS,
    "api-key revoke": "api_key.revoked: test_the_command_line_is_on_the_record",
    "token list": LOOKS,
    "token revoke": "as api-key revoke, which is the same",
    "dead-letter list": LOOKS,
    "dead-letter resend": "delivery.resend.begun, as over the API, which does it by the same use case",
}


def test_every_command_is_on_the_record_or_has_a_reason_not_to_be() -> None:
    known = commands()
    over_the_api = {name for name, one in known.items() if "--url" in options(one)} - set(COMMANDS)
    assert not any("--database" in options(known[name]) for name in over_the_api)
    found = set(known) - over_the_api
    assert found - set(COMMANDS) == set(), "say what the audit log has of these, or why nothing"
    assert set(COMMANDS) - found == set(), "these are no commands any more"


async def test_the_command_line_is_on_the_record(database_url: str) -> None:
    settings = SETTINGS | {"ANGARIUM_DATABASE_URL": database_url, "ANGARIUM_PROFILES": "bloom"}

    async def command(*arguments: str) -> str:
        done = await asyncio.to_thread(run, *arguments, **settings)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    await command("profile", "install", "bloom", "--org", ORG, "--name", "acme", "--json")
    shown = await command("api-key", "create", "--org", ORG, "--app", "acme")
    where = ("--database", "--org", ORG)
    listed = [json.loads(line) for line in (await command("api-key", "list", *where, "--json")).splitlines()]
    await command("api-key", "revoke", listed[-1]["id"], *where)
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("select * from all_audit where org_id = $1 order by id", ORG)
    await connection.close()
    assert {row["actor"] for row in rows} == {f"command-line:{getpass.getuser()}"}
    assert {"organization.profile_given", "application.created", "api_key.made", "api_key.revoked"} <= {
        row["action"] for row in rows
    }
    assert shown.strip() not in str(rows)
