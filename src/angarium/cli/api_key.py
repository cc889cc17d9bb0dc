"""`angarium apikey`: lists, creates and revokes API keys; lists and revokes organization tokens."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.settings import Settings, load

if TYPE_CHECKING:
    from datetime import datetime

    from angarium.store.api_key import ApiKey
    from angarium.store.token import OrganizationToken

app = typer.Typer(
    help="List, create and revoke API keys of products; list and revoke tokens.", no_args_is_help=True
)
Org = Annotated[str, typer.Option(help="Organization, org_….")]
Data = Annotated[Path | None, typer.Option(help="Data directory, used without a database URL.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]


@app.command("list")
def list_(org: Org, as_json: Json = False, data: Data = None) -> None:
    """List an organization's keys, and its tokens that were used. The keys themselves are not shown."""
    from angarium.server import process

    process.run(_list(load(overrides={"data_dir": data}), org, as_json))


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="ID from the list, or - to read a token from stdin.")],
    org: Org,
    data: Data = None,
) -> None:
    """Revoke a key or a token."""
    from angarium.server import process

    process.run(_revoke(load(overrides={"data_dir": data}), org, key))


@app.command()
def new(
    org: Org,
    application: Annotated[str, typer.Option("--app", help="Application, by ID or UID.")],
    scope: Annotated[str | None, typer.Option(help="Scope; default: the profile's first scope.")] = None,
    pair: Annotated[
        bool,
        typer.Option(
            "--pair", help="Create a key with a secret even if the product also accepts bearer keys."
        ),
    ] = False,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Create a sandbox key.")] = False,
    data: Data = None,
) -> None:
    """Create a key and print it once; a secret follows after a colon."""
    from angarium.server import process

    process.run(_new(load(overrides={"data_dir": data}), org, application, scope, pair, sandbox))


async def _list(settings: Settings, org: str, as_json: bool) -> None:
    from angarium.cli.profile import provisioning

    async with provisioning(settings) as provision:
        lines = [_line(one) for one in await provision.api_key.keys(org)]
        lines += [_token_line(one) for one in await provision.token.page(org)]
    for one in lines:
        print(json.dumps(one) if as_json else "  ".join(str(value) for value in one.values() if value))
    if not lines and not as_json:
        print("no keys")


def _line(key: ApiKey) -> dict[str, Any]:
    from angarium.service.api_key import name_of

    return {
        "id": name_of(key.id),
        "beginning": key.beginning,
        "application": None if key.app_id is None else ids.text(ids.APPLICATION, key.app_id),
        "scope": key.scope,
        "name": key.name,
        "created": _time(key.created_at),
        "used": _time(key.last_used_at),
        "revoked": _time(key.revoked_at),
    }


def _token_line(token: OrganizationToken) -> dict[str, Any]:
    from angarium.service.token import id_of

    return {
        "id": id_of(token.digest),
        "name": "organization token",
        "created": _time(token.first_used_at),
        "used": _time(token.last_used_at),
        "expires": _time(token.expires_at),
        "revoked": _time(token.revoked_at),
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"


async def _revoke(settings: Settings, org: str, key: str) -> None:
    from angarium.cli.profile import provisioning
    from angarium.service.api_key import PREFIX
    from angarium.service.token import PREFIX as TOKEN

    if key == "-":
        await _revoke_shown(settings, org, sys.stdin.read().strip())
        return
    key_id = ids.parse(PREFIX, key)
    async with provisioning(settings) as provision:
        if key.startswith(TOKEN):
            await provision.token.revoke(org, key)
            print(f"{key} is revoked")
            return
        known = {one.id for one in await provision.api_key.keys(org)}
        if key_id is None or key_id not in known:
            raise SettingsError(f"{org} has no key {key}; list them with `angarium apikey list`")
        await provision.api_key.revoke(org, key_id)
    print(f"{key} is revoked")


async def _revoke_shown(settings: Settings, org: str, token: str) -> None:
    """Revokes a token read from standard input, so that it does not appear in process lists."""
    from angarium import build
    from angarium.cli.serve import require_schema
    from angarium.server import process
    from angarium.store.database import Database

    process.sign()
    async with process.database(settings) as url:
        await require_schema(url)
        database = await Database.connect(url, size=2)
        try:
            await build.tokens(settings, database).revoke_shown(org, token)
        finally:
            await database.close()
    print("the token is revoked")


async def _new(
    settings: Settings, org: str, application: str, scope: str | None, pair: bool, sandbox: bool
) -> None:
    from angarium.cli.profile import provisioning

    async with provisioning(settings) as provision:
        shown = await provision.add_key(org, application, scope=scope, pair=pair, sandbox=sandbox)
    print(f"{shown.key}:{shown.secret}" if shown.secret else shown.key)
