"""`angarium profile`: products as files, checked, shown, and given to organizations."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from angarium import profiles
from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.core.product import product_of
from angarium.settings import PREFIX, Settings, load

if TYPE_CHECKING:
    from angarium.service.provision import Provision

app = typer.Typer(help="Check, show and install products' profiles.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A profile that ships with Angarium, or the path of a file.")]
Data = Annotated[Path | None, typer.Option(help="Data directory, used without a database URL.")]


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The profile's file.")]) -> None:
    """Say whether a profile file is right; otherwise where it is not, and what to do."""
    if not file.is_file():
        raise SettingsError(f"there is no file {file}")
    found = profiles.read(file)
    print(f"{file}: {found.title} ({found.name}), {len(found.events)} event types, is right")


@app.command()
def show(name: Name) -> None:
    """Print a profile with every value in force, as TOML."""
    from angarium.profiles.written import written

    print(written(profiles.load(name)), end="")


@app.command("list")
def list_() -> None:
    """List the profiles that ship with Angarium."""
    for name in profiles.names():
        found = profiles.load(name)
        print(f"{name:<10} {found.summary}")


@app.command()
def docs(
    name: Annotated[str | None, typer.Argument(help="Profile, by name or file.")] = None,
    keys: Annotated[bool, typer.Option("--keys", help="The page about every key of a file.")] = False,
) -> None:
    """Print the page about a product for those who receive its webhooks, in Markdown."""
    from angarium.build import USER_AGENT
    from angarium.profiles.page import page
    from angarium.profiles.reference import reference

    if keys:
        print(reference(), end="")
        return
    if name is None:
        raise SettingsError("name a profile, or say --keys")
    print(page(product_of(profiles.load(name), USER_AGENT)), end="")


@app.command()
def install(
    name: Name,
    org: Annotated[str, typer.Option(help="Organization, org_…; it keeps the profile for good.")],
    application: Annotated[
        str, typer.Option("--name", help="The application that the keys are for.")
    ] = "tenant",
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Make keys that say so.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
    data: Data = None,
) -> None:
    """Give an organization its profile: event types, an application, and keys, which are shown once."""
    from angarium.server import process

    settings, found = load(overrides={"data_dir": data}), profiles.load(name)
    if re.fullmatch(rf"{ids.ORGANIZATION}[0-9A-Za-z_.-]+", org) is None:
        raise SettingsError(f"--org: {org} is not an organization's id; it starts with {ids.ORGANIZATION}")
    if re.fullmatch(r"[0-9A-Za-z_.-]{1,200}", application) is None:
        raise SettingsError("--name: letters, digits, '-', '_' and '.', since it becomes the uid")
    served = {profiles.load(one).name for one in settings.profiles}
    if found.name not in served:
        settings = settings.model_copy(update={"profiles": (*settings.profiles, name)})
    process.run(_install(settings, found.name, org, application, sandbox, as_json))
    if found.name not in served and not as_json:
        print(f"\nServers serve it once {PREFIX}PROFILES names it: {','.join(settings.profiles)}")


async def _install(
    settings: Settings, name: str, org: str, application: str, sandbox: bool, as_json: bool
) -> None:
    from angarium.cli.product import shown
    from angarium.service.application import ApplicationDraft

    async with provisioning(settings) as provision:
        product = provision.product(name)
        keys = provision.draw_keys(product, sandbox=sandbox)
        draft = ApplicationDraft(application, application)
        made = await provision.install(org, name, application=draft, keys=keys)
    line = {
        "profile": name,
        "organization": org,
        "application": ids.text(ids.APPLICATION, made.id),
        **shown(product, keys),
    }
    if as_json:
        print(json.dumps(line))
        return
    print("\n".join(f"{key:<20} {value}" for key, value in line.items()))
    if keys:
        print("\nSave the keys now: they are not shown again.")


@asynccontextmanager
async def provisioning(settings: Settings) -> AsyncIterator[Provision]:
    """What provisions organizations, over the database of the settings."""
    from angarium import build
    from angarium.cli.serve import require_schema
    from angarium.server import process

    process.sign()
    async with process.database(settings) as url:
        await require_schema(url)
        async with build.provisioning(settings, url) as provision:
            yield provision
