"""Confirmation of commands that act on many objects.

The command counts first. On a terminal it asks; without a terminal it requires `--yes`. An empty filter would
match everything, so that requires `--all`.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
All = Annotated[bool, typer.Option("--all", help="Everything; replaces a filter.")]


def confirm(what: str, yes: bool) -> None:
    """Returns if confirmed. `what`: a sentence with the count, such as "12 deliveries will be sent again"."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{what}. Nothing was done. Without a terminal, confirm with --yes")
    if not typer.confirm(f"{what}. Continue?", err=True):
        print("angarium: nothing was done", file=sys.stderr)
        raise typer.Exit(1)


def need_filter(everything: bool, *filters: Any) -> None:
    """Rejects an empty filter without `--all`, and `--all` with a filter."""
    filtered = any(one not in (None, [], ()) for one in filters)
    if not filtered and not everything:
        raise typer.BadParameter("no filter given; add a filter, or --all for everything")
    if filtered and everything:
        raise typer.BadParameter("--all cannot be combined with a filter")
