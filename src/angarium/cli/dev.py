"""`angarium dev`: everything at once for trying and developing; nothing to set up."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from angarium import telemetry
from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.settings import Settings, load

if TYPE_CHECKING:
    from angarium.cli.product import Ready

SHIPPED: Final = ("bluum", "bluma", "bloom")
DEFAULTS: Final[dict[str, Any]] = {
    "https_only": False,
    "allowed_subnets": "127.0.0.0/8,::1/128",
    "log_format": "console",
}


def dev(
    data: Annotated[Path | None, typer.Option(help="Data directory; the default is .angarium.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line once ready.")] = False,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Product to serve, by name or file; repeat for more. Default: bluum, bluma, bloom."
        ),
    ] = None,
) -> None:
    """Run a development server on its own PostgreSQL; http and loopback endpoints are allowed."""
    settings = with_secrets(
        load(DEFAULTS | {"profiles": ",".join(SHIPPED)}, {"data_dir": data, "profiles": _wanted(profile)})
    )
    if port is not None:
        settings = settings.model_copy(update={"listen": f"127.0.0.1:{port}"})
    telemetry.configure(settings.log_format, settings.log_level)
    from angarium.cli import process

    process.run(_dev(settings, as_json))


def _wanted(profiles: list[str] | None) -> str | None:
    return ",".join(profiles) if profiles else None


def with_secrets(settings: Settings) -> Settings:
    """The settings with the data directory's own secrets where none are given."""
    directory = settings.data_dir.expanduser()
    values: dict[str, Any] = settings.model_dump()
    if settings.jwt_secret is None:
        if not settings.jwt_algorithm.startswith("HS"):
            raise SettingsError(f"ANGARIUM_JWT_SECRET is not set; {settings.jwt_algorithm} needs a PEM key")
        values["jwt_secret"] = kept(directory / "jwt-secret", lambda: secrets.token_urlsafe(48))
    if settings.secret_key is None:
        values["secret_key"] = kept(directory / "secret-key", lambda: new_key(os.urandom(32)))
    return Settings(**values)


def organization(settings: Settings) -> str:
    """The data directory's own organization."""
    return kept(settings.data_dir.expanduser() / "organization", new_organization)


def new_organization() -> str:
    """The id of an organization that nobody has yet."""
    return ids.ORGANIZATION + "".join(secrets.choice(ids.ALPHABET) for _ in range(ids.DIGITS))


def new_key(entropy: bytes) -> str:
    """A secret key in the form of the setting, from 32 random bytes."""
    return base64.b64encode(entropy).decode()


def kept(path: Path, make: Callable[[], str]) -> str:
    """What the file holds; made first when it is not there, readable by its owner alone.

    Written aside and linked into place, so of two that make it at once both read the same.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make() + "\n")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return path.read_text().strip()


async def _dev(settings: Settings, as_json: bool) -> None:
    from angarium import build
    from angarium.cli import process, product
    from angarium.store.migrate import migrate

    stop = process.stop_signal()
    async with process.database(settings) as url:
        await migrate(url)
        if stop.is_set():
            return
        listener = process.listen(settings)
        async with build.provisioning(settings, url) as provision:
            products = await product.ready(settings, provision, build.products_of(settings))

        def announce() -> None:
            _announce(settings, process.url_of(listener), products, as_json)

        await process.work(settings, url, "all", listener, stop, announce, sandbox=True)


def _announce(settings: Settings, url: str, products: Mapping[str, Ready], as_json: bool) -> None:
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

Make an application:

  curl -X POST {url}/api/v1/app \\
    -H 'authorization: Bearer {token}' \\
    -H 'content-type: application/json' \\
    -d '{{"name": "My first application", "uid": "first"}}'

Products, each with keys of its own:

{shown}
Ctrl-C stops it; everything is kept in {settings.data_dir}.
""",
        flush=True,
    )
