"""Reads profiles: TOML files that define how one product's webhooks look from outside.

The files in this folder ship with Angarium; any other file with the same keys adds a product. Errors name the
line and, for a misspelled key, the nearest known one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import msgspec

from angarium.core import profile as core
from angarium.core.errors import SettingsError
from angarium.core.profile import Profile, ProfileError

_FOLDER: Final = Path(__file__).parent
_HEADER: Final = re.compile(r"\s*\[{1,2}\s*([^\]]+?)\s*\]{1,2}")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_\"'.-]+)\s*=")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `([^`]+)`")
STANDARD: Final = "standard"


def names() -> list[str]:
    """The profiles that ship with Angarium."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name: str) -> Profile:
    """A profile that ships with Angarium, by name, or any other, by the path of its file."""
    path = _FOLDER / f"{name}.toml"
    if re.fullmatch(r"[a-z0-9_-]+", name) and path.exists():
        return read(path)
    if name.endswith(".toml") and Path(name).exists():
        return read(Path(name))
    close = get_close_matches(name, names(), 1)
    hint = f"; did you mean {close[0]}?" if close else f"; the profiles are {', '.join(names())}"
    raise SettingsError(f"there is no profile {name!r}{hint}")


def load_all(wanted: Iterable[str]) -> dict[str, Profile]:
    """Profiles by name, always including the standard one. Raises SettingsError."""
    found: dict[str, Profile] = {}
    for place in dict.fromkeys([STANDARD, *wanted]):
        profile = load(place)
        if profile.name in found:
            raise SettingsError(f"two profiles are called {profile.name}; the second is {place}")
        found[profile.name] = profile
    return found


def read(path: Path) -> Profile:
    """The profile in a file. Raises SettingsError with the file, the line and the fix."""
    try:
        text = path.read_text("utf-8")
        data = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8") from error
    except RecursionError as error:
        raise SettingsError(f"{path} is nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from error
    try:
        return core.read(data)
    except ProfileError as error:
        where, words = error.where, error.words
        if (unknown := _UNKNOWN.search(words)) is not None:
            close = get_close_matches(unknown[1], _known(where), 1)
            words = f"{unknown[1]!r} is not a key here" + (f"; did you mean {close[0]}?" if close else "")
            where = (*where, unknown[1])
        line = line_of(text, where)
        place = ".".join(map(str, where))
        raise SettingsError(f"{path}:{line}: {place}: {words}" if place else f"{path}: {words}") from error


def _known(where: tuple[str | int, ...]) -> list[str]:
    """The keys that are allowed at that place."""
    kind: object = Profile
    for step in where:
        if isinstance(step, int):
            continue
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}  # type: ignore[arg-type]
        kind = fields.get(step)
        for inner in getattr(kind, "__args__", ()):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                kind = inner
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [field.encode_name for field in msgspec.structs.fields(kind)]
    return []


def line_of(text: str, where: tuple[str | int, ...]) -> int:
    """The line of a key, or of the nearest table or key above it; 1 for the file as a whole."""
    best, length = 1, 0
    table: tuple[str | int, ...] = ()
    counts: dict[tuple[str | int, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        if (header := _HEADER.match(line)) is not None and "=" not in line.split("#")[0].split('"')[0]:
            table = _table(header[1], line.lstrip().startswith("[["), counts)
            path = table
        elif (key := _KEY.match(line)) is not None:
            path = (*table, *key[1].strip("\"'").split("."))
        else:
            continue
        if len(path) > length and path == where[: len(path)]:
            best, length = number, len(path)
    return best


def _table(name: str, array: bool, counts: dict[tuple[str | int, ...], int]) -> tuple[str | int, ...]:
    """The path of a table header, with the index of each array of tables in it."""
    path: tuple[str | int, ...] = ()
    parts = [part.strip().strip("\"'") for part in name.split(".")]
    for place, part in enumerate(parts):
        path = (*path, part)
        if place == len(parts) - 1 and array:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
