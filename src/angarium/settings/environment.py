"""Reads the settings from environment variables, and secrets also from files that variables name.

The file of a secret is in `ANGARIUM_<NAME>_FILE`. An unknown name is refused, with a suggestion.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from angarium.core.errors import SettingsError
from angarium.settings.declaration import PREFIX
from angarium.settings.rule import Settings

KEYS: Final = ("jwt_secret", "secret_key")  # read again on SIGHUP
FILE: Final = "_FILE"  # ends the name of a variable that names a file
_CLIENTS: Final = frozenset({"ANGARIUM_URL", "ANGARIUM_TOKEN", "ANGARIUM_APP"})  # of the command line client
_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})  # as pydantic reads a bool


def load(defaults: Mapping[str, Any] | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read and check the settings. Raises SettingsError, which names each wrong variable and why.

    `defaults` apply to unset variables; `overrides` come from the command line and take precedence.
    """
    _refuse_unknown(os.environ)
    given = {name for name in Settings.model_fields if PREFIX + name.upper() in os.environ}
    values = {name: value for name, value in (defaults or {}).items() if name not in given}
    values |= _from_files(os.environ)
    values |= {name: value for name, value in (overrides or {}).items() if value is not None}
    return _checked(values)


def _checked(values: Mapping[str, Any]) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_in_words(fault) for fault in error.errors())) from error


def key_files(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The files from which the keys of tokens and secrets are read, if any."""
    return [environ[name] for name in (PREFIX + key.upper() + FILE for key in KEYS) if environ.get(name)]


def reread(settings: Settings) -> Settings:
    """The same settings with the keys that are in their files now. Raises SettingsError."""
    if not key_files():
        return settings
    fresh = {name: value for name, value in _from_files(os.environ).items() if name in KEYS}
    return _checked(settings.model_dump() | fresh)


def _in_words(fault: Mapping[str, Any]) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{str(fault['loc'][0]).upper()}: {message}" if fault["loc"] else message


def secret_names() -> list[str]:
    """The settings that are secrets and can be read from a file."""
    return [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


def _from_files(environ: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for name in secret_names():
        variable = PREFIX + name.upper()
        path = environ.get(variable + FILE)
        if not path:
            continue
        if environ.get(variable):
            raise SettingsError(f"{variable} and {variable}{FILE} are both set; keep one")
        try:
            values[name] = Path(path).read_text().strip()
        except OSError as error:
            raise SettingsError(f"{variable}{FILE}: cannot read {path}: {error.strerror}") from error
    return values


def unknown(environ: Iterable[str]) -> list[str]:
    """The `ANGARIUM_*` variables that are not settings."""
    return sorted(name for name in environ if name.startswith(PREFIX) and name not in _known() | _CLIENTS)


def _known() -> set[str]:
    files = {PREFIX + name.upper() + FILE for name in secret_names()}
    return {PREFIX + name.upper() for name in Settings.model_fields} | files


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    if environ.get(f"{PREFIX}IGNORE_UNKNOWN", "").lower() in _TRUE:
        return
    problems = []
    for name in unknown(environ):
        close = get_close_matches(name, _known(), n=1)
        hint = f"did you mean {close[0]}?" if close else "see `angarium settings` for all of them"
        problems.append(f"{name} is not a setting; {hint}")
    if problems:
        raise SettingsError("\n".join(problems))
