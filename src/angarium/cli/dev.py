"""`angarium dev`: runs a development server that needs no setup."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from angarium import telemetry
from angarium.cli.kept import organization, with_secrets
from angarium.settings import Settings, load

if TYPE_CHECKING:
    from angarium.cli.product import ReadyProduct

SHIPPED: Final = ("bluum", "bluma", "bloom")
DEFAULTS: Final[dict[str, Any]] = {
    "https_only": False,
    "allowed_subnets": "127.0.0.0/8,::1/128",
    "log_format": "console",
}


def dev(
    data: Annotated[Path | None, typer.Option(help="Data directory; default: .angarium.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready.")] = False,
    profile: Annotated[
        list[str] | None,
        typer.Option(help="Product to serve, by name or file; repeatable. Default: bluum, bluma, bloom."),
    ] = None,
) -> None:
    """Run a development server with an embedded PostgreSQL. Allows http and loopback endpoints."""
    settings = with_secrets(
        load(DEFAULTS | {"profiles": ",".join(SHIPPED)}, {"data_dir": data, "profiles": _wanted(profile)})
    )
    if port is not None:
        settings = settings.model_copy(update={"listen": f"127.0.0.1:{port}"})
    telemetry.configure(settings.log_format, settings.log_level)
    from angarium.server import open_files, process

    open_files.allow(settings, "all")
    process.run(_dev(settings, as_json))


def _wanted(profiles: list[str] | None) -> str | None:
    return ",".join(profiles) if profiles else None


async def _dev(settings: Settings, as_json: bool) -> None:
    from angarium import build
    from angarium.cli import product
    from angarium.server import process
    from angarium.store.migrate import migrate

    stop = process.stop_signal()
    async with process.database(settings) as url:
        await migrate(url)
        if stop.is_set():
            return
        listener = process.listen(settings)
        process.sign()
        async with build.provisioning(settings, url) as provision:
            products = await product.ready(settings, provision, build.products_of(settings))

        def announce() -> None:
            _announce(settings, process.url_of(listener), products, as_json)

        await process.work(
            settings, process.served(settings, url), "all", listener, stop, announce, sandbox=True
        )


def _announce(settings: Settings, url: str, products: Mapping[str, ReadyProduct], as_json: bool) -> None:
    from angarium.cli.token import make

    org = organization(settings)
    token = make(settings, org)
    lines = {name: one.line(url, make(settings, one.org_id)) for name, one in products.items()}
    if as_json:
        operators = {
            name: {"organization": one.org_id, "application": one.app_id, "token": make(settings, one.org_id)}
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

Create a link to its portal and open it in a browser (the operator pages are at {url}/admin):

  curl -X POST {url}/api/v1/auth/app-portal-access/first \\
    -H 'authorization: Bearer {token}' -d '{{}}'

Forward its messages to your receiver:

  export ANGARIUM_URL={url} ANGARIUM_TOKEN={token} ANGARIUM_APP=first
  angarium listen --forward-to http://localhost:3000/webhooks

Products and their keys:

{shown}
Press Ctrl-C to stop. The data stays in {settings.data_dir}.
""",
        flush=True,
    )
