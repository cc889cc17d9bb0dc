"""Commands by name, each imported when it is asked for: what one needs costs the others no time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command or a group of them is written, and the panel of `--help` that shows it."""

    module: str  # below angarium.cli
    attribute: str
    panel: str

    def load(self, name: str) -> Any:
        """The command as the parser wants it."""
        found = getattr(import_module(f"angarium.cli.{self.module}"), self.attribute)
        around = typer.Typer()
        if isinstance(found, typer.Typer):
            around.add_typer(found, name=name, rich_help_panel=self.panel)
        else:
            around.command(name, rich_help_panel=self.panel)(found)
        return typer.main.get_group(around).commands[name]


class Commands(MutableMapping[str, Any]):
    """Names are there at once, commands when they are looked at."""

    def __init__(self, *places: Mapping[str, Any]) -> None:
        """`places`: of commands that are to be loaded, or commands; the later ones prevail."""
        self._places = {name: place for some in places for name, place in some.items()}

    def __getitem__(self, name: str) -> Any:
        found = self._places[name]
        if isinstance(found, Place):
            found = self._places[name] = found.load(name)
        return found

    def __setitem__(self, name: str, command: Any) -> None:
        self._places[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def group_of(places: Mapping[str, Place]) -> type[TyperGroup]:
    """The class of a group that has these commands beside its own."""

    class Group(TyperGroup):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.commands = Commands(places, self.commands)

    return Group
