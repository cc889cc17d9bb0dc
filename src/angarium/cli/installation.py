"""Opens the installation that commands work on: the database, and the secrets of a data directory."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.settings import Settings, load

if TYPE_CHECKING:
    from angarium.service.services import DatabaseServices


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[str]:
    """The URL of the database, whose schema is checked. The audit log names the user who runs the command."""
    from angarium.server import process

    process.sign()
    async with process.database(settings) as url:
        await require_schema(url)
        yield url


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[DatabaseServices]:
    """The use cases on the database, without a server."""
    from angarium import build

    async with connected(settings) as url, build.offline(settings, url) as services:
        yield services


async def require_schema(url: str) -> None:
    """Raises SettingsError if the schema is older than this release, or too new for it."""
    from angarium.store import migrate as schema

    await schema.require(url)


def with_secrets(settings: Settings) -> Settings:
    """The settings, with missing secrets from the data directory."""
    directory = settings.data_dir.expanduser()
    values: dict[str, Any] = settings.model_dump()
    if settings.jwt_secret is None:
        if not settings.jwt_algorithm.startswith("HS"):
            raise SettingsError(f"ANGARIUM_JWT_SECRET is not set; {settings.jwt_algorithm} needs a PEM key")
        values["jwt_secret"] = kept(directory / "jwt-secret", lambda: secrets.token_urlsafe(48))
    if settings.secret_key is None:
        values["secret_key"] = kept(directory / "secret-key", lambda: new_key(os.urandom(32)))
    return Settings(**values)


def settings_of(data: Path | None) -> Settings:
    """The settings of a command that decrypts, with the secrets of its data directory if that has some."""
    settings = load(overrides={"data_dir": data})
    return with_secrets(settings) if (settings.data_dir.expanduser() / "secret-key").exists() else settings


def organization(settings: Settings) -> str:
    """The data directory's own organization."""
    return kept(settings.data_dir.expanduser() / "organization", new_organization)


def organization_of(settings: Settings, missing: str = "--org is missing") -> str:
    """The same, of a directory that `angarium dev` has used. Raises SettingsError for any other."""
    if not (settings.data_dir.expanduser() / "organization").exists():
        raise SettingsError(f"{missing}, and {settings.data_dir} is not a data directory of `angarium dev`")
    return organization(settings)


def new_organization() -> str:
    """A new organization id."""
    return ids.ORGANIZATION + "".join(secrets.choice(ids.ALPHABET) for _ in range(ids.DIGITS))


def new_key(entropy: bytes) -> str:
    """A secret key in the form of the setting, from 32 random bytes."""
    return base64.b64encode(entropy).decode()


def kept(path: Path, make: Callable[[], str]) -> str:
    """The content of a file; creates the file if it is missing, readable only by its owner.

    The file is linked into place, so two processes that create it at once read the same content.
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
