"""The question before a command acts on many things, asked in one way.

The command counts first. On a terminal it asks; without one it acts only with `--yes`. A filter that is empty
would mean everything, so that takes `--all`.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
All = Annotated[bool, typer.Option("--all", help="Everything, instead of a filter.")]


def confirm(what: str, yes: bool) -> None:
    """Return when it may be done. `what`: a sentence with the count, "12 deliveries will be sent again"."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{what}. Nothing was done: without a terminal to ask at, add --yes")
    if not typer.confirm(f"{what}. Continue?", err=True):
        print("angarium: nothing was done", file=sys.stderr)
        raise typer.Exit(1)


def need_filter(everything: bool, *filters: Any) -> None:
    """Refuse an empty filter without `--all`, and `--all` beside a filter."""
    filtered = any(one not in (None, [], ()) for one in filters)
    if not filtered and not everything:
        raise typer.BadParameter("no filter is given; narrow it down, or add --all for everything")
    if filtered and everything:
        raise typer.BadParameter("--all stands instead of a filter, not beside one")
