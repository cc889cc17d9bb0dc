"""`angarium token`: creates tokens for the API."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.core.schedule import parse_duration
from angarium.settings import PREFIX, Settings, load

if TYPE_CHECKING:
    from uuid import UUID


def token(
    org: Annotated[
        str | None, typer.Option(help="Organization, org_…; default: the data directory's.")
    ] = None,
    app: Annotated[str | None, typer.Option(help="Create a token for only this application, app_….")] = None,
    expires: Annotated[str | None, typer.Option(help="Lifetime, such as 30d.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data directory of `angarium dev`.")] = None,
) -> None:
    """Print a token. Default lifetime: 10 years for an organization, 7 days for an application."""
    settings = load(overrides={"data_dir": data})
    if settings.jwt_secret is None or org is None:
        settings, org = _of_directory(settings, org)
    try:
        lifetime = None if expires is None else parse_duration(expires)
    except ValueError as error:
        raise SettingsError(f"--expires: {error}") from error
    if lifetime is not None and lifetime < 1:
        raise SettingsError("--expires: the minimum is 1s")
    print(make(settings, org, _application(app), lifetime))


def _of_directory(settings: Settings, org: str | None) -> tuple[Settings, str]:
    """Fills in missing values from the data directory of `angarium dev`."""
    from angarium.cli.kept import organization, with_secrets

    if not (settings.data_dir.expanduser() / "organization").exists():
        missing = f"{PREFIX}JWT_SECRET is not set" if settings.jwt_secret is None else "--org is missing"
        raise SettingsError(f"{missing}, and {settings.data_dir} is not a data directory of `angarium dev`")
    return with_secrets(settings), org or organization(settings)


def _application(app: str | None) -> UUID | None:
    if app is None:
        return None
    found = ids.parse(ids.APPLICATION, app)
    if found is None:
        raise SettingsError(f"--app: {app} is not an application ID (app_ and 27 letters and digits)")
    return found


def make(settings: Settings, org_id: str, app_id: UUID | None = None, lifetime: float | None = None) -> str:
    """A token of the organization, or of one of its applications; `lifetime` in seconds."""
    from angarium import build
    from angarium.service.token import APPLICATION_LIFETIME, ORGANIZATION_LIFETIME

    if not org_id.startswith(ids.ORGANIZATION):
        raise SettingsError(f"--org: {org_id} is not an organization ID; it starts with {ids.ORGANIZATION}")
    tokens = build.tokens(settings)
    if app_id is not None:
        return tokens.for_application(org_id, app_id, lifetime=lifetime or APPLICATION_LIFETIME)
    return tokens.for_organization(org_id, lifetime=lifetime or ORGANIZATION_LIFETIME)
