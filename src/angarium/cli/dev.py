"""`angarium dev`: runs a development server that needs no setup, with keys of every product."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from angarium import profiles, telemetry
from angarium.cli.credential import make_token
from angarium.cli.installation import kept, new_organization, organization, with_secrets
from angarium.cli.option import Json
from angarium.core import ids
from angarium.core.product import STANDARD, Product
from angarium.settings import Settings, load

if TYPE_CHECKING:
    from angarium.service.product import Provision, ScopedKey

APPLICATION: Final = "sandbox"  # the name and uid of the application that a product's keys are for
DEFAULTS: Final[dict[str, Any]] = {
    "https_only": False,
    "allowed_subnets": "127.0.0.0/8,::1/128",
    "log_format": "console",
    "ops_listen": "",
}


def dev(
    data: Annotated[Path | None, typer.Option(help="Data directory; default: .angarium.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = None,
    as_json: Json = False,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Product to serve, by name or file; repeatable. Default: all that ship."),
    ] = None,
) -> None:
    """Run a development server with an embedded PostgreSQL. Allows http and loopback endpoints.

    $ angarium dev
    $ angarium dev --port 8080 --profile my-product.toml
    """
    shipped = ",".join(name for name in profiles.names() if name != STANDARD)
    given = {"data_dir": data, "profiles": ",".join(profile or ()) or None}
    settings = with_secrets(load(DEFAULTS | {"profiles": shipped}, given))
    if port is not None:
        settings = settings.model_copy(update={"listen": f"127.0.0.1:{port}"})
    telemetry.configure(settings.log_format, settings.log_level)
    from angarium.server import open_files, process

    open_files.allow(settings, "all")
    process.run(_dev(settings, as_json))


async def _dev(settings: Settings, as_json: bool) -> None:
    from angarium import build
    from angarium.core.probe import StartStep
    from angarium.server import process
    from angarium.server.presence import Presence
    from angarium.store.migrate import migrate

    shutdown = process.stop_signal(settings)
    presence = Presence(1)
    presence.vitals.done(StartStep.SETTINGS, StartStep.SECRETS)
    ops_listener = process.listen_ops(settings)
    async with presence.shown(ops_listener, shutdown), process.database(settings) as url:
        await migrate(url)
        presence.vitals.done(StartStep.SCHEMA)
        if shutdown.begun.is_set():
            return
        listener = process.listen(settings)
        process.sign()
        async with build.offline(settings, url) as services:
            products = await ready(settings, services.provision, services.product.all)

        def announce() -> None:
            _announce(settings, process.url_of(listener), products, as_json)

        await process.work(
            *(settings, process.served(settings, url), "all", listener, shutdown, announce),
            sandbox=True,
            vitals=presence.vitals,
            routes=presence.routes,
        )


def _announce(settings: Settings, url: str, products: Mapping[str, ReadyProduct], as_json: bool) -> None:
    org = organization(settings)
    token = make_token(settings, org)
    lines = {name: one.line(url, make_token(settings, one.org_id)) for name, one in products.items()}
    if as_json:
        operators = {
            name: {
                "organization": one.org_id,
                "application": one.app_id,
                "token": make_token(settings, one.org_id),
            }
            for name, one in products.items()
        }
        line = {"url": url, "token": token, "organization": org, "pid": os.getpid()}
        print(json.dumps(line | {"profiles": lines, "operators": operators}), flush=True)
        return
    shown = "\n".join(
        f"  {name:<8} " + "\n           ".join(f"{key}: {value}" for key, value in line.items()) + "\n"
        for name, line in lines.items()
    )
    print(
        f"""
Angarium is ready.

  URL            {url}
  documentation  {url}/docs
  organization   {org}
  data           {settings.data_dir}
  token          {token}

Create an application:

  curl -X POST {url}/api/v1/app \\
    -H 'authorization: Bearer {token}' \\
    -H 'content-type: application/json' \\
    -d '{{"name": "My first application", "uid": "first"}}'

Or let the command line call the server:

  export ANGARIUM_URL={url} ANGARIUM_TOKEN={token} ANGARIUM_APP=first
  angarium application create --name "My first application" --uid first

Create a link to its portal and open it in a browser (the operator pages are at {url}/admin):

  angarium application link first

Forward its messages to your receiver:

  angarium listen --forward-to http://localhost:3000/webhooks

Products and their keys:

{shown}
Press Ctrl-C to stop. The data stays in {settings.data_dir}.
""",
        flush=True,
    )


@dataclass(frozen=True, slots=True)
class ReadyProduct:
    """A product that is ready to use. `shown`: the credentials of its customer."""

    product: Product
    org_id: str
    app_id: str
    shown: dict[str, str] = field(repr=False)

    def line(self, url: str, token: str) -> dict[str, str]:
        """Its entry in the JSON line."""
        management = self.product.profile.management
        if management.dialect == "native":
            keys = {"organization": self.org_id, "application": self.app_id, "token": token}
            return {"base_url": url, **keys}
        if management.url_name is not None:
            return {management.url_name: url + management.base_paths[0], **self.shown}
        return {"base_url": url, **self.shown}


async def ready(
    settings: Settings, provision: Provision, products: Mapping[str, Product]
) -> dict[str, ReadyProduct]:
    """Prepares the organization of every product. Idempotent."""
    directory = settings.data_dir.expanduser()
    found = {}
    for name, product in products.items():
        if name != STANDARD:
            found[name] = await _ready(directory, provision, product)
    return found


async def _ready(directory: Path, provision: Provision, product: Product) -> ReadyProduct:
    from angarium.service.application import ApplicationDraft

    scopes = product.profile.management.scopes
    path = directory / f"product-{product.name}"
    known = _read(path, provision, product)
    if any(scope not in known["keys"] for scope in scopes):  # the profile has a new scope
        drawn = _draw(provision, product)
        known["keys"] = drawn["keys"] | known["keys"]
        path.unlink()
        kept(path, lambda: json.dumps(known))
    keys = [_key(scope, known["keys"][scope]) for scope in scopes]
    application = ApplicationDraft(APPLICATION, APPLICATION)
    made = await provision.install(known["organization"], product.name, application=application, keys=keys)
    app_id = ids.text(ids.APPLICATION, made.id)
    return ReadyProduct(product, known["organization"], app_id, shown(product, keys))


def _read(path: Path, provision: Provision, product: Product) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(kept(path, lambda: json.dumps(_draw(provision, product))))
    return known


def _draw(provision: Provision, product: Product) -> dict[str, Any]:
    keys = provision.draw_keys(product, sandbox=True)
    return {
        "organization": new_organization(),
        "keys": {new.scope: [new.shown.key, new.shown.secret] for new in keys},
    }


def _key(scope: str, pair: list[str]) -> ScopedKey:
    from angarium.service.api_key import NewApiKey
    from angarium.service.product import ScopedKey

    return ScopedKey(scope, NewApiKey(*pair))


def shown(product: Product, keys: list[ScopedKey]) -> dict[str, str]:
    """Keys, and their secrets if they have one, by the names that the product uses."""
    names = product.profile.management.key_names
    named: dict[str, str] = {}
    for place, new in enumerate(keys):
        stem = (new.scope.rpartition(":")[0] or new.scope) if place else "api"
        named[names[place] if names else f"{stem}_key"] = new.shown.key
        if new.shown.secret:
            named[f"{stem}_secret"] = new.shown.secret
    return named
