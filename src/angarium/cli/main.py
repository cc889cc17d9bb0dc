"""The command line's entry. Commands are imported when they run, so that `--help` answers at once."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from angarium import __version__
from angarium.cli import api_key, dead_letter, demo, dev, key, migrate, profile, serve, setting, token
from angarium.core.errors import AngariumError

app = typer.Typer(
    name="angarium",
    help="A webhook sending service: signed, retried, fair to every endpoint, on one PostgreSQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve.serve)
app.command()(dev.dev)
app.command()(demo.demo)
app.command()(migrate.migrate)
app.command()(token.token)
app.add_typer(key.app, name="key")
app.add_typer(dead_letter.app, name="deadletter")
app.add_typer(profile.app, name="profile")
app.add_typer(api_key.app, name="apikey")
app.command()(setting.settings)


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> NoReturn:
    """Run a command. What goes wrong on purpose is told in words, without a traceback."""
    try:
        app()
    except AngariumError as error:
        print(f"angarium: {error.detail}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; nothing to say
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
