"""Options that several commands have, and how their values are read."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from angarium.cli.error import Exit, note
from angarium.core import timestamp
from angarium.core.schedule import TooLong, parse_duration

Json = Annotated[bool, typer.Option("--json", help="One JSON object per line, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
All = Annotated[bool, typer.Option("--all", help="Everything; replaces a filter.")]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="Maximum number of lines.")]
Count = Annotated[int | None, typer.Option(min=1, help="Exit after this many.")]
Data = Annotated[Path | None, typer.Option(help="Data directory, used without a database URL.")]
Org = Annotated[str, typer.Option(help="Organization, org_….")]
Database = Annotated[
    bool, typer.Option("--database", help="Use the database of the settings; works without a server.")
]
DatabaseOrg = Annotated[
    str | None, typer.Option("--org", help="With --database: organization; default: the data directory's.")
]


def confirm(what: str, yes: bool) -> None:
    """Returns if confirmed. `what`: a sentence with the count, such as "12 deliveries will be sent again".

    On a terminal it asks; without a terminal it requires `--yes`.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{what}. Nothing was done. Without a terminal, confirm with --yes")
    if not typer.confirm(f"{what}. Continue?", err=True):
        note("angarium: nothing was done")
        raise typer.Exit(Exit.FAILED)


def need_filter(everything: bool, *filters: Any) -> None:
    """Rejects an empty filter without `--all`, and `--all` with a filter."""
    filtered = any(one not in (None, [], ()) for one in filters)
    if not filtered and not everything:
        raise typer.BadParameter("no filter given; add a filter, or --all for everything")
    if filtered and everything:
        raise typer.BadParameter("--all cannot be combined with a filter")


def moment(text: str) -> datetime:
    """The time in UTC of `2h`, `1h30m` or `7d` ago, or of a time with a zone. Raises BadParameter."""
    try:
        ago = parse_duration(text)
    except TooLong:
        raise typer.BadParameter(f"{text!r} is too long ago") from None
    except ValueError:
        try:
            return timestamp.parse(text)
        except ValueError as error:
            words = f"write a duration such as 2h or 7d; a time {error}, not {text!r}"
            raise typer.BadParameter(words) from None
    return datetime.fromtimestamp(time.time() - ago, UTC)


def content(given: str) -> bytes:
    """What an option gives: the text itself, the content of `@file`, or standard input for `-`."""
    if given == "-":
        return sys.stdin.buffer.read()
    if given.startswith("@"):
        try:
            return Path(given[1:]).read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"cannot read {given[1:]}: {error.strerror}") from error
    return given.encode()
