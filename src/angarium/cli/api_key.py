"""`angarium apikey`: keys of products' own APIs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.settings import Settings, load

if TYPE_CHECKING:
    from angarium.store.api_key import ApiKey

app = typer.Typer(help="List, make and revoke API keys of products.", no_args_is_help=True)
Org = Annotated[str, typer.Option(help="Organization, org_….")]
Data = Annotated[Path | None, typer.Option(help="Data directory, used without a database URL.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command("list")
def list_(org: Org, as_json: Json = False, data: Data = None) -> None:
    """List an organization's keys; what they were is not known any more."""
    from angarium.cli import process

    process.run(_list(load(overrides={"data_dir": data}), org, as_json))


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The id that `angarium apikey list` shows.")],
    org: Org,
    data: Data = None,
) -> None:
    """Refuse a key from now on."""
    from angarium.cli import process

    process.run(_revoke(load(overrides={"data_dir": data}), org, key))


@app.command()
def new(
    org: Org,
    application: Annotated[str, typer.Option("--app", help="Application, by id or uid.")],
    scope: Annotated[str | None, typer.Option(help="What it may do; the profile's first scope.")] = None,
    pair: Annotated[bool, typer.Option("--pair", help="With a secret, where keys are bearers too.")] = False,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="A key that says so.")] = False,
    data: Data = None,
) -> None:
    """Make a key and print it, once; a secret comes after a colon."""
    from angarium.cli import process

    process.run(_new(load(overrides={"data_dir": data}), org, application, scope, pair, sandbox))


async def _list(settings: Settings, org: str, as_json: bool) -> None:
    from angarium.cli.profile import provisioning

    async with provisioning(settings) as provision:
        found = await provision.access.keys(org)
    for one in map(_line, found):
        print(json.dumps(one) if as_json else "  ".join(str(value) for value in one.values() if value))
    if not found and not as_json:
        print("no keys")


def _line(key: ApiKey) -> dict[str, Any]:
    from angarium.service.access import name_of

    used, gone = key.last_used_at, key.revoked_at
    return {
        "id": name_of(key.id),
        "application": None if key.app_id is None else ids.text(ids.APPLICATION, key.app_id),
        "scope": key.scope,
        "name": key.name,
        "created": f"{key.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "used": None if used is None else f"{used:%Y-%m-%dT%H:%M:%SZ}",
        "revoked": None if gone is None else f"{gone:%Y-%m-%dT%H:%M:%SZ}",
    }


async def _revoke(settings: Settings, org: str, key: str) -> None:
    from angarium.cli.profile import provisioning
    from angarium.service.access import PREFIX

    key_id = ids.parse(PREFIX, key)
    async with provisioning(settings) as provision:
        known = {one.id for one in await provision.access.keys(org)}
        if key_id is None or key_id not in known:
            raise SettingsError(f"{org} has no key {key}; `angarium apikey list` shows them")
        await provision.access.revoke(org, key_id)
    print(f"{key} is revoked")


async def _new(
    settings: Settings, org: str, application: str, scope: str | None, pair: bool, sandbox: bool
) -> None:
    from angarium.cli.profile import provisioning

    async with provisioning(settings) as provision:
        shown = await provision.add_key(org, application, scope=scope, pair=pair, sandbox=sandbox)
    print(f"{shown.key}:{shown.secret}" if shown.secret else shown.key)
