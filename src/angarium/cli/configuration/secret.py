"""Gets the values of secrets that configuration files refer to: from the environment, or from files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from angarium.cli.configuration.fault import Faults, Path
from angarium.cli.configuration.field import KEEP, SecretReference
from angarium.cli.configuration.state import ConfigState

MAX_BYTES: Final = 65_536


def resolved(state: ConfigState, faults: Faults) -> dict[Path, str]:
    """The value of each reference in a state, by path. What is missing becomes a fault.

    A path of a file is relative to the configuration file, or to the working directory for standard input.
    """
    found: dict[Path, str] = {}
    for path, reference in references(state):
        if reference.kind == KEEP:
            continue
        place = faults.place(path)
        folder = FilePath(place.file).parent if place is not None else FilePath()
        try:
            found[path] = _value(reference, folder)
        except ValueError as error:
            faults.add(path, str(error))
    return found


def references(state: ConfigState) -> Iterator[tuple[Path, SecretReference]]:
    """All references of a state, with their paths."""
    for item in state.items.values():
        for name, value in item.fields.items():
            if isinstance(value, SecretReference):
                yield (*item.path, name), value
            elif isinstance(value, Mapping):
                for inner, one in value.items():
                    if isinstance(one, SecretReference):
                        yield (*item.path, name, inner), one


def with_values(name: str, value: Any, path: Path, values: Mapping[Path, str]) -> Any:
    """The field `name` of the object at `path` as the API gets it: with secrets in place of references."""
    if isinstance(value, SecretReference):
        return values[(*path, name)]
    if name == "headers" and isinstance(value, Mapping):
        return {
            inner: values[(*path, name, inner)] if isinstance(one, SecretReference) else one
            for inner, one in value.items()
            if not (isinstance(one, SecretReference) and one.kind == KEEP)
        }
    return value


def _value(reference: SecretReference, folder: FilePath) -> str:
    if reference.kind == "env":
        value = os.environ.get(reference.name)
        if value is None:
            raise ValueError(f"the environment variable {reference.name} is not set")
        if not value:
            raise ValueError(f"the environment variable {reference.name} is empty")
        return value
    path = folder / FilePath(reference.name).expanduser()
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        value = data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8") from error
    if not value or len(data) > MAX_BYTES:
        raise ValueError(f"{path} is empty" if not value else f"{path} has more than {MAX_BYTES:,} bytes")
    return value
