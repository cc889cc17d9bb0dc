"""Creates and reads the secrets and names in a data directory."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from angarium.core import ids
from angarium.core.errors import SettingsError
from angarium.settings import Settings


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


def organization(settings: Settings) -> str:
    """The data directory's own organization."""
    return kept(settings.data_dir.expanduser() / "organization", new_organization)


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
