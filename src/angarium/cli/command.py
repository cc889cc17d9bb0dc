"""Loads commands on first use, takes the examples of their help from docstrings, and translates old names.

The names and summaries of the first level are in a table, so its help and completion import no command.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from angarium.cli.error import guarded, note
from angarium.core.errors import SettingsError

HAS_SERVICE: Final = find_spec("pydantic_settings") is not None


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """A noun or a command of the first level.

    `where`: module and attribute, which is a Typer with the verbs of a noun, or the function of a command.
    `panel`: of `--help`. `service`: it needs the extra `server`; without it, it is not listed.
    """

    where: str  # below angarium.cli
    summary: str
    panel: str
    service: bool

    @cache  # noqa: B019 (as many as the table has)
    def load(self, name: str) -> Any:
        """The command as a Click object. Raises SettingsError if it needs the service, which is missing."""
        if self.service and not HAS_SERVICE:
            raise SettingsError(f'`{name}` needs the service: pip install "angarium[server]"')
        module, _, attribute = self.where.partition(":")
        found = getattr(import_module(f"angarium.cli.{module}"), attribute)
        around = typer.Typer()
        if isinstance(found, typer.Typer):
            around.add_typer(found, name=name, help=self.summary, no_args_is_help=True)
        else:
            around.command(name)(found)
        for info in [*around.registered_commands, *getattr(found, "registered_commands", ())]:
            info.help, info.epilog = _documented(inspect.getdoc(info.callback) or "")
        return typer.main.get_group(around).commands[name]


def placed(
    panel: str, rows: Mapping[str, tuple[str, str]], *, service: bool = False
) -> dict[str, CommandEntry]:
    """The places of a panel. `rows`: where they are, and their summaries."""
    return {name: CommandEntry(where, summary, panel, service) for name, (where, summary) in rows.items()}


def _documented(docstring: str) -> tuple[str, str]:
    """The help, and the examples: the lines that begin with `$ `."""
    lines = docstring.splitlines()
    examples = [line for line in lines if line.startswith("$ ")]
    words = "\n".join(line for line in lines if line not in examples).strip()
    return words, "\n\n".join(["Examples:", *examples]).replace("[", r"\[")


class Root(TyperGroup):
    """The first level of the command line. Subclasses have the tables.

    `moved`: old names and what they are called now. An old name that is also the name of a noun is only
    translated if no verb of the noun follows. `short`: nouns that may be abbreviated.
    """

    places: ClassVar[Mapping[str, CommandEntry]]
    moved: ClassVar[Mapping[str, str]]
    short: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, place in self.places.items():
            hidden = place.service and not HAS_SERVICE
            self.add_command(
                TyperCommand(name, help=place.summary, rich_help_panel=place.panel, hidden=hidden)
            )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._translated(args, silent=ctx.resilient_parsing))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, self.places[name].load(name) if name is not None else command, rest

    def main(self, args: Any = None, *more: Any, **options: Any) -> NoReturn:
        """Runs a command and exits with its code. All errors are reported here."""
        given = sys.argv[1:] if args is None else list(args)
        run = super().main
        options |= {"standalone_mode": False}
        sys.exit(guarded(lambda: run(given, *more, **options), as_json="--json" in given))

    def _translated(self, args: list[str], *, silent: bool) -> list[str]:
        args = [self.short.get(args[0], args[0]), *args[1:]] if args else args
        for length in (2, 1):
            old = " ".join(args[:length])
            new, rest = self.moved.get(old), args[length:]
            if len(args) < length or new is None or self._is_current(old, rest):
                continue
            if not silent:
                note(f"angarium: `angarium {old}` is now `angarium {new}`; the old name will be removed.")
            return [*new.split(), *rest]
        return args

    def _is_current(self, name: str, rest: list[str]) -> bool:
        """Whether this is a noun with one of its verbs."""
        if name not in self.places:
            return False
        return rest[:1] == ["--help"] or bool(set(rest[:1]) & set(self.places[name].load(name).commands))
