"""Imports commands on first use, so that a command does not pay for the imports of others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from angarium.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Place:
    """The module of a command or command group, and its panel in `--help`."""

    module: str  # below angarium.cli
    attribute: str
    panel: str

    def load(self, name: str) -> Any:
        """The command as a Click object."""
        found = getattr(import_module(f"angarium.cli.{self.module}"), self.attribute)
        around = typer.Typer()
        if isinstance(found, typer.Typer):
            around.add_typer(found, name=name, rich_help_panel=self.panel)
        else:
            around.command(name, rich_help_panel=self.panel)(found)
        return typer.main.get_group(around).commands[name]


class Commands(MutableMapping[str, Any]):
    """A mapping of names to commands that loads a command on access."""

    def __init__(self, *places: Mapping[str, Any]) -> None:
        """`places`: commands, or places to load them from; later mappings override earlier ones."""
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


def group_of(places: Mapping[str, Place], absent: Collection[str] = ()) -> type[TyperGroup]:
    """The class of a group with these commands in addition to its own.

    `absent`: names of commands that need the extra `server`, which is not installed.
    """

    class Group(TyperGroup):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.commands = Commands(places, self.commands)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            if cmd_name in absent:
                raise SettingsError(f'`{cmd_name}` needs the service: pip install "angarium[server]"')
            return super().get_command(ctx, cmd_name)

    return Group
