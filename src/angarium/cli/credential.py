"""`angarium api-key` and `angarium token`: keys of products' own APIs, and tokens of Angarium's API.

Lists and revocations are calls of the API, or with `--database` of the same use cases on the database.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from angarium.cli.error import note
from angarium.cli.option import Data, Database, DatabaseOrg, Org
from angarium.cli.remote import Given, Remote, calling
from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.core.schedule import parse_duration

if TYPE_CHECKING:
    from angarium.settings import Settings

Ref = Annotated[str, typer.Argument(help="ID from the list, or - to read a token from standard input.")]

api_key = typer.Typer()
token = typer.Typer()


@api_key.command("list")
@calling(app=False)
def list_keys(
    server: Remote,
    with_tokens: Annotated[bool, typer.Option("--with-tokens", help="Also list tokens.")] = False,
    database: Database = False,
    org: DatabaseOrg = None,
    data: Data = None,
) -> None:
    """List the API keys of an organization. The keys themselves are not shown.

    $ angarium api-key list
    $ angarium api-key list --database --org org_23rb8YdGqMT0qIzpgGwdXfHirMu
    """
    kinds = {"key", "token"} if with_tokens else {"key"}
    found = (one for one in _credentials(server, database, org, data) if one["kind"] in kinds)
    columns = ("id", "beginning", "applicationId", "scope", "name", "createdAt", "lastUsedAt", "revokedAt")
    server.table(found, columns, "no keys")


@token.command("list")
@calling(app=False)
def list_tokens(
    server: Remote, database: Database = False, org: DatabaseOrg = None, data: Data = None
) -> None:
    """List the tokens of an organization that were used.

    $ angarium token list
    """
    found = (one for one in _credentials(server, database, org, data) if one["kind"] == "token")
    server.table(found, ("id", "createdAt", "lastUsedAt", "expiresAt", "revokedAt"), "no tokens")


@api_key.command()
@token.command()
@calling(app=False)
def revoke(
    server: Remote, ref: Ref, database: Database = False, org: DatabaseOrg = None, data: Data = None
) -> None:
    """Revoke an API key or a token permanently.

    $ angarium api-key revoke key_0ujsswThIGTUYm2K8FjOOfXtY1K
    $ angarium token revoke -
    """
    shown = sys.stdin.read().strip() if ref == "-" else None
    if database:
        from angarium.server import process

        process.run(_revoke(_settings(data), org, ref, shown))
    else:
        body = {"id": ref} if shown is None else {"token": shown}
        server.raw("POST", "/auth/credential/revoke", body=body)
    server.done(f"{ref} is revoked" if shown is None else "the token is revoked")


@api_key.command("create")
def create_key(
    org: Org,
    application: Annotated[str, typer.Option("--app", help="Application, by ID or UID.")],
    scope: Annotated[str | None, typer.Option(help="Scope; default: the profile's first scope.")] = None,
    pair: Annotated[
        bool,
        typer.Option("--pair", help="With a secret, even if the product also accepts bearer keys."),
    ] = False,
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Create a sandbox key.")] = False,
    name: Annotated[
        str | None, typer.Option(help="Name, unique in the application; default: one is chosen.")
    ] = None,
    data: Data = None,
) -> None:
    """Create an API key, over the database, and print it once; a secret follows after a colon.

    Its ID and name go to standard error.

    $ angarium api-key create --org org_23rb8YdGqMT0qIzpgGwdXfHirMu --app customer-1
    $ angarium api-key create --org org_23rb8YdGqMT0qIzpgGwdXfHirMu --app customer-1 --name backend
    """
    from angarium.cli.installation import opened
    from angarium.server import process
    from angarium.service.api_key import name_of

    async def create() -> None:
        async with opened(_settings(data)) as services:
            shown, key = await services.provision.add_key(
                org, application, name, scope=scope, pair=pair, sandbox=sandbox
            )
        print(f"{shown.key}:{shown.secret}" if shown.secret else shown.key)
        note(f"{name_of(key.id)} {key.name!r}")

    process.run(create())


@token.command("create")
def create_token(
    org: Annotated[
        str | None, typer.Option(help="Organization, org_…; default: the data directory's.")
    ] = None,
    app: Annotated[str | None, typer.Option(help="Create a token for only this application, app_….")] = None,
    expires: Annotated[str | None, typer.Option(help="Lifetime, such as 30d.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data directory of `angarium dev`.")] = None,
) -> None:
    """Print a token, signed with the secret of the settings. Calls no server.

    Default lifetime: 10 years for an organization, 7 days for an application.

    $ angarium token create --org org_23rb8YdGqMT0qIzpgGwdXfHirMu
    $ angarium token create --app app_0ERWOTe6y8k6RrPDkmof8rVuPlg --expires 30d
    """
    settings = _settings(data)
    if settings.jwt_secret is None or org is None:
        from angarium.cli.installation import organization_of, with_secrets

        missing = "ANGARIUM_JWT_SECRET is not set" if settings.jwt_secret is None else "--org is missing"
        known = organization_of(settings, missing)
        settings, org = with_secrets(settings), org or known
    try:
        lifetime = None if expires is None else parse_duration(expires)
    except ValueError as error:
        raise SettingsError(f"--expires: {error}") from error
    if lifetime is not None and lifetime < 1:
        raise SettingsError("--expires: the minimum is 1s")
    print(make_token(settings, org, app, lifetime))


def make_token(settings: Settings, org: str, app: str | None = None, lifetime: float | None = None) -> str:
    """A token of the organization, or of one of its applications; `lifetime` in seconds."""
    from angarium import keys
    from angarium.service.token import ORGANIZATION_LIFETIME

    if not org.startswith(ids.ORGANIZATION):
        raise SettingsError(f"--org: {org} is not an organization ID; it starts with {ids.ORGANIZATION}")
    tokens = keys.tokens(settings)
    if app is None:
        return tokens.for_organization(org, lifetime=lifetime or ORGANIZATION_LIFETIME)
    if (app_id := ids.parse(ids.APPLICATION, app)) is None:
        raise SettingsError(f"--app: {app} is not an application ID (app_ and 27 letters and digits)")
    return tokens.for_application(org, app_id, lifetime=lifetime)


def _credentials(server: Remote, database: bool, org: str | None, data: Path | None) -> Iterator[Given]:
    if not database:
        return iter(server.call("GET", "/auth/credential")["data"])
    from angarium.server import process

    return iter(process.run(_of_database(_settings(data), org)))


async def _of_database(settings: Settings, org: str | None) -> list[Given]:
    from msgspec import to_builtins

    from angarium.api.native.auth import credentials
    from angarium.cli.installation import opened, organization_of

    org = org or organization_of(settings)
    async with opened(settings) as services:
        answer = await credentials(services.api_key, services.organization_token, org)
    found: list[Given] = to_builtins(answer)["data"]
    return found


async def _revoke(settings: Settings, org: str | None, ref: str, shown: str | None) -> None:
    from angarium import keys
    from angarium.api.native.auth import revoke_one
    from angarium.cli.installation import opened, organization_of

    org = org or organization_of(settings)
    async with opened(settings) as services:
        if shown is None:
            await revoke_one(services.api_key, services.organization_token, org, ref)
        else:
            await keys.tokens(settings, services.database).revoke_shown(org, shown)


def _settings(data: Path | None) -> Settings:
    from angarium.settings import load

    return load(overrides={"data_dir": data})
