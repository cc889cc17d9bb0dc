"""The commands of the command line, by name."""

from __future__ import annotations

from typing import Any

import typer

from angarium.cli.main import Tree, app

GROUP: Any = typer.main.get_command(app)


def commands() -> dict[str, Any]:
    """Every command as a Click object, by its words: `endpoint list`."""
    found: dict[str, Any] = {}
    for name, place in Tree.places.items():
        command = place.load(name)
        inner = getattr(command, "commands", None)
        found |= {name: command} if inner is None else {f"{name} {verb}": one for verb, one in inner.items()}
    return found


def options(command: Any) -> set[str]:
    """The options of a command, as they are written."""
    return {option for one in command.params for option in (*one.opts, *one.secondary_opts)}


def parsed(words: list[str]) -> str:
    """The name of the command that an example calls. Raises a usage error if it could not be called so."""
    known = commands()
    name = next(one for one in (" ".join(words[:2]), words[0]) if one in known)
    arguments = words[len(name.split()) :]
    known[name].make_context(name, list(arguments))
    return name
