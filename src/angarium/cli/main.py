"""Defines the command line: commands that run the service, and commands that call a server.

The former need the extra `server`; without it they say so and are not listed. The module of a command is
imported when the command is used, and imports its own dependencies when it runs, so commands start fast.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Final, NoReturn

import typer

from angarium import __version__
from angarium.cli.command import Place, group_of
from angarium.client.error import ClientError
from angarium.core.errors import AngariumError

_CALLS: Final = "Call a server (ANGARIUM_URL, ANGARIUM_TOKEN)"
_SERVES: Final = "Run the service"
CALLS: Final = {
    "send": Place("message", "send", _CALLS),
    "trigger": Place("trigger", "trigger", _CALLS),
    "listen": Place("listen", "listen", _CALLS),
    "play": Place("play", "play", _CALLS),
    "tail": Place("message", "tail", _CALLS),
    "show": Place("message", "show", _CALLS),
    "resend": Place("message", "resend", _CALLS),
    "recover": Place("again", "recover", _CALLS),
    "replay": Place("again", "replay", _CALLS),
    "verify": Place("verify", "verify", _CALLS),
    "sign": Place("verify", "sign", _CALLS),
    "doctor": Place("doctor", "doctor", _CALLS),
    "init": Place("init", "init", _CALLS),
    "dlq": Place("again", "dlq", _CALLS),
}
SERVES: Final = {
    "serve": Place("serve", "serve", _SERVES),
    "dev": Place("dev", "dev", _SERVES),
    "demo": Place("demo", "demo", _SERVES),
    "migrate": Place("migrate", "migrate", _SERVES),
    "token": Place("token", "token", _SERVES),
    "settings": Place("setting", "settings", _SERVES),
    "rekey": Place("key", "rewrap", _SERVES),
    "key": Place("key", "app", _SERVES),
    "deadletter": Place("dead_letter", "app", _SERVES),
    "profile": Place("profile", "app", _SERVES),
    "apikey": Place("api_key", "app", _SERVES),
}

_HAS_SERVICE: Final = find_spec("pydantic_settings") is not None

app = typer.Typer(
    name="angarium",
    help="A webhook sending service on PostgreSQL.",
    cls=group_of(CALLS | SERVES) if _HAS_SERVICE else group_of(CALLS, absent=SERVES),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _group() -> None:
    """Makes the app a command group although `version` is its only direct command."""


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> NoReturn:
    """Runs a command. Expected errors are printed without a traceback."""
    try:
        app()
    except ClientError as error:
        from angarium.cli import remote

        remote.fail(error)
    except AngariumError as error:
        print(f"angarium: {error.detail}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader closed the pipe
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
