"""Compares what files in deploy/ say with what the program takes: commands, settings, and paths of probes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer
import yaml
from typer.core import TyperGroup

from angarium.cli.main import app
from angarium.settings import PREFIX, Settings, secret_names

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"


def load(path: Path) -> Any:
    """A YAML file of one document."""
    return yaml.safe_load(path.read_text())


def command_fault(arguments: Sequence[str]) -> str | None:
    """What is wrong with the arguments of `angarium`, without running them; None if nothing is."""
    command = typer.main.get_command(app)
    context, name, rest = None, "angarium", list(arguments)
    try:
        while True:
            context = command.make_context(name, rest, parent=context)
            if not isinstance(command, TyperGroup):
                return None
            found, inner, rest = command.resolve_command(context, [*context._protected_args, *context.args])
            assert inner is not None
            command, name = inner, found or ""
    except typer.Exit:
        return None  # such as --version
    except Exception as error:  # Typer's own tree of errors is private
        if not hasattr(error, "format_message"):
            raise
        return str(error.format_message())


def setting_faults(names: Iterable[str]) -> list[str]:
    """The names that begin as settings do, and are none."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in secret_names()}
    return sorted(name for name in names if name.startswith(PREFIX) and name not in known)


def refusal(variables: Mapping[str, str]) -> str | None:
    """Why the settings refuse these values; None if they do not. Variables that name files are left out."""
    given: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in variables.items()
        if name.startswith(PREFIX) and not name.endswith("_FILE")
    }
    try:
        Settings(**given)
    except ValueError as error:
        return str(error)
    return None
