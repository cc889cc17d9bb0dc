"""`angarium profile`: checks, prints and installs product profiles."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from angarium import profiles
from angarium.cli.option import Data, Json
from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.core.product import product_of
from angarium.settings import PREFIX, Settings, load

app = typer.Typer()
Name = Annotated[str, typer.Argument(help="Name of a shipped profile, or path of a file.")]


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The profile's file.")], as_json: Json = False) -> None:
    """Check a profile file and report its errors.

    $ angarium profile check my-product.toml
    """
    if not file.is_file():
        raise SettingsError(f"no such file: {file}")
    found = profiles.read(file)
    line = {"name": found.name, "title": found.title, "eventTypes": len(found.events)}
    words = f"{file}: {found.title} ({found.name}), {len(found.events)} event types: valid"
    print(json.dumps(line, ensure_ascii=False) if as_json else words)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Print a profile with all effective values, as TOML.

    $ angarium profile show standard
    """
    from angarium.profiles.written import written

    text = written(profiles.load(name))
    print(json.dumps(tomllib.loads(text), default=str) if as_json else text.rstrip())


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the profiles that ship with Angarium.

    $ angarium profile list
    """
    for name in profiles.names():
        found = profiles.load(name)
        line = {"name": name, "title": found.title, "summary": found.summary}
        print(json.dumps(line, ensure_ascii=False) if as_json else f"{name:<10} {found.summary}")


@app.command()
def docs(
    name: Annotated[str | None, typer.Argument(help="Profile name or file.")] = None,
    keys: Annotated[
        bool, typer.Option("--keys", help="Print the reference of all keys of a profile file.")
    ] = False,
) -> None:
    """Print the documentation of a product for receivers, in Markdown.

    $ angarium profile docs my-product.toml
    $ angarium profile docs --keys
    """
    from angarium.build import USER_AGENT
    from angarium.profiles.page import page
    from angarium.profiles.reference import reference

    if keys:
        print(reference(), end="")
        return
    if name is None:
        raise SettingsError("name a profile, or add --keys")
    print(page(product_of(profiles.load(name), USER_AGENT)), end="")


@app.command()
def install(
    name: Name,
    org: Annotated[str, typer.Option(help="Organization, org_…; its profile cannot be changed later.")],
    application: Annotated[
        str, typer.Option("--name", help="Name of the application that the keys are for.")
    ] = "tenant",
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Create sandbox keys.")] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Assign a profile to an organization; create its event types, an application and keys, shown once.

    $ angarium profile install my-product.toml --org org_23rb8YdGqMT0qIzpgGwdXfHirMu --name first-customer
    """
    from angarium.server import process

    settings, found = load(overrides={"data_dir": data}), profiles.load(name)
    if re.fullmatch(rf"{ids.ORGANIZATION}[0-9A-Za-z_.-]+", org) is None:
        raise SettingsError(f"--org: {org} is not an organization ID; it starts with {ids.ORGANIZATION}")
    if re.fullmatch(r"[0-9A-Za-z_.-]{1,200}", application) is None:
        raise SettingsError("--name: only letters, digits, '-', '_' and '.', because it becomes the UID")
    served = {profiles.load(one).name for one in settings.profiles}
    if found.name not in served:
        settings = settings.model_copy(update={"profiles": (*settings.profiles, name)})
    process.run(_install(settings, found.name, org, application, sandbox, as_json))
    if found.name not in served and not as_json:
        print(f"\nTo serve it, set {PREFIX}PROFILES={','.join(settings.profiles)}")


async def _install(
    settings: Settings, name: str, org: str, application: str, sandbox: bool, as_json: bool
) -> None:
    from angarium.cli.dev import shown
    from angarium.cli.installation import opened
    from angarium.service.application import ApplicationDraft

    async with opened(settings) as services:
        product = services.product.named(name)
        keys = services.provision.draw_keys(product, sandbox=sandbox)
        draft = ApplicationDraft(application, application)
        made = await services.provision.install(org, name, application=draft, keys=keys)
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
